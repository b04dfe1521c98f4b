"""GBNF: what plans may look like, and an automaton that holds texts to it."""
