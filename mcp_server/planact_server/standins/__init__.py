"""What a tool might have answered, made from its output schema. Pure."""
