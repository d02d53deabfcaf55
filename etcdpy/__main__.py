"""`python -m etcdpy` is the `etcdpy` command."""

import sys

from etcdpy.cli import main

if __name__ == "__main__":
    sys.exit(main())
