"""Core's own agent templates, one file each; they enter by the entry points of swift-core."""
