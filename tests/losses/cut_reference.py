"""Cut the reference vectors that ship with the tests from the full set.

    python tests/losses/cut_reference.py FOLDER_OF_THE_FULL_SET

The full set holds outputs of the authors' own loss code (``reference.md``). What is kept: the
smaller cases whole, but four rows of each gradient and of each table of scores.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

CASES = (
    "c10_imb100_b64_normal",
    "c10_imb100_b64_extreme",
    "c10_imb100_b64_absent",
    "c10_imb100_b1_normal",
    "c100_imb100_b64_normal",
    "seq_c10_imb100_b64",
    "c10_imb100_b64_cos",
    "c10_imb500_b64_cosx",
    "sanity_uniform",
)
ROWS = 4


def kept(file: str, archive) -> dict[str, np.ndarray]:
    """The arrays of one file of the full set that ship, by ``file:key``."""
    arrays = {}
    for key in archive:
        if key.partition("/")[0] in CASES and not key.endswith("loss_f32"):
            values = archive[key]
            cut = key.endswith(("grad_rows", "scores_rows"))
            arrays[f"{file}:{key}"] = values[..., :ROWS, :] if cut else values
    return arrays


def main(folder: str) -> None:
    arrays = {}
    for path in sorted(Path(folder).glob("*.npz")):
        with np.load(path) as archive:
            arrays |= kept(path.stem, archive)
    np.savez_compressed(Path(__file__).with_name("reference.npz"), **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
