"""Run directories: what is in them, how they are begun, opened, gone on with."""
