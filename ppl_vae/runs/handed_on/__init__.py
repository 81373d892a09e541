"""A run as one file that can be handed on: packed, and opened where it comes to."""
