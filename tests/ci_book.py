"""The book at CI size, made once for all test files and processes.

It lies in ``_run/ci`` and is made again only where its sources changed, so the second
run of the suite is quick.
"""

import contextlib
import functools
import os
from pathlib import Path

import filelock
import pytest
import yaml

from lt_core import book

ROOT = Path(__file__).parents[1]
WORK = ROOT / "_run" / "ci"
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text())
REPOSITORY = CONFIG["repository"]["url"]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
HOW = {"quick": True, "store": WORK / "runs", "work": WORK, "jobs": 2}


def need(module):
    """The module, or the test is skipped; in CI nothing is missing."""
    if "LT_CI" in os.environ:
        return __import__(module)
    return pytest.importorskip(module, reason=f"{module} is not installed: pip install -e .[all]")


@contextlib.contextmanager
def alone():
    """One process at a time makes the book; the environment is that of a user."""
    WORK.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(WORK / ".lock"), pytest.MonkeyPatch.context() as patched:
        patched.delenv("LT_DATA_ROOT", raising=False)  # who publishes the book has none
        yield


@functools.cache
def executed():
    """Source of each notebook -> its executed copy."""
    for module in ("papermill", "matplotlib"):
        need(module)
    with alone():
        return {page.source: page.executed for page in book.execute(ROOT, **HOW)}


@functools.cache
def built():
    """The folder of the pages."""
    need("jupyter_book")
    with alone():
        return book.build(ROOT, WORK / "built", **HOW).parent
