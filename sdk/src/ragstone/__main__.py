"""`python -m ragstone` is the command `ragstone`."""

from __future__ import annotations

from ragstone.cli.app import main

if __name__ == "__main__":
    main()
