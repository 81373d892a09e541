"""What all figures look like."""
