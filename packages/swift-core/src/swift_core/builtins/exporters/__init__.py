"""Exporters of core."""
