"""The `swift` command: one file per sub-command. Each parses, calls one function and prints."""
