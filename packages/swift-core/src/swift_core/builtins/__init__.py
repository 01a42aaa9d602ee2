"""Plugins that come with core; they enter by the same entry points as everybody's."""
