"""Model files: which are known, which are here, fetching, judging and quantizing them."""
