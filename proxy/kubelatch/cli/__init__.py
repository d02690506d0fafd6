"""The commands: serving, check, run, wait, completion, help.

The only package that prints, and the only one that ends the process. Each command imports the
modules that it needs when it runs, so that help and completion are fast.
"""
