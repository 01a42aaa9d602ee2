"""Core's own pools; they enter by the entry points of swift-core."""
