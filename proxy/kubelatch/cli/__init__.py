"""The commands: serving, check, run, wait, completion, help.

The only package that prints, and the only one that ends the process. Modules are imported by the
command that needs them, since help and completion must answer at once.
"""
