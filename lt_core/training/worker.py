"""A worker process of :func:`lt_core.training.batch.reproduce`; reads its plan from stdin."""

from __future__ import annotations

import dataclasses
import json
import sys
import time

import torch

from lt_core.runs import Store
from lt_core.training.batch import interleaved
from lt_core.training.config import RunConfig
from lt_core.training.loop import Images


def main() -> None:
    request = json.load(sys.stdin)
    seconds = request["seconds"]
    outcome = interleaved(
        [RunConfig.from_dict(entry) for entry in request["plan"]],
        Store(request["store"]),
        Images(torch.device("cpu"), request["data_root"]),
        deadline=None if seconds is None else time.monotonic() + seconds,
    )
    print(json.dumps(dataclasses.asdict(outcome)))


if __name__ == "__main__":
    main()
