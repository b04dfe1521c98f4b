"""What runs in the child: a model, its memory, and the loop that writes."""
