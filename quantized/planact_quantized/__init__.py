"""GGUF models in, text out. Imports nothing else of Planact."""
