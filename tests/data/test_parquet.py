import contextlib
import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import small_sets as small
import torch
from PIL import ImageFile

from lt_core import data
from lt_core.errors import DataError


@pytest.fixture(autouse=True)
def info(monkeypatch):
    return small.shrink(monkeypatch)


def write(root, labels, files, **options):
    path = root / "cifar10" / "train-00000-of-00001.parquet"
    small.write_parquet(path, labels, files, **options)
    return path


def full_train():
    labels = small.split_labels("train")
    return labels, [small.encoded(image) for image in small.noise(labels)]


def test_pixels_and_labels_arrive_unchanged(tmp_path):
    content = small.write_parquet_set(tmp_path)
    train, test = data.load_train_test("cifar10", root=tmp_path)
    for dataset, (labels, pixels) in zip((train, test), content.values(), strict=True):
        assert torch.equal(dataset.images, torch.from_numpy(pixels[dataset.indices]))
        assert torch.equal(dataset.targets, torch.from_numpy(labels[dataset.indices]))
    assert train.class_counts == [12, 12, 12]
    assert test.class_counts == [4, 4, 4]
    assert train.label_map is None


def test_order_of_rows_and_names_changes_nothing(tmp_path):
    """D4, D6: same images in another file order and with permuted class names, mapped by name."""
    labels, files = full_train()
    write(tmp_path / "a", labels, files)
    order = np.random.default_rng(9).permutation(len(labels))
    renamed = np.array([2, 0, 1])  # airplane is 2, automobile 0, bird 1
    write(
        tmp_path / "b",
        renamed[labels][order],
        [files[row] for row in order],
        names=("automobile", "bird", "airplane"),
    )
    first, second = (data.load("cifar10", "train", root=tmp_path / r) for r in "ab")
    assert first.sha256 == second.sha256
    assert first.class_names == second.class_names == small.CLASSES
    assert second.label_map == (1, 2, 0)


def test_without_names_labels_are_the_standard_order(tmp_path):
    labels, files = full_train()
    write(tmp_path, labels, files, names=None)
    assert data.load("cifar10", "train", root=tmp_path).class_names == small.CLASSES


def test_strange_class_is_named(tmp_path):
    labels, files = full_train()
    path = write(tmp_path, labels, files, names=("airplane", "automobile", "bicycle"))
    with pytest.raises(DataError, match="'bicycle' is no class of cifar10") as caught:
        data.load("cifar10", "train", root=tmp_path)
    assert str(path) in str(caught.value)


def test_class_missing_from_the_test_images(tmp_path):
    small.write_parquet_set(tmp_path)
    labels = small.split_labels("test")
    labels[labels == 2] = 1
    files = [small.encoded(image) for image in small.noise(labels, 1)]
    small.write_parquet(tmp_path / "cifar10" / "test-00000-of-00001.parquet", labels, files)
    with pytest.raises(
        DataError, match=r"another number of test images than 4, first 'automobile'"
    ):
        data.load("cifar10", "test", root=tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (small.encoded(small.noise([0])[0], "JPEG")[:-60], "not a complete image"),
        (b"", r"empty \(0 bytes\)"),
        (small.encoded(np.zeros((3, 9, 8), np.uint8)), "PNG image of 8 x 9 pixels, expected 8 x 8"),
    ],
)
def test_image_that_cannot_be_used_is_named_by_row(tmp_path, content, reason):
    labels, files = full_train()
    files[7] = content
    path = write(tmp_path, labels, files)
    with pytest.raises(DataError, match=f"{path}: row 7: {reason}"):
        data.load("cifar10", "train", root=tmp_path)
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


@pytest.mark.parametrize(
    ("columns", "missing"),
    [(("thing", "label"), "image"), (("img", "thing"), "label"), (("img", "img"), "image")],
)
def test_columns_that_are_missed_are_named_beside_those_there(tmp_path, columns, missing):
    path = tmp_path / "cifar10" / "train.parquet"
    path.parent.mkdir()
    pq.write_table(pa.Table.from_arrays([pa.array([b"a"])] * 2, columns), path)
    there = ", ".join(sorted(columns))
    with pytest.raises(DataError, match=f"no {missing} column, .* the file has {there}"):
        data.load("cifar10", "train", root=tmp_path)


@pytest.mark.parametrize("label", [-1, 3, 255])
def test_label_out_of_range_is_named_by_row(tmp_path, label):
    """L4: on a GPU no loss looks at labels, so they are checked where data enters."""
    labels, files = full_train()
    labels[5] = label
    write(tmp_path, labels, files)
    with pytest.raises(DataError, match=rf"row 5 has label {label}, expected 0 to 2"):
        data.load("cifar10", "train", root=tmp_path)


PATH = pa.field("path", pa.large_string())
IMAGE_TYPES = {
    "binary": pa.binary(),
    "large_binary": pa.large_binary(),
    "list of bytes": pa.list_(pa.uint8()),
    "struct": pa.struct([("bytes", pa.binary()), PATH]),
    "struct, other order": pa.struct([PATH, ("bytes", pa.large_binary())]),
}
# pyarrow learned in steps to make views, to write them and to slice them: tried where it can.
with contextlib.suppress(AttributeError, pa.ArrowNotImplementedError):
    pq.write_table(pa.table({"x": pa.array([b"a"], pa.binary_view())}), io.BytesIO())
    IMAGE_TYPES["binary_view"] = pa.binary_view()
    IMAGE_TYPES["struct of views"] = pa.struct([PATH, ("bytes", pa.binary_view())])


@pytest.mark.parametrize("kind", [*IMAGE_TYPES, "dictionary"])
@pytest.mark.parametrize("chunks", [1, 4])
def test_any_type_of_bytes_is_read(tmp_path, kind, chunks):
    labels, files = full_train()
    values = files
    if kind.startswith("struct"):
        values = [{"bytes": file, "path": "x.png"} for file in files]
    elif kind.startswith("list"):
        values = [list(file) for file in files]
    parts = [
        pa.array([values[row] for row in part], IMAGE_TYPES.get(kind, pa.binary()))
        for part in np.array_split(np.arange(len(labels)), chunks)
    ]
    if kind == "dictionary":
        parts = pa.chunked_array(parts).dictionary_encode().chunks
    column = pa.chunked_array(parts)
    path = tmp_path / "cifar10" / "train-00000-of-00001.parquet"
    path.parent.mkdir()
    table = pa.table({"image": column, "label": labels})
    with pq.ParquetWriter(path, table.schema) as writer:
        writer.write_table(table.slice(0, 0))  # a group without rows
        writer.write_table(table, row_group_size=len(table) if "view" in kind else 10)
    train = data.load("cifar10", "train", root=tmp_path)
    assert torch.equal(train.images, torch.from_numpy(small.noise(labels)[train.indices]))


@pytest.mark.parametrize(
    "kind",
    [
        *(pa.int8(), pa.int16(), pa.int32(), pa.int64()),
        *(pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()),
        *(pa.float32(), pa.float64(), pa.string(), pa.large_string()),
        *(pa.dictionary(pa.int8(), pa.int64()), pa.dictionary(pa.int8(), pa.string())),
    ],
    ids=str,
)
def test_any_type_of_whole_numbers_or_names_is_a_label(tmp_path, kind):
    labels, files = full_train()
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    text = pa.types.is_string(value) or pa.types.is_large_string(value)
    column = [small.CLASSES[label] for label in labels] if text else labels
    column = pa.array(column, value)
    column = column.dictionary_encode() if pa.types.is_dictionary(kind) else column
    path = tmp_path / "cifar10" / "train.parquet"
    path.parent.mkdir()
    pq.write_table(pa.table({"image": pa.array(files), "label": column}), path)
    train = data.load("cifar10", "train", root=tmp_path)
    assert train.targets.tolist() == labels[train.indices].tolist()


@pytest.mark.parametrize(
    ("images", "labels", "complaint"),
    [
        ([b"a", None], [0, 1], "row 1 has no image, 1 such rows"),
        (
            [{"bytes": None, "path": "x.png"}, {"bytes": b"a", "path": ""}],
            [0, 1],
            "row 0 has no im",
        ),
        ([None, {"bytes": b"a", "path": ""}], [0, 1], "row 0 has no image, 1 such rows"),
        (pa.array([b"a", None]).dictionary_encode(), [0, 1], "row 1 has no image"),
        ([b"a", b"b"], [0, None], "row 1 has no label, 1 such rows"),
        ([b"a", b"b"], ["bird", None], "row 1 has no label, 1 such rows"),
        ([b"a", b"b"], pa.array([1, None]).dictionary_encode(), "row 1 has no label"),
        (
            [b"a", b"b"],
            [0.0, np.nan],
            "column 'label' is double, expected whole numbers .*nan",
        ),
        ([b"a", b"b"], [0.0, 1.5], r"column 'label' is double, expected whole numbers .*1\.5"),
        ([b"a", b"b"], [True, False], "column 'label' is bool, expected whole numbers"),
        (
            [b"a", b"b"],
            pa.array([b"bird", b"\xe9"]).view(pa.string()),
            "column 'label' is string, .*can't decode byte 0xe9",
        ),
        (
            [b"a", b"b"],
            pa.array([0, 2**64 - 1], pa.uint64()),
            f"column 'label' is .*{2**64 - 1}",
        ),
        (
            [b"a", b"b"],
            [[0], [1]],
            "column 'label' is list<.*, expected whole numbers",
        ),
        (["a", "b"], [0, 1], "column 'image' is string, expected struct<bytes, path>"),
        ([[[1]], [[2]]], [0, 1], "column 'image' is list<.*, expected struct<bytes, path>"),
        ([[1, 999], [2]], [0, 1], "column 'image' is list<.*, expected struct<bytes, path>"),
        (
            [{"path": "x"}, {"path": "y"}],
            [0, 1],
            "column 'image' is struct<path: string>, expected",
        ),
    ],
)
def test_cells_that_cannot_be_read_are_named(tmp_path, images, labels, complaint):
    path = tmp_path / "cifar10" / "train.parquet"
    path.parent.mkdir()
    pq.write_table(pa.table({"image": images, "label": labels}), path)
    with pytest.raises(DataError, match=rf"train\.parquet: {complaint}"):
        data.load("cifar10", "train", root=tmp_path)


def test_table_without_rows_holds_no_image(tmp_path):
    write(tmp_path, np.array([], int), [])
    with pytest.raises(DataError, match="class 0 needs 12 images"):
        data.load("cifar10", "train", root=tmp_path)


@pytest.mark.parametrize("metadata", ["{", "[]", '{"info": {"features": {"label": {"names": 3}}}}'])
def test_metadata_that_names_no_classes_is_left_alone(tmp_path, metadata):
    labels, files = full_train()
    path = tmp_path / "cifar10" / "train.parquet"
    path.parent.mkdir()
    table = pa.table({"image": pa.array(files), "label": labels})
    pq.write_table(table.replace_schema_metadata({"huggingface": metadata}), path)
    assert data.load("cifar10", "train", root=tmp_path).class_names == small.CLASSES


@pytest.mark.parametrize(
    "names", [("airplane", "automobile", "bir"), ("Airplane", "AUTOMOBILE", "birds")]
)
def test_classes_may_be_spelled_in_another_way(tmp_path, names):
    """Hugging Face's CIFAR-100 has a class `cra`."""
    small.write_parquet_set(tmp_path)
    labels, files = full_train()
    write(tmp_path, labels, files, names=names)
    train, test = data.load_train_test("cifar10", root=tmp_path)
    assert train.class_names == test.class_names == small.CLASSES
    assert train.label_map is None


def test_shards_of_other_classes_are_refused(tmp_path, monkeypatch):
    small.shrink(monkeypatch, "tinyimagenet", class_names=None)
    labels, files = full_train()
    for shard, names in enumerate((("n1", "n2", "n3"), None, ("n1", "n2", "n4"))):
        path = tmp_path / "tinyimagenet" / f"train-0000{shard}-of-00003.parquet"
        small.write_parquet(path, labels[shard::3], files[shard::3], names=names)
    with pytest.raises(DataError, match=r"train-00002.*: other classes than in .*train-00000"):
        data.load("tinyimagenet", "train", root=tmp_path)
    small.write_parquet(path, labels[2::3], files[2::3], names=("n1", "n2", "n3"))
    train = data.load("tinyimagenet", "train", root=tmp_path)
    assert train.class_names == ("n1", "n2", "n3")


def test_file_cut_anywhere_is_refused(tmp_path):
    path = write(tmp_path, *full_train())
    whole = path.read_bytes()
    for length in (0, 3, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match="cannot be read as parquet") as caught:
            data.load("cifar10", "train", root=tmp_path)
        assert str(path) in str(caught.value)


# Shards


@pytest.fixture
def sharded(tmp_path):
    """Shard 0 is cut to factor 10, shard 1 holds the rest: how the big sets are stored."""
    labels = np.repeat(np.arange(3), small.TRAIN)
    files = [small.encoded(image) for image in small.noise(labels)]
    first = np.concatenate([np.flatnonzero(labels == c)[:n] for c, n in enumerate((12, 3, 1))])
    rest = np.setdiff1d(np.arange(len(labels)), first)
    paths = [tmp_path / "cifar10" / f"train-0000{k}-of-00002.parquet" for k in (0, 1)]
    for path, rows in zip(paths, (first, rest), strict=True):
        small.write_parquet(path, labels[rows], [files[row] for row in rows])
    return paths


def test_factor_of_ten_reads_shard_0_alone(sharded, tmp_path):
    both = data.load("cifar10", "train", 10, tmp_path)
    assert both.class_counts == [12, 3, 1]
    sharded[1].unlink()
    alone = data.load("cifar10", "train", 10, tmp_path)
    assert both.sha256 == alone.sha256
    assert both.files == alone.files == (sharded[0],)


def test_smaller_factor_needs_every_shard(sharded, tmp_path):
    assert data.load("cifar10", "train", 2, tmp_path).files == tuple(sharded)
    sharded[1].unlink()
    with pytest.raises(DataError, match=r"train-00001-of-00002\.parquet is missing, 1 of 2 shards"):
        data.load("cifar10", "train", 2, tmp_path)


def test_missing_first_shard_is_named(sharded, tmp_path):
    sharded[0].unlink()
    with pytest.raises(DataError, match=r"train-00000-of-00002\.parquet is missing"):
        data.load("cifar10", "train", 10, tmp_path)


def test_shards_of_different_sets_are_refused(sharded, tmp_path):
    sharded[1].rename(sharded[1].with_name("train-00001-of-00003.parquet"))
    with pytest.raises(DataError, match="shards of different sets"):
        data.load("cifar10", "train", 2, tmp_path)


def test_two_files_for_one_shard_are_refused(sharded, tmp_path):
    copy = sharded[0].parent / "copy" / sharded[0].name
    copy.parent.mkdir()
    copy.write_bytes(sharded[0].read_bytes())
    with pytest.raises(DataError, match=r"shards of different sets, such as .*; remove one"):
        data.load("cifar10", "train", 10, tmp_path)


def test_too_small_a_source_says_what_it_has(tmp_path):
    labels, files = full_train()
    keep = np.flatnonzero(~((labels == 1) & (np.arange(len(labels)) > 10)))
    write(tmp_path, labels[keep], [files[row] for row in keep])
    with pytest.raises(DataError, match="imbalance factor 1: class 1 needs 12 images"):
        data.load("cifar10", "train", root=tmp_path)


def test_validation_shards_beside_test_shards_are_left_alone(tmp_path):
    small.write_parquet_set(tmp_path)
    folder = tmp_path / "cifar10"
    small.write_parquet(
        folder / "valid-00000-of-00001.parquet", [0], [small.encoded(small.noise([0])[0])]
    )
    assert data.load("cifar10", "test", root=tmp_path).class_counts == [4, 4, 4]
    (folder / "test-00000-of-00001.parquet").rename(folder / "valid-00000-of-00001.parquet")
    assert data.load("cifar10", "test", root=tmp_path).class_counts == [4, 4, 4]
