"""Variational inference for given datapoints, with the model frozen."""
