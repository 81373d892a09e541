"""Faults by the hundred: kill -9, signals, and inputs of other hands; see ``__main__.py``."""
