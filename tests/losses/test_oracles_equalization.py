"""Equalization loss against lt-project, BagofTricks-LT and the authors' sigmoid form."""

import numpy as np
import oracles
import pytest
import torch

from lt_core import losses


@pytest.mark.parametrize("case", oracles.STATIC)
def test_softmax_form(case):
    archive = oracles.load("eql")
    logits, target, class_counts = oracles.inputs(case)
    bits = np.unpackbits(archive[f"{case}/beta_mask_packed"], axis=1)[:, : len(class_counts)]
    loss = losses.create("equalization", class_counts)
    assert loss.threshold == pytest.approx(float(archive[f"{case}/lambda_"]))
    assert loss.ignore_probability == float(archive[f"{case}/gamma"])
    assert loss.rare.tolist() == archive[f"{case}/tail_mask"].tolist()
    draw = torch.from_numpy(bits)
    key = f"{case}/softmax_eql"
    oracles.compare(lambda z, y: loss(z, y, draw=draw), logits, target, archive, key)
    assert loss.generator is None


@pytest.mark.parametrize("case", oracles.STATIC)
def test_sigmoid_form(case):
    logits, target, class_counts = oracles.inputs(case)
    loss = losses.create("equalization", class_counts, form="sigmoid")
    oracles.compare(loss, logits, target, oracles.load("eql"), f"{case}/sigmoid_eql")
