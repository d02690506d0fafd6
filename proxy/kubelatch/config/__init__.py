"""Settings: one table of flags, kubectl's flag grammar, the commands beside serving.

Turns arguments and environment into values. It reads no files and uses no setting itself.
"""
