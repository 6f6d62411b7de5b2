"""``python -m distlog run app.py``: see `distlog.run`."""

from __future__ import annotations

import sys


def _main() -> int:
    from distlog import __version__, run

    command, *arguments = sys.argv[1:] or ["--help"]
    if command == "run":
        return run.main(arguments)
    if command in ("-h", "--help"):
        sys.stdout.write(run.USAGE)
        return 0
    if command == "--version":
        sys.stdout.write(f"distlog {__version__}\n")
        return 0
    sys.stderr.write(f"python -m distlog: there is no command {command!r}, only run (--help tells more)\n")
    return 2


if __name__ == "__main__":
    sys.exit(_main())
