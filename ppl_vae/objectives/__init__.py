"""What training climbs: the ELBO, bounds of several draws, closed forms of the KL."""
