"""Recording gradients changes nothing and keeps what the loss applied."""

import numpy as np
import pytest

from lt_core.errors import ConfigError
from lt_core.training import RunConfig, train
from lt_core.training.recording import record


def config(method="softmax", **fields):
    return RunConfig("digits", method, 100, epochs=2, **fields)


def test_it_trains_as_train_does(tmp_path):
    recording = record(config("icb"))
    run = train(config("icb"), tmp_path)
    np.testing.assert_array_equal(recording.class_accuracy, run.arrays["class_accuracy"])


def test_softmax_applies_the_gradient_itself():
    recording = record(config())
    np.testing.assert_allclose(recording.applied, recording.gradient, atol=1e-5)
    assert recording.target.shape == recording.gradient.shape == (2, 304)
    counts = recording.by_class(np.ones_like(recording.gradient))
    assert counts.tolist() == [[124, 74, 44, 26, 16, 9, 5, 3, 2, 1]] * 2


def test_a_class_weight_scales_what_is_applied():
    recording = record(config("class_balanced"))
    weight = recording.by_class(recording.applied) / recording.by_class(recording.gradient)
    expected = 1 / np.array([124, 74, 44, 26, 16, 9, 5, 3, 2, 1])
    np.testing.assert_allclose(weight, [expected * 10 / expected.sum()] * 2, rtol=1e-3)


def test_what_it_cannot_record_is_refused():
    with pytest.raises(ConfigError, match="mixup"):
        record(config(overrides={"mixup_alpha": 1}))
    with pytest.raises(ConfigError, match="reduction"):
        record(config("class_balanced", params={"reduction": "weighted_mean"}))
