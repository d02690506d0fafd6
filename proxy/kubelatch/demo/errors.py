"""What a demo cannot do when it starts."""


class DemoError(Exception):
    """A file that cannot be loaded or written; its text says which, where and why."""
