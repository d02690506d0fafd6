"""What is reported of the proxy: request log, metrics, health, and what a terminal shows.

The log and the metrics learn of exchanges from their records alone; the admin address is served by
the relay's own server. Nothing here can hold up or stop an exchange.
"""
