"""The papers' large sets, as generated trees in the layout of their published lists."""

import dataclasses
import json

import numpy as np
import pytest
from own_images import write_jpeg

from lt_core import data
from lt_core.data import catalog, listfile
from lt_core.errors import ConfigError, DataError
from lt_core.training import RunConfig, metrics, train

COUNTS, TESTED = (6, 3, 2), 2
LISTS = {
    "imagenet_lt": ("ImageNet_LT_train.txt", "ImageNet_LT_test.txt"),
    "places_lt": ("Places_LT_train.txt", "Places_LT_test.txt"),
    "inaturalist2017": ("train2017.json", "val2017.json"),
    "inaturalist2018": ("train2018.json", "val2018.json"),
}


@pytest.fixture(params=LISTS)
def listed(request, tmp_path, monkeypatch):
    """Three classes of a set, in its own layout: the name, and the root that holds it."""
    name = request.param
    small = dataclasses.replace(catalog.info(name), num_classes=3, train_count=None)
    monkeypatch.setitem(catalog._CATALOG, name, small)
    monkeypatch.setattr(listfile, "published_counts", lambda name: None)
    folder = tmp_path / name
    for seed, (list_file, counts) in enumerate(
        zip(LISTS[name], (COUNTS, [TESTED] * 3), strict=True)
    ):
        paths = [
            (f"images/{list_file.partition('.')[0]}/{label}/{n}.jpg", label)
            for label, count in enumerate(counts)
            for n in range(count)
        ]
        for n, (path, _) in enumerate(paths):
            write_jpeg(folder / path, 40, 60, 100 * seed + n)
        if list_file.endswith(".txt"):
            text = "".join(f"{path} {label}\n" for path, label in paths)
        else:
            text = json.dumps(
                {
                    "categories": [{"id": c, "name": f"species {c}"} for c in range(3)],
                    "images": [{"id": n, "file_name": p} for n, (p, _) in enumerate(paths)],
                    "annotations": [
                        {"image_id": n, "category_id": c} for n, (_, c) in enumerate(paths)
                    ],
                }
            )
        (folder / list_file).write_text(text)
    return name, tmp_path


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


def test_a_group_of_rare_classes_is_cut_where_one_says():
    counts, accuracy = np.array([200, 100, 20, 19, 5, 4]), np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.1])
    three = metrics.group_accuracy(accuracy, counts)
    assert three == pytest.approx({"many": 90, "medium": 75, "few": 40})
    four = metrics.group_accuracy(accuracy, counts, rare_below=5)
    assert four == pytest.approx({"many": 90, "medium": 75, "few": 55, "rare": 10})
    with pytest.raises(ConfigError, match="rare_below: expected 0 to 20"):
        metrics.groups(counts, 21)
