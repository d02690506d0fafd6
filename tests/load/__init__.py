"""Load, exhaustion and faults, against the command as a process of its own."""
