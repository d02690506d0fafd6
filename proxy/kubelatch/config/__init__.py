"""Settings: one table of flags, kubectl's flag grammar, the commands beside serving.

Argument list and environment in, values out. It reads no files and knows nothing of what the
settings are for.
"""
