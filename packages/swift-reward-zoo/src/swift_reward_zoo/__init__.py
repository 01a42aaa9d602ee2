"""Outcome and process rewards for language models, one file each, as swift plugins."""
