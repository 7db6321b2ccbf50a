"""Run hpsearch by `python -m hpsearch`."""

import sys

from hpsearch.cli.signals import end_at_once


def main() -> None:
    """Run the command line; from the first import on, a signal ends it with a single line."""
    end_at_once()
    from hpsearch.cli.app import main as run

    run()


def _start() -> None:
    # `-m` put the working directory first, where its files would hide packages.
    if not sys.flags.safe_path:
        del sys.path[0]
    main()


if __name__ == "__main__":
    _start()
