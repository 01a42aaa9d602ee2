"""Losses on images with their texts."""
