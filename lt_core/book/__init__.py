"""The book: notebooks executed by papermill, pages made by jupyter-book.

``notebooks`` executes one notebook so that its output is complete or absent, ``building``
all notebooks of the book, ``pages`` makes the pages, ``reproducing`` fills a table.
"""

from lt_core import lazily

__all__ = ["BookError", "Page", "build", "execute", "metrics"]

__getattr__ = lazily(__name__, dict.fromkeys(__all__, "building"))
