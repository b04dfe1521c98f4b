"""Any OpenAI-compatible server as the backend."""
