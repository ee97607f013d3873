"""Where results live: the store of runs, their records, merging, and what made them.

``store`` keeps one directory per run, ``records`` one row per run in a CSV file,
``merging`` joins stores, ``environment`` names versions, hardware and commit. Reading a
finished run imports neither torch nor pandas.
"""

from lt_core import lazily

_FILES = ("CHECKPOINTS", "HISTORY", "LOGITS", "METRICS", "RESULT")
_READING = ("Run", "Store", "default_store", "load", "missing_store", "open", "read", "scan")

__all__ = [*_FILES, *_READING]

__getattr__ = lazily(__name__, dict.fromkeys(__all__, "store"))
