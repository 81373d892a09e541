"""The command line and the run directories: the only floor that knows the names of models and guides."""
