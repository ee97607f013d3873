"""A worker process of :func:`lt_core.training.batch.reproduce`.

Called with two paths: the request, and where the outcome goes.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path

import torch

from lt_core.errors import LtError
from lt_core.runs import Store, environment
from lt_core.training.batch import Outcome, Progress, interleaved
from lt_core.training.config import RunConfig
from lt_core.training.loop import Images


def main(request_path: str, outcome_path: str) -> None:
    request = json.loads(Path(request_path).read_bytes())
    environment.when_gone(request["parent"], lambda: os._exit(1))  # its runs are free again
    report = Progress(len(request["plan"]), 0, shown=False, pause=request["pause"])
    try:
        outcome = interleaved(
            [RunConfig.from_dict(entry) for entry in request["plan"].values()],
            Store(request["store"]),
            Images(torch.device("cpu"), request["data_root"], **request["loader"]),
            deadline=request["deadline"],
            report=report,
        )
    except LtError as error:  # such as a loss that only the parent has registered
        reason = error.exit_code, f"in a worker process: {error}"
        outcome = Outcome(failed=dict.fromkeys(request["plan"], reason))
    Path(outcome_path).write_text(json.dumps(dataclasses.asdict(outcome)))


if __name__ == "__main__":
    main(*sys.argv[1:])
