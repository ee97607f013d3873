"""Training: configurations, recipes, one loop, several runs at once."""

from lt_core.training.batch import reproduce
from lt_core.training.config import RunConfig
from lt_core.training.loop import train

__all__ = ["RunConfig", "reproduce", "train"]
