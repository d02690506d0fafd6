"""What ``python3 /app`` runs in the container image."""

from proxy.cli import main

main()
