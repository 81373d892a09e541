"""Data from files, an adapter a kind of file."""
