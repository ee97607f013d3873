"""Generated images as files: a user's own folder, and the papers' large sets from their lists."""

import dataclasses
import json

import numpy as np
from PIL import Image

from lt_core.data import catalog, listfile

#: The lists of training and test images, as they are published.
LISTS = {
    "imagenet_lt": ("ImageNet_LT_train.txt", "ImageNet_LT_test.txt"),
    "places_lt": ("Places_LT_train.txt", "Places_LT_test.txt"),
    "inaturalist2017": ("train2017.json", "val2017.json"),
    "inaturalist2018": ("train2018.json", "val2018.json"),
}


def write_jpeg(path, height=32, width=40, seed=0):
    """A picture of twelve coloured squares, in folders that are made for it."""
    coarse = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(coarse).resize((width, height), Image.Resampling.NEAREST).save(path, "JPEG")


def write_own_images(root, train=(12, 5, 3), test=2, names=("ant", "bee", "cat")):
    """train/CLASS/N.jpg and test/CLASS/N.jpg, of several sizes."""
    sides = np.random.default_rng(0).integers(24, 48, (1000, 2))
    seed = 0
    for split, counts in (("train", train), ("test", [test] * len(train))):
        for name, count in zip(names, counts, strict=True):
            for n in range(count):
                write_jpeg(root / split / name / f"{n}.jpg", *map(int, sides[seed]), seed)
                seed += 1
    return root


def write_listed(monkeypatch, root, name, train, test=2):
    """``root/NAME`` with lists in the layout of the set's own; it counts as one of few classes."""
    about = dataclasses.replace(catalog.info(name), num_classes=len(train))
    monkeypatch.setitem(catalog._CATALOG, name, about)
    monkeypatch.setattr(listfile, "published_counts", lambda name: None)
    seed = 0
    for list_file, counts in zip(LISTS[name], (train, [test] * len(train)), strict=True):
        listed = [(label, n) for label, count in enumerate(counts) for n in range(count)]
        paths = [f"images/{list_file.partition('.')[0]}/{label}/{n}.jpg" for label, n in listed]
        for path in paths:
            write_jpeg(root / name / path, 40, 60, seed)
            seed += 1
        if list_file.endswith(".txt"):
            rows = zip(paths, listed, strict=True)
            text = "".join(f"{path} {label}\n" for path, (label, _) in rows)
        else:
            annotations = enumerate(label for label, _ in listed)
            text = json.dumps(
                {
                    "categories": [{"id": c, "name": f"species {c}"} for c in range(len(train))],
                    "images": [{"id": n, "file_name": path} for n, path in enumerate(paths)],
                    "annotations": [{"image_id": n, "category_id": c} for n, c in annotations],
                }
            )
        (root / name / list_file).write_text(text)
