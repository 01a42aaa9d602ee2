"""Outcome rewards."""
