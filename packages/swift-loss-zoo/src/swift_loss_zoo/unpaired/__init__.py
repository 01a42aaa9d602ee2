"""Losses on labelled completions: each is wanted or not, without one to compare it with."""
