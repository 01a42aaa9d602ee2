"""Losses on the classes of texts."""
