"""Walks through latent space: observations put into it, codes moved, compared, and decoded again."""
