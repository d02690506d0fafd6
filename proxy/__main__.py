"""``python -m proxy``."""

from .cli import main

main()
