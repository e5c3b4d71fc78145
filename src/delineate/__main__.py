"""``python -m delineate``."""

from delineate.cli import main

main()
