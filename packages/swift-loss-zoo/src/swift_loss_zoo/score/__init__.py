"""Losses on the scores of answers and of their steps."""
