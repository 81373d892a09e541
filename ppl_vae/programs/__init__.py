"""Models and guides as Pyro programs: what can be asked of any of them."""
