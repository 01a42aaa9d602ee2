"""Core's own generation engines; they enter by the entry points of swift-core."""
