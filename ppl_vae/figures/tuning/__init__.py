"""A study of settings: its trials one after the other, and against each setting."""
