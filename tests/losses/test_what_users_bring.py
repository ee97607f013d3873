"""Counts in every form, logits where cosines are meant, a device without float64."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from contract import covered
from torch.utils._python_dispatch import TorchDispatchMode

from lt_core import losses, margins
from lt_core.errors import ConfigError
from lt_core.gradients import GradientTracker
from lt_core.models import CosineClassifier
from lt_core.rebalancing import adjust_logits, rebalance_by, tau_normalise
from lt_core.testing import COUNTS, batches_for, draws, step

LABELS = np.repeat([1, 0, 2], [500, 50, 5])
RIGHT = [50, 500, 5]

READ = {
    "list": RIGHT,
    "tuple of NumPy and torch numbers": (np.int64(50), np.float32(500), torch.tensor(5)),
    "bincount": torch.bincount(torch.from_numpy(LABELS), minlength=3),
    "uint16 array": np.array(RIGHT, dtype=np.uint16),
    "uint16 tensor": torch.tensor(RIGHT, dtype=torch.uint16),
    "uint64 array": np.array(RIGHT, dtype=np.uint64),
    "whole floats": torch.tensor(RIGHT, dtype=torch.float64),
    "value_counts, largest first": pd.Series(LABELS).value_counts(),
    "value_counts of a category": pd.Series(LABELS).astype("category").value_counts(),
    "plain series": pd.Series(RIGHT),
    "dict in another order": {2: 5, 0: 50, 1: 500},
    "Counter": Counter(LABELS.tolist()),
}
REFUSED = {
    "labels": (LABELS, r"class 1 has 0 images|class 50\d? has 0 images|has 0 images"),
    "series of labels": (pd.Series(LABELS), "has 0 images"),
    "value_counts of words": (pd.Series(LABELS).astype(str).value_counts(), "none for class 0"),
    "shares": (pd.Series(LABELS).value_counts(normalize=True), "images"),
    "words for keys": ({"0": 50, "1": 5}, "none for class 0"),
    "gap": (pd.Series(RIGHT, index=[0, 1, 3]), "none for class 2"),
    "key twice": (pd.Series(RIGHT, index=[0, 1, 1]), "none for class 2"),
    "classes from 1": ({1: 50, 2: 5}, "none for class 0"),
    "two keys a row": (pd.DataFrame({"y": LABELS}).value_counts(), "none for class 0"),
    "values of a Counter": (Counter(LABELS.tolist()).values(), "a dict_values"),
    "set": ({50, 500, 5}, "a set"),
    "pairs": (Counter(LABELS.tolist()).most_common(), "a tuple for class 0"),
    "labels and counts": (np.unique(LABELS, return_counts=True), "a ndarray for class 0"),
    "nested": ([[50, 500, 5]], r"shape \(C,\)"),
    "column": (torch.ones(3, 1), r"shape \(C,\)"),
    "number of classes": (3, "got 3"),
    "sparse": (torch.tensor(RIGHT).to_sparse(), "got a Tensor"),
    "shapes without values": (torch.tensor(RIGHT, device="meta"), "got a Tensor"),
    "no dimension": (torch.tensor(3), "got a Tensor"),
    "text": ("50,500,5", "got '50,500,5'"),
    "bytes": (b"abc", "got b'abc'"),
    "None": (None, "got a NoneType"),
    "words": (["50", "500"], "got '50' for class 0"),
    "bool": ([True, True], "got True for class 0"),
    "bool tensor": (torch.tensor([True, True]), "got True for class 0"),
    "complex": ([50, 5j], "5j for class 1"),
    "complex tensor": (torch.tensor([50, 5j]), "for class 0"),
    "nan": ([50, float("nan")], "got nan for class 1"),
    "missing value": (pd.Series([50, None]), "got nan for class 1"),
    "inf": ([50, float("inf")], "got inf for class 1"),
    "-inf": ([50, -float("inf")], "class 1 has -inf images"),
    "too many": ([50, 1e30], r"at most 1e\+12, got 1e\+30 for class 1"),
    "far too many": ([50, 10**400], r"at most 1e\+12, got 1000"),
    "fraction": ([50, 0.5], "class 1 has 0.5 images"),
    "part of an image": ([50, 1.5], "got 1.5 for class 1"),
    "negative": ([50, -5], "class 1 has -5 images"),
}


@pytest.mark.parametrize("counts", READ.values(), ids=READ)
def test_counts_are_read_by_class(counts):
    assert losses.create("balanced_softmax", counts).class_counts.tolist() == RIGHT
    assert losses.create("seesaw", RIGHT, initial_counts=counts).seen.tolist() == RIGHT
    logits = torch.zeros(2, 3, dtype=torch.float64)
    for by_class in (
        lambda values: adjust_logits(logits, values),
        lambda values: rebalance_by(logits.softmax(dim=1), values),
        lambda values: tau_normalise(logits + 1, values, bias=values),
        lambda values: torch.from_numpy(margins.boundaries(np.zeros((3, 3)), values)),
    ):
        assert torch.equal(by_class(counts), by_class(RIGHT))


@pytest.mark.parametrize(("counts", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_counts_is_refused_in_one_line(counts, message):
    for use in (
        lambda: losses.create("balanced_softmax", counts),
        lambda: adjust_logits(torch.zeros(2, 3), counts),
    ):
        with pytest.raises(
            ConfigError, match=r"^class_counts: .*torch\.bincount\(targets"
        ) as caught:
            use()
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 250
    with pytest.raises(ConfigError, match=message):
        losses.create("balanced_softmax", counts)


@pytest.mark.parametrize("counts", [[3, 2], [3, 2, -1], [3, 2, float("nan")], "321", {0: 3, 2: 2}])
def test_other_numbers_per_class_are_checked_alike(counts):
    logits = torch.zeros(2, 3, dtype=torch.float64)
    for name, use in {
        "initial_counts": lambda: losses.create("seesaw", [5, 5, 5], initial_counts=counts),
        "reference_sums": lambda: rebalance_by(logits.softmax(dim=1), counts),
        "weight_norms": lambda: tau_normalise(logits, counts),
        "weight": lambda: margins.boundaries(np.zeros((3, 3)), counts),
    }.items():
        with pytest.raises(ConfigError, match=name):
            use()


def test_labels_that_pass_for_counts_are_told_at_the_first_batch():
    loss = losses.create("balanced_softmax", LABELS + 1)
    with pytest.raises(ConfigError, match=r"555 class counts, got \(2, 3\).*torch\.bincount"):
        loss(torch.zeros(2, 3), torch.tensor([0, 1]))


def test_the_losses_need_no_pandas():
    code = "import sys, lt_core.losses; sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_arrays_for_tensors_are_named():
    logits, target = np.zeros((2, 3)), np.array([0, 1])
    loss, tracker = losses.create("softmax", RIGHT), GradientTracker(np.int64(3))
    for use in (loss, tracker.update):
        with pytest.raises(ConfigError, match="logits: expected a torch tensor, got a ndarray"):
            use(logits, target)
        with pytest.raises(ConfigError, match="target: expected a torch tensor, got a ndarray"):
            use(torch.from_numpy(logits), target)
    with pytest.raises(ConfigError, match="logits: expected a torch tensor or a NumPy array"):
        adjust_logits(pd.DataFrame(logits), RIGHT)


@pytest.mark.parametrize("name", ["ldam", "gcl"])
class TestCosines:
    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
    def test_logits_are_refused(self, name, dtype):
        loss = losses.create(name, RIGHT)
        target = torch.tensor([0, 1])
        for largest in (20, -20, 1.5, -1.05):
            logits = torch.zeros(2, 3, dtype=dtype)
            logits[1, 2] = largest
            with pytest.raises(ConfigError, match=r"\[-1, 1\], got .*CosineClassifier"):
                loss(logits.requires_grad_(), target)
            with pytest.raises(ConfigError, match="CosineClassifier"):
                loss.mixed(logits, target, target, torch.tensor([0.5, 0.5]))

    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
    def test_rounding_is_not(self, name, dtype):
        """Embeddings along a class vector, and the next number after 1."""
        torch.manual_seed(0)
        classifier = CosineClassifier(512, 3).to(dtype)
        along = classifier.weight.detach().repeat(200, 1) * torch.rand(600, 1).to(dtype)
        loss = losses.create(name, RIGHT)
        target = torch.arange(3).repeat(200)
        for cosines in (classifier(along), torch.full((600, 3), 1 + torch.finfo(dtype).eps)):
            assert loss(cosines, target).isfinite()
            assert loss(cosines.float(), target).isfinite()
        assert loss(torch.eye(3, dtype=dtype) * 2 - 1, torch.arange(3)).isfinite()


class WithoutFloat64(TorchDispatchMode):
    """As on Apple's MPS: nothing may be float64."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (list, tuple)) else (result,):
            if isinstance(tensor, torch.Tensor) and tensor.dtype == torch.float64:
                raise TypeError(f"{function} makes float64")
        return result


def to_such_a_device(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.dtype == torch.float64:
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
    return tensor


@pytest.mark.parametrize(("name", "params"), covered())
def test_on_a_device_without_float64_state_is_float32(name, params):
    exact, moved = (losses.create(name, COUNTS, **params) for _ in range(2))
    moved._apply(to_such_a_device)
    for logits, target in batches_for(exact, 4):
        logits = logits.float()
        draw = draws(exact, logits)
        expected, gradient = step(exact, logits, target, **draw)
        with WithoutFloat64():
            value, other = step(moved, logits, target, **draw)
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(other, gradient, rtol=1e-3, atol=1e-5)
    assert all(buffer.dtype != torch.float64 for buffer in moved.buffers())
    moved.load_state_dict(exact.state_dict())
