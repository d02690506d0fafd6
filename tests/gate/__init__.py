"""The gate: every rule, and the properties that hold for all inputs."""
