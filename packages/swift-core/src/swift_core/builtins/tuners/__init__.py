"""Tuners: what of a model is trained, and how it is saved."""
