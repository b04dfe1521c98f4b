"""The tools of all servers as Python functions: names, signatures, validation, search."""
