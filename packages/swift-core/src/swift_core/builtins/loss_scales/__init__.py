"""Core's own loss scales, one file each; they enter by the entry points of swift-core."""
