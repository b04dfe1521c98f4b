"""What runs in the worker process. Imports the standard library and RestrictedPython only."""
