"""The papers' large sets, as generated trees in the layout of their published lists."""

import dataclasses

import numpy as np
import pytest
from own_images import LISTS, write_jpeg, write_listed

from lt_core import data
from lt_core.data import catalog, listfile
from lt_core.errors import DataError
from lt_core.training import RunConfig, metrics, train

COUNTS, TESTED = (6, 3, 2), 2


@pytest.fixture(params=LISTS)
def listed(request, tmp_path, monkeypatch):
    """Three classes of a set, in its own layout: the name, and the root that holds it."""
    write_listed(monkeypatch, tmp_path, request.param, COUNTS, TESTED)
    about = dataclasses.replace(catalog.info(request.param), train_count=None)
    monkeypatch.setitem(catalog._CATALOG, request.param, about)
    return request.param, tmp_path


def small(name, **values):
    overrides = {"image_size": 32, "batch_size": 8}
    return RunConfig(
        dataset=name,
        method="icb",
        model="resnet10",
        recipe="decoupling",
        epochs=1,
        overrides=overrides,
        **values,
    )


def test_one_command_trains_on_each(listed, tmp_path):
    name, root = listed
    run = train(small(name), tmp_path / "store", data_root=root)
    assert run.record["dataset"] == name
    assert run.metrics["class_counts"].tolist() == list(COUNTS)
    assert run.record["train_images"] == sum(COUNTS)
    assert len(run.arrays["test_target"]) == 3 * TESTED


def test_images_of_a_list_are_held_out_for_a_choice(listed, tmp_path):
    name, root = listed
    train_, val = (data.load(name, split, holdout=2, root=root) for split in ("train", "val"))
    assert (train_.class_counts, val.class_counts) == ([4, 2, 1], [2, 1, 1])
    assert not set(train_.images.paths) & set(val.images.paths)
    run = train(small(name, holdout=2), tmp_path / "store", data_root=root)
    assert run.record["evaluated_on"] == "val"
    assert run.metrics["class_counts"].tolist() == [4, 2, 1]
    assert len(run.arrays["test_target"]) == 4
    cut = data.load(name, "train", 2, holdout=2, root=root)  # set aside before it is cut
    assert cut.class_counts == [2, 2, 1]
    assert not set(cut.images.paths) & set(val.images.paths)


def test_a_missing_image_is_found_before_training(listed, tmp_path):
    name, root = listed
    picture = next((root / name).rglob("2.jpg"))
    picture.unlink()
    with pytest.raises(DataError, match=r"/2.jpg is not there"):
        train(small(name), tmp_path / "store", data_root=root)
    assert not list((tmp_path / "store").rglob("checkpoint*"))


def test_look_counts_what_the_list_has(listed, call):
    name, root = listed
    code, out, lines = call(f"look {name} --open", "--data-root", root)
    assert code == 0, lines
    assert f"{name}: 3 classes" in out
    assert "train: 11 images" in out
    assert "test: 6 images" in out
    assert "factor: 3 (" in out
    assert ", 0 of them cannot be read" in out


def test_the_published_places_lt_is_known():
    counts = listfile.published_counts("places_lt")
    assert (len(counts), sum(counts), max(counts), min(counts)) == (365, 62500, 4980, 5)
    assert (data.info("places_lt").num_classes, data.info("places_lt").train_count) == (365, 62500)
    assert listfile.published_counts("imagenet_lt") is None


def test_another_list_of_places_lt_is_told_apart(tmp_path, monkeypatch):
    info = dataclasses.replace(catalog.info("places_lt"), num_classes=2)
    monkeypatch.setitem(catalog._CATALOG, "places_lt", info)
    for n in range(2):
        write_jpeg(tmp_path / f"places_lt/{n}.jpg")
    (tmp_path / "places_lt/Places_LT_train.txt").write_text("0.jpg 0\n1.jpg 1\n")
    with pytest.warns(
        UserWarning, match="not the published list of places_lt: 2 images where that has 62500"
    ):
        data.load("places_lt", "train", root=tmp_path)


def test_classes_of_100_and_of_20_images_are_medium():
    counts, accuracy = np.array([101, 100, 20, 19, 5, 4]), np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.1])
    found = metrics.group_accuracy(accuracy, counts)
    assert found == pytest.approx({"many": 90, "medium": 75, "few": 40})
