"""Callbacks: what watches a run and steps in."""
