"""The plugin border, the run pipeline and the `swift` command."""

__version__ = "0.1.0"
