"""Draws and expectations of prior, posterior and conditional predictive distributions, and walks between codes."""
