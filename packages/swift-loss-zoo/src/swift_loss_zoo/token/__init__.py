"""Losses on the trained tokens of single answers."""
