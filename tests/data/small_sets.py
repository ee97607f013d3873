"""Small data sets of noise, written in each layout that users have."""

import hashlib
import io
import json
import pickle
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from lt_core.data import catalog

CLASSES = ("airplane", "automobile", "bird")
TRAIN, TEST = 12, 4  # images per class


def shrink(monkeypatch, name="cifar10", **changes):
    """Make a data set of three classes and 8 x 8 pixels out of a known one."""
    small = {
        "num_classes": 3,
        "head_count": TRAIN,
        "test_count": TEST,
        "image_shape": (3, 8, 8),
        "class_names": CLASSES,
        "holdout": 2,
        "train_count": None,
    }
    info = replace(catalog.info(name), **{**small, **changes})
    monkeypatch.setitem(catalog._CATALOG, name, info)
    return info


def noise(labels, seed=0):
    """An 8 x 8 image for each label, uint8 (N, 3, 8, 8)."""
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (len(labels), 3, 8, 8), dtype=np.uint8)


def encoded(pixels, format="PNG", mode="RGB", **options):
    """(3, H, W) -> the bytes of an image file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels.transpose(1, 2, 0)).convert(mode).save(buffer, format, **options)
    return buffer.getvalue()


def write_image(path, pixels=None, format="PNG", mode="RGB", **options):
    """An image file of noise, in folders that are made for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = noise([0])[0] if pixels is None else pixels
    path.write_bytes(encoded(pixels, format, mode, **options))


def split_labels(split, seed=0):
    """Labels of a balanced split, in an order of no meaning."""
    labels = np.repeat(np.arange(3), TRAIN if split == "train" else TEST)
    return np.random.default_rng(seed).permutation(labels)


def write_parquet(path, labels, files, names=CLASSES, columns=("img", "label")):
    """A shard in Hugging Face's layout; ``files`` are encoded images."""
    image, label = columns
    structs = [{"bytes": file, "path": None} for file in files]
    table = pa.table(
        {
            image: pa.array(structs, pa.struct({"bytes": pa.binary(), "path": pa.string()})),
            label: pa.array(labels, pa.int64()),
        }
    )
    if names is not None:
        features = {label: {"names": list(names), "_type": "ClassLabel"}}
        info = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": info})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def write_parquet_set(root, name="cifar10"):
    """Train and test shard, and what they hold: {split: (labels, pixels)}."""
    content = {}
    for seed, split in enumerate(("train", "test")):
        labels = split_labels(split)
        pixels = noise(labels, seed)
        path = root / name / f"{split}-00000-of-00001.parquet"
        write_parquet(path, labels, [encoded(image) for image in pixels])
        content[split] = labels, pixels
    return content


def write_pickles(monkeypatch, root):
    """CIFAR-10 as torchvision downloads it, with MD5s of these files as the published ones."""
    from torchvision.datasets import CIFAR10

    folder = root / "cifar10" / CIFAR10.base_folder
    folder.mkdir(parents=True)
    sums = {}

    def write(file, content):
        data = pickle.dumps(content, protocol=2)
        # Python 2 wrote dtypes with integers where Python 3 writes booleans.
        data = data.replace(b"\x89\x88\x87", b"K\x00K\x01\x87")
        (folder / file).write_bytes(data)
        sums[file] = hashlib.md5(data).hexdigest()

    train, test = split_labels("train"), split_labels("test")
    pixels, test_pixels = noise(train, 0), noise(test, 1)
    half = len(train) // 2
    write(
        "data_batch_1", {"data": pixels[:half].reshape(half, -1), "labels": train[:half].tolist()}
    )
    write(
        "data_batch_2", {"data": pixels[half:].reshape(half, -1), "labels": train[half:].tolist()}
    )
    write("test_batch", {"data": test_pixels.reshape(len(test), -1), "labels": test.tolist()})
    write("batches.meta", {"label_names": list(CLASSES)})
    train_list = [[file, sums[file]] for file in ("data_batch_1", "data_batch_2")]
    monkeypatch.setattr(CIFAR10, "train_list", train_list)
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    meta = {**CIFAR10.meta, "filename": "batches.meta", "md5": sums["batches.meta"]}
    monkeypatch.setattr(CIFAR10, "meta", meta)
    return folder


def write_folders(root, name="cifar10", names=CLASSES):
    """train/CLASS/N.png and test/CLASS/N.png with the images of ``write_parquet_set``."""
    for seed, split in enumerate(("train", "test")):
        labels = split_labels(split)
        for row, (label, image) in enumerate(zip(labels, noise(labels, seed), strict=True)):
            path = root / name / split / names[label] / f"{row}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(image))
