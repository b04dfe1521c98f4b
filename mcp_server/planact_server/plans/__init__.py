"""The host side of plans that run: their calls, what stands in for calls, and attempts at a task."""
