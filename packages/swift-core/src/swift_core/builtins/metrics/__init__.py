"""Metrics on the predictions of held-out rows."""
