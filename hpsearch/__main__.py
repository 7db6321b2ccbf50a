"""`python -m hpsearch` is `hpsearch`."""

import sys


def _start() -> None:
    # `-m` has put the working directory first, where its files would hide packages.
    if not sys.flags.safe_path:
        del sys.path[0]
    from hpsearch.cli.app import main

    main()


if __name__ == "__main__":
    _start()
