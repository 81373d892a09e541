"""Commands that lay several runs side by side in one picture."""
