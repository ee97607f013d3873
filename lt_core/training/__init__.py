"""Training: from a configuration to a finished run.

``config`` and ``recipes`` say what a run is. ``engine`` is one run on one device, whose ``_step``
is a training step; ``augment`` and ``epoch_plan`` give it the images, ``disk`` and ``pictures``
where they stay on disk. ``loop`` takes a run through its epochs, with ``checkpoint`` and
``metrics``; ``batch`` makes many runs, in processes (``worker``) or on a ``cluster``, and
``ranks`` one run on several processes.
"""

from lt_core import lazily

__all__ = ["RunConfig", "reproduce", "train"]

__getattr__ = lazily(__name__, {"RunConfig": "config", "reproduce": "batch", "train": "loop"})
