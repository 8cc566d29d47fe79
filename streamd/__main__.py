"""`python -m streamd` and the `streamd` command: runs the command line, and says what went wrong in one line each."""

from __future__ import annotations

import sys

from streamd.errors import SettingsError, StreamdError


def main() -> None:
    """Exit codes: 0 done, 1 it failed, 2 the command or the configuration cannot work as given."""
    from streamd.cli import app

    try:
        app()
    except StreamdError as error:
        problems: tuple[StreamdError, ...] = getattr(error, "problems", (error,))
        for problem in problems:
            print(f"streamd: {problem.one_line()}", file=sys.stderr)
        sys.exit(2 if isinstance(error, SettingsError) else 1)


if __name__ == "__main__":
    main()
