import dataclasses

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from lt_core import data


def test_balanced_profile():
    train, test = data.load_train_test("digits")
    assert train.class_counts == [124] * 10
    assert test.class_counts == [50] * 10
    assert train.images.shape == (1240, 1, 8, 8)
    assert train.images.dtype == torch.uint8
    assert train.targets.dtype == torch.int64
    assert train.class_names == tuple("0123456789")
    assert train.overlap == 0


def test_long_tailed_profile_leaves_the_test_images_alone():
    for factor in (10, 100):
        train, test = data.load_train_test("digits", factor)
        assert train.class_counts == data.class_counts(10, 124, factor)
        assert test.sha256 == data.load("digits", "test").sha256


def test_pixels_are_scikit_learns_on_the_scale_of_bytes():
    test = data.load("digits", "test")
    bunch = load_digits()
    known = dict(zip((i.astype(int).tobytes() for i in bunch.images), bunch.target, strict=True))
    for image, label in zip(test.images[:, 0].numpy(), test.targets.tolist(), strict=True):
        assert known[np.rint(image / 255 * 16).astype(int).tobytes()] == label
    assert test.images.max() == 255


def test_same_images_as_published():
    # Anyone's copy of scikit-learn, any platform: a change here orphans every digits run.
    assert data.load("digits", "train", 100).sha256.startswith("c38170fbc4")
    assert data.load("digits", "test").sha256.startswith("673be184ac")


def test_seed_draws_other_images_of_the_same_profile():
    first, second = (data.load("digits", "train", 10, subset_seed=seed) for seed in (0, 1))
    assert first.sha256 != second.sha256
    assert first.class_counts == second.class_counts


def test_validation_images_are_held_out():
    val = data.load("digits", "val", 10, holdout=24)
    train = data.load("digits", "train", 10, holdout=24)
    assert val.class_counts == [24] * 10
    assert train.class_counts == data.class_counts(10, 100, 10)
    assert not set(val.image_digests) & set(train.image_digests)
    assert val.sha256 == data.load("digits", "val", 100).sha256


def test_statistics_are_those_of_the_training_images():
    info = data.info("digits")
    pixels = data.load("digits", "train").images.double() / 255
    assert pixels.mean().item() == pytest.approx(info.mean[0], abs=1e-3)
    assert pixels.std().item() == pytest.approx(info.std[0], abs=1e-3)


def test_the_order_of_rows_has_a_hash_of_its_own():
    train = data.load("digits", "train", 100)
    backwards = train.indices[::-1].copy()
    turned = dataclasses.replace(
        train, images=train.images.flip(0), targets=train.targets.flip(0), indices=backwards
    )
    assert turned.sha256 == train.sha256
    assert turned.rows_sha256 != train.rows_sha256
