"""Building llama-cpp-python for this machine, once."""
