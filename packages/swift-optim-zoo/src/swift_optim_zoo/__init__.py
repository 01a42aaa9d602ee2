"""Optimizers and schedules for fine-tuning language models, one file each, as swift plugins."""
