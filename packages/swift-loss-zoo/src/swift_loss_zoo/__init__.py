"""Losses for fine-tuning and aligning language models, one file each, as swift plugins."""
