"""`python -m swift_core` is the `swift` command."""

from swift_core.cli.main import main

if __name__ == "__main__":
    main()
