"""A run that is handed on: as one file, or on the Hugging Face Hub; and opened where it comes to."""
