"""Data larger than memory: rows that stay in their file, and are fed to a step in windows."""
