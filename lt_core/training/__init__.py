"""Training: configurations, recipes, one loop, several runs at once."""

from lt_core import lazily

__all__ = ["RunConfig", "reproduce", "train"]

__getattr__ = lazily(__name__, {"RunConfig": "config", "reproduce": "batch", "train": "loop"})
