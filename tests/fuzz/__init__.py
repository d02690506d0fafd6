"""Streams of bytes, cut and damaged at random: ``python -m tests.fuzz --minutes 10``."""
