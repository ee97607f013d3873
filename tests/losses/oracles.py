"""Reading and comparing the reference vectors: outputs of the authors' own loss code.

A compact set ships beside this file (``reference.md``). Where ``LT_DATA_ROOT`` names the
folder of the data sets, the full set in ``oracles`` beside it is read instead.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path

import numpy as np
import pytest
import torch

SHIPPED = Path(__file__).with_name("reference.npz")


def full_set() -> Path | None:
    """The folder of the full set, or None where ``LT_DATA_ROOT`` leads to none."""
    root = os.environ.get("LT_DATA_ROOT")
    folder = Path(root).parent / "oracles" if root else None
    return folder if folder is not None and folder.is_dir() else None


@functools.cache
def shipped() -> dict[str, np.ndarray]:
    with np.load(SHIPPED) as archive:
        return dict(archive)


@functools.cache
def load(name: str) -> dict[str, np.ndarray]:
    """All arrays of one reference file, by ``CASE/VARIANT/QUANTITY``."""
    folder = full_set()
    if folder is not None:
        with np.load(folder / f"{name}.npz") as archive:
            return dict(archive)
    if os.environ.get("LT_CI") and os.environ.get("LT_DATA_ROOT"):
        pytest.fail("the full set of reference vectors is not in `oracles` beside LT_DATA_ROOT")
    start = f"{name}:"
    return {key.removeprefix(start): a for key, a in shipped().items() if key.startswith(start)}


def available(*cases: str) -> tuple[str, ...]:
    """Those of ``cases`` that the set at hand has inputs for."""
    return tuple(case for case in cases if f"{case}/logits" in load("inputs"))


STATIC = available(
    *(
        f"c{classes}_imb{factor}_b{batch}_{kind}"
        for classes, factor, batch, kind in [
            (10, 100, 64, "normal"),
            (10, 500, 64, "normal"),
            (10, 100, 64, "extreme"),
            (10, 100, 64, "absent"),
            (10, 100, 1, "normal"),
            (100, 100, 64, "normal"),
            (100, 500, 64, "normal"),
            (100, 100, 64, "extreme"),
            (100, 100, 64, "absent"),
            (100, 100, 1, "normal"),
            (1000, 100, 64, "normal"),
            (1000, 500, 64, "extreme"),
        ]
    )
)
SEQUENCES = available("seq_c10_imb100_b64", "seq_c100_imb500_b64")
COSINES = available(
    "c10_imb100_b64_cos",
    "c10_imb500_b64_cosx",
    "c10_imb100_b1_cos",
    "c100_imb100_b64_cos",
    "c100_imb500_b64_cosx",
    "c1000_imb100_b64_cos",
)


def inputs(case: str) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    """Logits in float64, targets and class counts of a case."""
    archive = load("inputs")
    logits = torch.from_numpy(archive[f"{case}/logits"].astype(np.float64))
    target = torch.from_numpy(archive[f"{case}/targets"].astype(np.int64))
    return logits, target, archive[f"{case}/class_counts"].tolist()


def deviation(actual: np.ndarray, expected: np.ndarray) -> float:
    """Largest deviation relative to the largest expected magnitude."""
    return float(np.abs(actual - expected).max() / np.abs(expected).max())


def compare(
    loss, logits, target, archive, key, *, step=None, rtol=1e-9, factor=1.0
) -> torch.Tensor:
    """Assert value and, where stored, gradients of one call; return the loss.

    Gradients of 100 classes and more are stored in float32, so their rows get its rounding.
    ``factor`` multiplies ours, for a constant that the reference puts elsewhere.
    """
    at = slice(None) if step is None else step
    leaf = logits.clone().requires_grad_()
    value = loss(leaf, target) * factor
    value.backward()
    assert_near(value.detach().numpy(), archive[f"{key}/loss"][() if step is None else step], rtol)
    if f"{key}/grad_rows" in archive:
        grad = leaf.grad.numpy()
        rows = archive[f"{key}/grad_rows"][at]
        rounded = 2e-7 if rows.dtype == np.float32 else rtol
        assert_near(grad[: len(rows)], rows, max(rtol, rounded), atol=1e-12)
        cancelled = rtol * np.abs(grad).sum(0).max()  # sums of both signs lose digits
        assert_near(grad.sum(0), archive[f"{key}/grad_colsum"][at], rtol, max(1e-12, cancelled))
        norms = np.linalg.norm(grad, axis=1)
        assert_near(norms, archive[f"{key}/grad_rownorm"][at], rtol, atol=1e-12)
    return value.detach()


def assert_near(actual, expected, rtol: float, atol: float = 1e-12) -> None:
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol)
