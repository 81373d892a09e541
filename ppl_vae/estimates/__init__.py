"""Estimates: means with their errors over datapoints and over draws, what they were made on, what is beyond chance."""

from ppl_vae.estimates.estimate import Estimate, Origin, Protocol

__all__ = ["Estimate", "Origin", "Protocol"]
