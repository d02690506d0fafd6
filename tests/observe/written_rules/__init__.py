"""Rules from traffic (``--write-rules``)."""
