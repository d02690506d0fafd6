"""Observability: request log, metrics, health checks, and what a terminal shows.

The log and the metrics see exchanges through their records alone; the relay's server serves the
admin address. Nothing here can delay or stop an exchange.
"""
