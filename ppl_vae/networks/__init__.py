"""Neural networks inside models and guides, and what they are built with."""
