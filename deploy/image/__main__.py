"""What ``python3 /app`` runs in the container image."""

from kubelatch.cli.main import main

main()
