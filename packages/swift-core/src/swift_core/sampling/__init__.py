"""Answers drawn from a model, scored and kept: what `swift sample` does."""
