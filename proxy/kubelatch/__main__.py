"""``python -m kubelatch``."""

from .cli import main

main()
