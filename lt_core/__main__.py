"""``python -m lt_core`` is ``lt-core``."""

from lt_core.cli import main

main()
