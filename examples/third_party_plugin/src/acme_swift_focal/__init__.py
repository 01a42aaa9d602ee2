"""Plugins for swift from outside: a loss, a reward and a callback."""
