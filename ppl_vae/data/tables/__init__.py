"""Tables: what their columns hold, and how rows of them become numbers."""
