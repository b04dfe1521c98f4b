"""`python -P -m planact_server`."""

from planact_server.cli import entry_point

if __name__ == "__main__":
    entry_point()
