"""A pair in boxes, circles and arrows."""
