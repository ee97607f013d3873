import json

import pytest
import small_sets as small
import torch

from lt_core import data
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


def test_one_cause_is_named_once_and_counted(folder, tmp_path):
    write_list(folder, ["", *LINES, "x", *(f"train/none{i}.jpg 0" for i in range(9))])
    with pytest.raises(DataError) as caught:
        data.load("imagenet_lt", "train", root=tmp_path)
    message = str(caught.value)
    assert ": 11 unusable entries: line 1: blank; line 11: 'x' is no image" in message
    assert f"line 12 and 8 more: train/none0.jpg is not there, in {folder / 'train'}" in message
    assert message.count("is not there") == 1
    assert "which holds a 0.jpg, a 1.jpg" in message


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


def test_profile_cannot_be_stretched(folder, tmp_path):
    for factor in (256, 300):
        with pytest.raises(ConfigError, match=r"long-tailed by nature, .* below its own 256"):
            data.load("imagenet_lt", "train", factor, root=tmp_path)
    with pytest.raises(ConfigError, match="long-tailed by nature"):
        data.load("imagenet_lt", "train", 300, holdout=5, root=tmp_path)


def test_a_smaller_factor_keeps_so_many_times_the_smallest_class(folder, tmp_path):
    write_list(folder, LINES)
    whole = data.load("imagenet_lt", "train", root=tmp_path)
    cut, again, other = (
        data.load("imagenet_lt", "train", 2, root=tmp_path, subset_seed=seed) for seed in (0, 0, 1)
    )
    assert cut.class_counts == [4, 2, 2]
    assert (cut.imbalance_factor, len(cut.images)) == (2, 8)
    assert [whole.images.paths[row] for row in cut.indices] == cut.images.paths
    assert cut.sha256 == again.sha256 != other.sha256
    with pytest.raises(ConfigError, match=r"has one of 2\.5 and cannot be cut to 2\.5"):
        data.load("imagenet_lt", "train", 2.5, root=tmp_path)


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


def test_number_of_categories_is_the_data_sets(folder, tmp_path):
    path = tmp_path / "inaturalist2018" / "train2018.json"
    path.write_text(json.dumps(inaturalist((10, 20))))
    with pytest.raises(DataError, match="2 categories, inaturalist2018 has 3"):
        data.load("inaturalist2018", "train", root=tmp_path)


def test_inaturalist_has_no_validation_list_of_its_own(folder, tmp_path):
    with pytest.raises(ConfigError, match="no list for split 'val'; it has train, test"):
        data.load("inaturalist2018", "val", root=tmp_path)


# Lists as people have them


def targets(tmp_path, name="imagenet_lt"):
    return data.load(name, "train", root=tmp_path).targets.tolist()


LABELS = [2, 0, 0, 0, 0, 1, 1, 0, 2]
FILES = [line.rpartition(" ")[0] for line in LINES]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n\n \n\t\n", ""])
def test_text_in_any_encoding(folder, tmp_path, encoding, end):
    newline = end if end in ("\n", "\r\n", "\r") else "\n"
    (folder / "ImageNet_LT_train.txt").write_bytes((newline.join(LINES) + end).encode(encoding))
    assert targets(tmp_path) == LABELS


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "latin-1", "utf-16"])
def test_names_with_accents(folder, tmp_path, encoding):
    for path, name in zip(FILES, "éàüßñ", strict=False):
        (folder / path).rename(folder / "train" / f"{name}.jpg")
    lines = [f"train/{name}.jpg {label}" for name, label in zip("éàüßñ", LABELS, strict=False)]
    content = "\n".join([*lines, *LINES[5:]]).encode(encoding)
    (folder / "ImageNet_LT_train.txt").write_bytes(content)
    assert targets(tmp_path) == LABELS


@pytest.mark.parametrize(
    "form",
    [
        "{}\t{}",
        "{},{}",
        "{}, {}",
        "{} ; {}",
        '"{}" {}',
        '"{}",{}',
        "'{}','{}'",
        "  {}   {}  ",
        "{} {}.0",
        "./{} {}",
        "/{} {}",
        ".//{} {}",
        "{folder}/{} {}",
    ],
)
def test_forms_of_a_line(folder, tmp_path, form):
    lines = [
        form.format(path, label, folder=folder) for path, label in zip(FILES, LABELS, strict=True)
    ]
    write_list(folder, lines)
    train = data.load("imagenet_lt", "train", root=tmp_path)
    assert train.targets.tolist() == LABELS
    assert train.images.paths == FILES  # in one form, so that hashes of the list agree
    assert train.images[:].shape == (9, 3, 8, 8)


@pytest.mark.parametrize("head", ["path,label", "file label", "image\tclass"])
def test_heads_of_columns_are_no_image(folder, tmp_path, head):
    write_list(folder, [head, *LINES])
    assert targets(tmp_path) == LABELS


def test_backslashes_separate_folders(folder, tmp_path):
    write_list(folder, [line.replace("/", "\\") for line in LINES])
    assert targets(tmp_path) == LABELS


def test_one_image_with_two_labels_is_refused(folder, tmp_path):
    write_list(folder, [*LINES, "./train//a 0.jpg 1", "train/a 1.jpg 0"])
    again = (
        r"2 unusable entries: line 10 and 1 more: \./train//a 0\.jpg again, first in line 1 with"
    )
    with pytest.raises(DataError, match=again + " label 2 instead of 1$"):
        targets(tmp_path)


@pytest.mark.parametrize(
    ("form", "instead"),
    [
        ("/home/somebody/imagenet/{}", "train/a 0.jpg"),
        ("C:\\data\\{}", "train/a 0.jpg"),
        ("data/imagenet/{}", "train/a 0.jpg"),
        ("train/n01/{name}", "train/a 0.jpg"),  # the list has folders of classes, the disk none
        ("{name}", "train/a 0.jpg"),
        ("train/{stem}.JPEG", "train/a 0.jpg"),
        ("train/{stem}", "train/a 0.jpg"),
    ],
)
def test_hint_where_the_images_lie_instead(folder, tmp_path, form, instead):
    paths = [
        form.format(path, name=path.split("/")[1], stem=path.split("/")[1][:-4]) for path in FILES
    ]
    write_list(folder, [f"{path} {label}" for path, label in zip(paths, LABELS, strict=True)])
    with pytest.raises(DataError) as caught:
        targets(tmp_path)
    message = str(caught.value)
    assert "9 unusable entries: line 1 and 8 more: " in message
    assert f", but {instead} is: move the files to where the list has them or edit" in message
    assert message.count(".jpg") <= 2


def test_labels_that_begin_at_1_are_named(folder, tmp_path):
    lines = [f"{path} {label + 1}" for path, label in zip(FILES, LABELS, strict=True)]
    write_list(folder, lines)
    with pytest.raises(DataError, match=r"line 1 and 1 more: label 3, expected 0 to 2; none is 0:"):
        targets(tmp_path)
    write_list(folder, [*lines[1:], f"{FILES[0]} 0", "x 3"])
    with pytest.raises(DataError) as caught:
        targets(tmp_path)
    assert "none is 0" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff\xfe"])
def test_empty_list_is_refused(folder, tmp_path, content):
    (folder / "ImageNet_LT_train.txt").write_bytes(content)
    with pytest.raises(DataError, match=r"ImageNet_LT_train\.txt: the list is empty"):
        targets(tmp_path)


@pytest.mark.parametrize(
    "line", ["train/\0.jpg 0", "\0 0", "train/a 0.jpg 1e3", "train/a 0.jpg " + "9" * 5000, "0"]
)
def test_strange_lines_are_one_error(folder, tmp_path, line):
    write_list(folder, [*LINES[1:], line])
    with pytest.raises(DataError, match="1 unusable entries: line 9: "):
        targets(tmp_path)


def test_folders_are_listed_and_files_not_asked_for(folder, tmp_path, monkeypatch):
    import os

    monkeypatch.setattr("os.path.isfile", None)
    listed = []
    scandir = os.scandir
    monkeypatch.setattr("os.scandir", lambda path: listed.append(path) or scandir(path))
    write_list(folder, LINES)
    assert targets(tmp_path) == LABELS
    assert [path for path in listed if path == folder / "train"] == [folder / "train"]


def test_root_is_the_folder_of_the_list(folder, tmp_path):
    write_list(folder, LINES)
    folder.rename(tmp_path / "mine")
    assert targets(tmp_path / "mine") == LABELS


def test_what_lies_where_the_list_should_is_said(tmp_path):
    (tmp_path / "places_lt").mkdir()
    (tmp_path / "places_lt" / "Places_LT_val.txt").write_text("")
    with pytest.raises(DataError, match=r"places_lt, which holds Places_LT_val\.txt; put Places"):
        data.load("places_lt", "train", root=tmp_path)


# iNaturalist


def write_json(tmp_path, content):
    path = tmp_path / "inaturalist2018" / "train2018.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("as_text", [False, True])
def test_ids_are_in_numeric_order(folder, tmp_path, as_text):
    content = inaturalist((100, 9, 20))
    for annotation in content["annotations"]:
        annotation["category_id"] = {30: 100, 10: 9, 20: 20}[annotation["category_id"]]
    if as_text:
        for category in content["categories"]:
            category["id"] = str(category["id"])
    write_json(tmp_path, content)
    train = data.load("inaturalist2018", "train", root=tmp_path)
    assert train.class_names == ("species 9", "species 20", "species 100")
    assert train.targets.tolist() == [2, 0, 0, 0, 1, 1]


@pytest.mark.parametrize(
    ("table", "row", "change", "complaint"),
    [
        ("annotations", 1, {"image_id": 77}, r"annotation 1 \(image 77\): the image is not in the"),
        ("annotations", 1, {"category_id": 77}, r"annotation 1 \(image 101\): category 77 is not"),
        (
            "annotations",
            1,
            {"image_id": None},
            r"annotation 1 \(image None\): .* no usable image_id",
        ),
        ("annotations", 1, {"category_id": [1]}, r"annotation 1 \(image 101\): .* and category_id"),
        ("annotations", 1, {"category_id": {}}, r"annotation 1 \(image 101\): .* no usable"),
        ("annotations", 1, {"category_id": True}, r"annotation 1 \(image 101\): .* no usable"),
        ("annotations", 1, 5, r"annotation 1 \(image None\): 5 has no usable image_id"),
        (
            "annotations",
            1,
            {"image_id": 100, "category_id": 10},
            "image 100.* first in annotation 0",
        ),
        (
            "images",
            2,
            {"file_name": 5},
            "image 2 has the file_name 5, expected text",
        ),
        ("images", 2, {"file_name": None}, "image 2 has the file_name None, expected text"),
        ("images", 2, {"file_name": ["x"]}, r"image 2 has the file_name \['x'\], expected text"),
        ("images", 2, {"file_name": ""}, "image 2 has the file_name '', expected text$"),
        ("images", 2, {"file_name": "."}, r"annotation 2 \(image 102\): \. is not there$"),
        ("images", 2, {"file_name": "x\ny"}, r"annotation 2 \(image 102\): x\\ny is not there$"),
        ("categories", 2, {"name": None}, "category \\d+ has the name None, expected text"),
        ("categories", 2, {"name": ["x"]}, r"category \d+ has the name \['x'\], expected text"),
        ("images", 2, {"file_name": "../x"}, r"annotation 2 \(image 102\): \.\./x leaves"),
        ("images", 2, {"id": 101}, "image 2 has the id 101 of an earlier one"),
        ("images", 2, {"id": None}, "image 2 is .*, expected an object with an id and a file_name"),
        ("images", 2, "x", "image 2 is x, expected an object with an id and a file_name"),
        ("categories", 2, {"id": 30}, "category 2 has the id 30 of an earlier one"),
        (
            "categories",
            2,
            {"id": 1.5},
            "category 2 is .*, expected an object with an id and a name",
        ),
        ("categories", 2, None, "category 2 is None, expected an object"),
    ],
)
def test_wrong_values_are_named_with_their_entry(folder, tmp_path, table, row, change, complaint):
    content = inaturalist()
    entry = content[table][row]
    content[table][row] = {**entry, **change} if isinstance(change, dict) else change
    path = write_json(tmp_path, content)
    with pytest.raises(DataError, match=complaint) as caught:
        data.load("inaturalist2018", "train", root=tmp_path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ("images", "id"),
        ("images", "file_name"),
        ("annotations", "image_id"),
        ("annotations", "category_id"),
        ("categories", "id"),
        ("categories", "name"),
    ],
)
def test_missing_keys_are_named(folder, tmp_path, table, key):
    content = inaturalist()
    del content[table][1][key]
    write_json(tmp_path, content)
    with pytest.raises(DataError, match=rf"(image|category|annotation) 1.*{key}"):
        data.load("inaturalist2018", "train", root=tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b'{"images": {}, "annotations": [], "categories": []}',
        b"[" * 200_000,
        b"\xff\xff",
        b'{"images": NaN}',
    ],
)
def test_what_is_no_inaturalist_file_is_one_error(folder, tmp_path, content):
    (tmp_path / "inaturalist2018" / "train2018.json").write_bytes(content)
    with pytest.raises(DataError, match=r"train2018\.json: not an iNaturalist file"):
        data.load("inaturalist2018", "train", root=tmp_path)


def test_json_in_utf_16(folder, tmp_path):
    path = tmp_path / "inaturalist2018" / "train2018.json"
    path.write_bytes(json.dumps(inaturalist()).encode("utf-16"))
    assert targets(tmp_path, "inaturalist2018") == [2, 0, 0, 0, 1, 1]
