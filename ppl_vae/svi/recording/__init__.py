"""``compiled(svi)``: the steps of Pyro's SVI for any program, recorded and replayed."""
