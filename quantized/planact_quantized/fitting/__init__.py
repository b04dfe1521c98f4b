"""What this machine has, and how a model fits on it."""
