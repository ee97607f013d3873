"""Every loss against its authors' code, and that plain cross-entropy would not pass for it."""

from __future__ import annotations

import cut_reference
import numpy as np
import oracles
import pytest
import torch
from contract import THIRTEEN
from torch import nn

from lt_core import losses

#: By method: file and variant of the reference, parameters, reduction, case.
NORMAL, COSINE, SEQUENCE = "c10_imb100_b64_normal", "c10_imb100_b64_cos", "seq_c10_imb100_b64"
REFERENCES = {
    "softmax": ("ce", "mean", {}, "mean", NORMAL),
    "class_balanced": ("class_balanced", "inverse_frequency", {}, "weighted_mean", NORMAL),
    "effective_number": (
        *("effective_number", "ldamdrw_reweight_ce_beta0.9999", {}),
        *("weighted_mean", NORMAL),
    ),
    "focal": ("focal", "ldamdrw_gamma1", {}, "mean", NORMAL),
    "ghm": ("ghm", "ghmc_bins10_mom0", {"form": "sigmoid", "momentum": 0}, "mean", NORMAL),
    "equalization": ("eql", "softmax_eql", {}, "mean", NORMAL),
    "seesaw": ("seesaw", "p0.8_q2", {"initial_counts": "given"}, "mean", NORMAL),
    "icb": (
        *("icb_ura", "M10_gamma1_nonempty", {"bins": 10, "gamma": 1, "density": "uniform"}),
        *("mean", NORMAL),
    ),
    "gala": ("gala_paper", "l1_1.2_l2_0.9_sum", {"lambda1": 1.2, "lambda2": 0.9}, "mean", SEQUENCE),
    "ldam": ("ldam", "s30_maxm0.5", {}, "mean", COSINE),
    "balanced_softmax": ("balanced_softmax", "mean", {}, "mean", NORMAL),
    "logit_adjustment": ("logit_adjustment", "loss_tau2", {"tau": 2}, "mean", NORMAL),
    "gcl": ("gcl", "stage1_m0_s30_mul0.5", {}, "mean", COSINE),
}


class CrossEntropy(nn.Module):
    """Softmax cross-entropy in the place of any loss."""

    def __init__(self, class_counts, reduction="mean", **params):
        super().__init__()

    def forward(self, logits, target, draw=None):
        return nn.functional.cross_entropy(logits, target)


def check(method, create):
    """Value and gradient of ``create(class_counts, reduction, **params)`` against the reference."""
    file, variant, params, reduction, case = REFERENCES[method]
    archive, (logits, target, counts) = oracles.load(file), oracles.inputs(case)
    if params.get("initial_counts") == "given":
        params = {**params, "initial_counts": counts}
    loss, draw = create(counts, reduction=reduction, **params), {}
    if method == "gcl":
        draw = {"draw": torch.from_numpy(archive[f"{case}/noise"])}
    elif method == "equalization":
        bits = np.unpackbits(archive[f"{case}/beta_mask_packed"], axis=1)[:, : len(counts)]
        draw = {"draw": torch.from_numpy(bits)}
    rtol = 3e-7 if method in ("ghm", "logit_adjustment") else 1e-9  # constants of the released code

    def call(z, y):
        return loss(z, y, **draw)

    steps = range(len(logits)) if case == SEQUENCE else [None]
    for step in steps:
        at = (logits, target) if step is None else (logits[step], target[step])
        oracles.compare(call, *at, archive, f"{case}/{variant}", step=step, rtol=rtol)


def test_every_loss_has_a_reference():
    assert set(REFERENCES) >= set(THIRTEEN)


@pytest.mark.parametrize("method", REFERENCES)
def test_it_agrees_with_its_authors_code(method):
    check(method, lambda counts, **params: losses.create(method, counts, **params))


@pytest.mark.parametrize("method", [name for name in REFERENCES if name != "softmax"])
def test_cross_entropy_in_its_place_is_seen(method):
    with pytest.raises(AssertionError):
        check(method, CrossEntropy)


def test_the_shipped_set_is_cut_from_the_full_one():
    folder = oracles.full_set()
    if folder is None:  # nothing to compare with: then the shipped set must serve every loss
        assert {key.partition(":")[0] for key in oracles.shipped()} >= {
            file for file, *_ in REFERENCES.values()
        }
        return
    cut = {}
    for path in folder.glob("*.npz"):
        cut |= cut_reference.kept(path.stem, oracles.load(path.stem))
    assert cut.keys() == oracles.shipped().keys()
    for key, values in oracles.shipped().items():
        np.testing.assert_array_equal(values, cut[key], err_msg=key)
