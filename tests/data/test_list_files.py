import json

import numpy as np
import pytest
import small_sets as small
import torch

from lt_core import data
from lt_core.data.listfile import LazyImages
from lt_core.errors import ConfigError, DataError

LISTED = {"head_count": None, "test_count": None, "class_names": None, "image_shape": (3, 8, 8)}


@pytest.fixture
def folder(monkeypatch, tmp_path):
    small.shrink(monkeypatch, "imagenet_lt", **LISTED)
    small.shrink(monkeypatch, "inaturalist2018", **LISTED)
    for name in ("imagenet_lt", "inaturalist2018"):
        (tmp_path / name / "train").mkdir(parents=True)
        for row in range(9):
            image = small.noise([0], seed=row)[0]
            (tmp_path / name / "train" / f"a {row}.jpg").write_bytes(small.encoded(image, "JPEG"))
    return tmp_path / "imagenet_lt"


def write_list(folder, lines, split="train", newline="\n"):
    path = folder / f"ImageNet_LT_{split}.txt"
    path.write_bytes(newline.join([*lines, ""]).encode())
    return path


LINES = [f"train/a {row}.jpg {label}" for row, label in enumerate((2, 0, 0, 0, 0, 1, 1, 0, 2))]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_list_gives_paths_labels_and_counts(folder, tmp_path, newline):
    write_list(folder, LINES, newline=newline)
    train = data.load("imagenet_lt", "train", root=tmp_path)
    assert train.class_counts == [5, 2, 2]
    assert train.targets.tolist() == [2, 0, 0, 0, 0, 1, 1, 0, 2]
    assert train.class_names == ("0", "1", "2")
    assert train.is_lazy
    assert train.images.shape == (9, 3, 8, 8)


def test_images_are_decoded_on_indexing(folder, tmp_path):
    write_list(folder, LINES)
    images = data.load("imagenet_lt", "train", root=tmp_path).images
    batch = images[torch.tensor([4, 0, 4])]
    assert batch.shape == (3, 3, 8, 8)
    assert batch.dtype == torch.uint8
    assert torch.equal(batch[0], batch[2])
    assert torch.equal(images[0], batch[1])
    assert torch.equal(images[:2][0], batch[1])
    assert images[torch.tensor([], dtype=torch.int64)].shape == (0, 3, 8, 8)


@pytest.mark.parametrize(("height", "width"), [(50, 20), (20, 50), (3, 9), (31, 31)])
def test_any_size_becomes_the_centre(tmp_path, height, width):
    pixels = np.zeros((3, height, width), np.uint8)
    pixels[:, height // 2, width // 2] = 255
    (tmp_path / "x.png").write_bytes(small.encoded(pixels))
    image = LazyImages(tmp_path, ["x.png"], size=8, resize=10)[0]
    assert image.shape == (3, 8, 8)
    brightest = int(image[0].argmax())
    assert abs(brightest // 8 - 4) <= 2
    assert abs(brightest % 8 - 4) <= 2


def test_damaged_image_is_named(folder, tmp_path):
    path = folder / "train" / "a 3.jpg"
    path.write_bytes(path.read_bytes()[:-40])
    write_list(folder, LINES)
    images = data.load("imagenet_lt", "train", root=tmp_path).images
    with pytest.raises(DataError, match="not a complete image") as caught:
        images[torch.arange(9)]
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("train/none.jpg 0", "train/none.jpg is not there"),
        ("", "blank"),
        ("train/a 0.jpg cat", "label 'cat' is no number"),
        ("train/a 0.jpg 3", "label 3, expected 0 to 2"),
        ("train/a 0.jpg -1", "label -1, expected 0 to 2"),
        ("train/a 1.jpg 0", "train/a 1.jpg again, first in line 2"),
        ("train/../../x.jpg 0", "train/../../x.jpg leaves the data set's folder"),
        ("..\\x.jpg 0", "leaves the data set's folder"),
        ("/etc/passwd 0", "/etc/passwd leaves the data set's folder"),
        ("C:\\x.jpg 0", "leaves the data set's folder"),
        ("train/alone.jpg", "'train/alone.jpg' is no image and label"),
    ],
)
def test_unusable_line_is_reported(folder, tmp_path, line, complaint):
    """D3"""
    path = write_list(folder, [*LINES[:4], line, *LINES[4:]])
    with pytest.raises(DataError) as caught:
        data.load("imagenet_lt", "train", root=tmp_path)
    assert str(caught.value).startswith(f"{path}: 1 unusable entries: line 5: ")
    assert complaint in str(caught.value)


def test_report_names_five_and_counts_all(folder, tmp_path):
    write_list(folder, [*LINES, *(f"train/none{i}.jpg 0" for i in range(9))])
    with pytest.raises(DataError, match=r"9 unusable entries: line 10: .*; and 4 more") as caught:
        data.load("imagenet_lt", "train", root=tmp_path)
    assert str(caught.value).count("is not there") == 5


def test_class_without_images_is_named(folder, tmp_path):
    write_list(folder, LINES[1:7])
    with pytest.raises(DataError, match="1 of 3 classes have no image, first '2'"):
        data.load("imagenet_lt", "train", root=tmp_path)


def test_hash_ignores_the_order_of_lines(folder, tmp_path):
    write_list(folder, LINES)
    write_list(folder, LINES[::-1], "val")
    first, second = (data.load("imagenet_lt", split, root=tmp_path) for split in ("train", "val"))
    assert first.sha256 == second.sha256


def test_same_list_for_training_and_test_is_refused(folder, tmp_path):
    write_list(folder, LINES)
    write_list(folder, LINES, "test")
    with pytest.raises(DataError, match="9 of 9 test images are training images too"):
        data.load_train_test("imagenet_lt", root=tmp_path)


def test_profile_cannot_be_cut(folder, tmp_path):
    with pytest.raises(ConfigError, match="long-tailed by nature"):
        data.load("imagenet_lt", "train", 100, root=tmp_path)
    with pytest.raises(ConfigError, match="long-tailed by nature"):
        data.load("imagenet_lt", "train", holdout=5, root=tmp_path)


def test_missing_list_is_named(tmp_path):
    with pytest.raises(DataError, match=r"no Places_LT_train\.txt in .*; put Places_LT"):
        data.load("places_lt", "train", root=tmp_path)


def inaturalist(categories=(30, 10, 20)):
    """Three categories whose ids are neither sorted nor 0 to 2."""
    labels = (30, 10, 10, 10, 20, 20)
    return {
        "images": [{"id": 100 + i, "file_name": f"train/a {i}.jpg"} for i in range(6)],
        "annotations": [
            {"image_id": 100 + i, "category_id": label} for i, label in enumerate(labels)
        ],
        "categories": [{"id": c, "name": f"species {c}"} for c in categories],
    }


def test_json_orders_classes_by_category_id(folder, tmp_path):
    path = tmp_path / "inaturalist2018" / "train2018.json"
    path.write_text(json.dumps(inaturalist()))
    train = data.load("inaturalist2018", "train", root=tmp_path)
    assert train.class_names == ("species 10", "species 20", "species 30")
    assert train.class_counts == [3, 2, 1]
    assert train.images.paths[0] == "train/a 0.jpg"


def test_json_errors_are_named(folder, tmp_path):
    path = tmp_path / "inaturalist2018" / "train2018.json"
    content = inaturalist()
    content["annotations"][1]["category_id"] = 77
    content["annotations"][2]["image_id"] = 77
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="2 unusable entries: annotation 1: label 'id 77'"):
        data.load("inaturalist2018", "train", root=tmp_path)
    path.write_text(json.dumps(inaturalist((10, 20))))
    with pytest.raises(DataError, match="2 categories, inaturalist2018 has 3"):
        data.load("inaturalist2018", "train", root=tmp_path)
    path.write_text(json.dumps(inaturalist())[:-30])
    with pytest.raises(DataError, match="not an iNaturalist file"):
        data.load("inaturalist2018", "train", root=tmp_path)


def test_inaturalist_has_no_validation_list_of_its_own(folder, tmp_path):
    with pytest.raises(ConfigError, match="no list for split 'val'; it has train, test"):
        data.load("inaturalist2018", "val", root=tmp_path)
