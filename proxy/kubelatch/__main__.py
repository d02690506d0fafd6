"""``python -m kubelatch``."""

from .cli.main import main

main()
