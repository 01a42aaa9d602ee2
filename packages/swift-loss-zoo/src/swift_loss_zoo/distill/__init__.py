"""Losses of a student on what its teacher says of the same tokens."""
