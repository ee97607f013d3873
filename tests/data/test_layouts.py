"""The same small data set as people have it: every layout gives the same images."""

import gzip
import re
import shutil
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import small_sets as small

from lt_core import data
from lt_core.data import catalog
from lt_core.data.files import natural_key
from lt_core.data.source import standard_classes
from lt_core.errors import DataError


@pytest.fixture(autouse=True)
def info(monkeypatch):
    return small.shrink(monkeypatch)


@pytest.fixture(scope="module")
def hashes(tmp_path_factory):
    """What every layout below has to give."""
    root = tmp_path_factory.mktemp("reference")
    with pytest.MonkeyPatch.context() as monkeypatch:
        small.shrink(monkeypatch)
        small.write_parquet_set(root)
        return [part.sha256 for part in data.load_train_test("cifar10", root=root)]


def loaded(root, **options):
    return [part.sha256 for part in data.load_train_test("cifar10", root=root, **options)]


def pack(folder):
    """The folder as an archive beside where it was."""
    archive = folder.parent / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, folder.name)
    shutil.rmtree(folder)
    return archive


def write_binary(root):
    folder = root / "cifar10" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    for seed, split in enumerate(("train", "test")):
        labels = small.split_labels(split)
        pixels = small.noise(labels, seed).reshape(len(labels), -1)
        records = np.concatenate([labels[:, None].astype(np.uint8), pixels], axis=1)
        if split == "test":
            records.tofile(folder / "test_batch.bin")
        for i, part in enumerate(np.array_split(records, 5), start=1):
            if split == "train":
                part.tofile(folder / f"data_batch_{i}.bin")
    (folder / "batches.meta.txt").write_text("\n".join((*small.CLASSES, "", "")))
    return folder


@pytest.mark.parametrize(
    "names",
    [
        ("train.parquet", "test.parquet"),
        ("train/0000.parquet", "test/0000.parquet"),
        ("plain_text/train/0000.parquet", "plain_text/test/0000.parquet"),
        ("data/train-00000-of-00001-2d0a5ecb2cb2b8a2.parquet", "data/test-00000-of-00001.parquet"),
        ("cifar10-train.parquet", "cifar10-test.parquet"),
        ("train.parquet/part-00000.parquet", "test.parquet/part-00000.parquet"),
        ("train.parquet", "validation.parquet"),
        ("Train.PARQUET", "Test.Parquet"),
    ],
)
def test_parquet_files_are_found_by_the_split_in_their_names(tmp_path, hashes, names):
    small.write_parquet_set(tmp_path / "x")
    for split, name in zip(("train", "test"), names, strict=True):
        target = tmp_path / "cifar10" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "x" / "cifar10" / f"{split}-00000-of-00001.parquet").rename(target)
    assert loaded(tmp_path) == hashes
    assert loaded(tmp_path / "cifar10") == hashes  # the root is the data set's own folder
    (tmp_path / "cifar10").rename(tmp_path / "mine")
    if "plain_text" not in names[0] and "data" not in names[0]:
        assert loaded(tmp_path / "mine") == hashes  # and may have any name


def test_numbered_files_without_a_total(tmp_path, hashes):
    small.write_parquet_set(tmp_path)
    folder = tmp_path / "cifar10"
    table = pq.read_table(folder / "train-00000-of-00001.parquet")
    (folder / "train-00000-of-00001.parquet").unlink()
    (folder / "train").mkdir()
    for number in range(3):
        part = table.slice(12 * number, 12)
        pq.write_table(part, folder / "train" / f"{number:04d}.parquet")
    assert loaded(tmp_path) == hashes
    (folder / "train" / "0001.parquet").unlink()
    with pytest.raises(DataError, match=r"train/0001\.parquet is missing, 2 of 3 shards"):
        loaded(tmp_path)


@pytest.mark.parametrize("name", ["cifar-10-python.tar", "cifar-10-python (1).tar.gz"])
def test_archive_under_the_name_that_a_browser_gave_it(tmp_path, monkeypatch, hashes, name):
    archive = pack(small.write_pickles(monkeypatch, tmp_path))
    content = archive.read_bytes()
    archive.unlink()
    (archive.parent / name).write_bytes(gzip.decompress(content) if name[-1] == "r" else content)
    assert loaded(tmp_path) == hashes


@pytest.mark.parametrize("content", [b"", b"<html>404"])
def test_archive_that_is_none_is_one_line(tmp_path, monkeypatch, content):
    pack(small.write_pickles(monkeypatch, tmp_path)).write_bytes(content)
    cut = r"python\.tar\.gz: cut or damaged archive \(file could not be opened successfully\);"
    with pytest.raises(DataError, match=cut):
        loaded(tmp_path)


def test_archive_is_read_as_it_is(tmp_path, monkeypatch, hashes):
    archive = pack(small.write_pickles(monkeypatch, tmp_path))
    assert loaded(tmp_path) == hashes
    assert [path.name for path in (tmp_path / "cifar10").iterdir()] == [archive.name]
    assert loaded(archive) == hashes  # the root is the archive itself
    archive.write_bytes(archive.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"python\.tar\.gz: cut or damaged archive") as caught:
        loaded(tmp_path)
    assert str(archive) in str(caught.value)


def test_archive_with_other_content_is_not_unpickled(tmp_path, monkeypatch):
    folder = small.write_pickles(monkeypatch, tmp_path)
    (folder / "test_batch").write_bytes(b"other")
    pack(folder)
    with pytest.raises(DataError, match="test_batch: damaged or another file, MD5 is"):
        data.load("cifar10", "test", root=tmp_path)


def test_binary_release(tmp_path, hashes):
    folder = write_binary(tmp_path)
    assert loaded(tmp_path) == loaded(folder) == loaded(folder.rename(tmp_path / "mine")) == hashes
    (tmp_path / "mine").rename(folder)
    (folder / "data_batch_3.bin").write_bytes((folder / "data_batch_3.bin").read_bytes()[:-1])
    with pytest.raises(DataError, match=r"data_batch_3\.bin: cut or another file, \d+ bytes"):
        data.load("cifar10", "train", root=tmp_path)
    whole = (folder / "data_batch_1.bin").read_bytes()
    (folder / "data_batch_3.bin").write_bytes(whole)
    with pytest.raises(DataError, match="classes have another number of train images than 12"):
        data.load("cifar10", "train", root=tmp_path)


def test_binary_archive_of_cifar100_has_two_labels(tmp_path, monkeypatch):
    small.shrink(monkeypatch, "cifar100")
    labels = small.split_labels("test")
    pixels = small.noise(labels).reshape(len(labels), -1)
    both = np.stack([np.full(len(labels), 19), labels], axis=1).astype(np.uint8)
    folder = tmp_path / "cifar-100-binary"
    folder.mkdir()
    np.concatenate([both, pixels], axis=1).tofile(folder / "test.bin")
    (folder / "fine_label_names.txt").write_text("\n".join((*small.CLASSES, "")))
    pack(folder).rename(tmp_path / "cifar-100-binary.tar.gz")
    assert data.load("cifar100", "test", root=tmp_path).targets.tolist() == labels.tolist()


def test_batches_wherever_their_folder_lies(tmp_path, monkeypatch, hashes):
    batches = small.write_pickles(monkeypatch, tmp_path)
    assert loaded(batches) == hashes  # the root is the folder itself
    (tmp_path / "cifar10" / "unpacked").mkdir()
    assert loaded(batches.rename(tmp_path / "cifar10" / "unpacked" / batches.name)) == hashes
    assert loaded(tmp_path) == hashes
    (tmp_path / "cifar10" / "unpacked" / batches.name).rename(tmp_path / batches.name)
    (tmp_path / "cifar10" / "unpacked").rmdir()
    assert loaded(tmp_path) == hashes  # beside an empty folder of the data set's name
    (tmp_path / "cifar10").rmdir()
    (tmp_path / batches.name).rename(tmp_path / "cifar10")
    assert loaded(tmp_path) == loaded(tmp_path / "cifar10") == hashes
    (tmp_path / "cifar10").rename(tmp_path / "mine")
    assert loaded(tmp_path / "mine") == hashes


@pytest.mark.parametrize("half", ["empty batches", "cut batches", "train of parquet"])
def test_next_candidate_is_read_where_a_first_one_is_half_there(
    tmp_path, monkeypatch, hashes, half
):
    small.write_folders(tmp_path)
    if half == "train of parquet":
        (tmp_path / "cifar10" / "train.parquet").write_bytes(b"")
    else:
        batches = small.write_pickles(monkeypatch, tmp_path)
        (batches / "data_batch_2").unlink()
        if half == "empty batches":
            shutil.rmtree(batches)
            batches.mkdir()
    assert loaded(tmp_path) == hashes


def test_what_was_found_is_said(tmp_path):
    absent = tmp_path / "absent"
    wanted = re.escape(
        f"cifar10: no train images in {absent}/cifar10, as there is no folder {absent};"
    )
    with pytest.raises(DataError, match=f"^{wanted} call [^()]*[(][^()]*[)], or put .* into"):
        data.load("cifar10", "train", root=absent)
    with pytest.raises(DataError, match=r"/cifar10, which does not exist: .* is empty; call"):
        data.load("cifar10", "train", root=tmp_path)
    (tmp_path / "cifar10").mkdir()
    with pytest.raises(DataError, match=r"no train images in .*cifar10, which is empty"):
        data.load("cifar10", "train", root=tmp_path)
    (tmp_path / "cifar10" / "cifar").mkdir()
    with pytest.raises(DataError, match=r"cifar10, which holds cifar/, which is empty; call"):
        data.load("cifar10", "train", root=tmp_path)
    (tmp_path / "cifar10" / "cifar").rmdir()
    (tmp_path / "cifar100").write_text("")
    with pytest.raises(DataError, match=r"no train images in .*cifar100, which is a file; call"):
        data.load("cifar100", "train", root=tmp_path)
    for name in ("airplane", "bird", ".DS_Store"):
        (tmp_path / "cifar10" / name).mkdir()
    (tmp_path / "cifar10" / "x.csv").write_text("")
    with pytest.raises(DataError, match=r"which holds .*airplane/, bird/, x\.csv; call with down"):
        data.load("cifar10", "train", root=tmp_path)


def test_every_half_match_is_named(tmp_path, monkeypatch):
    (small.write_pickles(monkeypatch, tmp_path) / "test_batch").unlink()
    (tmp_path / "cifar10" / "test.parquet").write_bytes(b"")
    for name in small.CLASSES[:2]:
        small.write_image(tmp_path / "cifar10" / "test" / name / "0.png")
    with pytest.raises(DataError) as caught:
        data.load("cifar10", "test", root=tmp_path)
    message = str(caught.value)
    assert "no test_batch in this folder" in message
    assert "test.parquet: cannot be read as parquet" in message
    assert "3 classes, found 2 different names among 2: 'airplane', 'automobile'" in message
    assert "'bird' is not there" in message
    assert "\n" not in message


def test_litter_is_no_class_and_no_image(tmp_path, hashes):
    small.write_folders(tmp_path)
    for place in (tmp_path / "cifar10" / "train", tmp_path / "cifar10" / "test" / "bird"):
        for litter in (".ipynb_checkpoints/0.png", "__MACOSX/._0.png", "@eaDir/0.png"):
            (place / litter).parent.mkdir()
            (place / litter).write_bytes(b"")
        for litter in ("._0.png", ".DS_Store", "Thumbs.db", "desktop.ini"):
            (place / litter).write_bytes(b"")
    (tmp_path / "cifar10" / "._train-00000-of-00001.parquet").write_bytes(b"")
    assert loaded(tmp_path) == hashes


def test_images_without_endings_are_named(tmp_path):
    small.write_folders(tmp_path)
    for path in (tmp_path / "cifar10" / "train").rglob("*.png"):
        path.rename(path.with_suffix(""))
    with pytest.raises(DataError, match=r"no images by their names \(\.bmp, .*\), but train/airpl"):
        loaded(tmp_path)


def test_other_files_of_a_class_are_named(tmp_path):
    small.write_folders(tmp_path)
    victim = next((tmp_path / "cifar10" / "train" / "bird").iterdir())
    victim.rename(victim.with_suffix(".tiff"))
    with pytest.raises(
        DataError, match=r"with 11; 1 files there are no images, such as train/bird/.*tiff"
    ):
        data.load("cifar10", "train", root=tmp_path)


def test_folders_in_a_folder_of_their_own(tmp_path, hashes):
    small.write_folders(tmp_path / "x")
    (tmp_path / "cifar10").mkdir()
    (tmp_path / "x" / "cifar10").rename(tmp_path / "cifar10" / "CIFAR-10-images-main")
    assert loaded(tmp_path) == hashes
    shutil.copytree(tmp_path / "cifar10" / "CIFAR-10-images-main", tmp_path / "cifar10" / "again")
    with pytest.raises(DataError, match=r"two folders of train images: .*; remove one"):
        loaded(tmp_path)


def test_a_class_may_be_called_train(tmp_path, monkeypatch):
    names = ("bus", "test_tube", "train")
    small.shrink(monkeypatch, "cifar100", class_names=names)
    small.write_folders(tmp_path, "cifar100", names)
    train, test = data.load_train_test("cifar100", root=tmp_path)
    assert train.class_counts == [12] * 3
    assert test.class_counts == [4] * 3


# Image folders


def test_class_10_comes_after_class_9():
    """D5"""
    info = replace(catalog.info("cifar10"), num_classes=12, class_names=None)
    names = sorted(str(c) for c in range(12))  # "10" before "2", as a file system lists them
    class_names, label_map = standard_classes(names, info, Path("train"))
    assert class_names == tuple(str(c) for c in range(12))
    assert [class_names[label] for label in label_map] == names
    assert sorted(["img10", "img9", "a"], key=natural_key) == ["a", "img9", "img10"]


def test_numbered_folders_are_the_standard_classes(tmp_path):
    small.write_folders(tmp_path, names=("0", "1", "2"))
    train = data.load("cifar10", "train", root=tmp_path)
    assert train.class_names == small.CLASSES
    assert train.class_counts == [12, 12, 12]


def test_missing_class_is_refused(tmp_path):
    """D4: a missing folder would shift every later class."""
    small.write_folders(tmp_path)
    (tmp_path / "cifar10" / "test" / "automobile").rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="cifar10 has 3 classes, found 2"):
        data.load("cifar10", "test", root=tmp_path)


def test_incomplete_class_is_refused(tmp_path):
    """Half an unpacked archive would silently be another data set."""
    small.write_folders(tmp_path)
    next((tmp_path / "cifar10" / "train" / "bird").iterdir()).unlink()
    with pytest.raises(DataError, match="train images than 12, first 'bird' with 11"):
        data.load("cifar10", "train", 4, root=tmp_path)


def test_damaged_image_is_named(tmp_path):
    small.write_folders(tmp_path)
    victim = next((tmp_path / "cifar10" / "test" / "bird").iterdir())
    victim.write_bytes(victim.read_bytes()[:40])
    with pytest.raises(DataError, match="not a complete image") as caught:
        data.load("cifar10", "test", root=tmp_path)
    assert str(victim) in str(caught.value)


# TinyImageNet, whose published test images have no labels.


def write_tiny(root, layout):
    """tiny-imagenet-200 with ``val`` as published, or sorted into folders in one of two ways."""
    root = root / "tinyimagenet" / "tiny-imagenet-200"
    lines = []
    for split in ("train", "val"):
        labels = small.split_labels("train" if split == "train" else "test")
        for row, (label, image) in enumerate(zip(labels, small.noise(labels, 5), strict=True)):
            wnid = f"n0{label}"
            folder = root / split
            if split == "train" or layout == "classes with images":
                folder = folder / wnid / "images"
            else:
                folder = folder / ("images" if layout == "annotations" else wnid)
            path = folder / f"{split}_{row}.JPEG"
            small.write_image(path, image, "PNG")
            lines += [f"{path.name}\t{wnid}\t0\t0\t7\t7"] * (split == "val")
    for row in range(3):
        small.write_image(root / "test" / "images" / f"test_{row}.JPEG")
    (root / "val" / "val_annotations.txt").write_text("\n".join([*lines, "", ""]))
    for wnid in ("n00", "n01", "n02"):
        (root / "train" / wnid / f"{wnid}_boxes.txt").write_text("")
    return root


@pytest.mark.parametrize(
    ("layout", "packed"),
    [
        ("annotations", False),
        ("annotations", True),
        ("classes", False),
        ("classes with images", False),
    ],
)
def test_tiny_imagenet_however_its_validation_images_lie(tmp_path, monkeypatch, layout, packed):
    small.shrink(monkeypatch, "tinyimagenet", class_names=None)
    monkeypatch.setattr("lt_core.data.loading._LARGEST_OVERLAP", 1)
    write_tiny(tmp_path / "published", "annotations")
    published = data.load_train_test("tinyimagenet", root=tmp_path / "published")
    folder = write_tiny(tmp_path, layout)
    if packed:
        with zipfile.ZipFile(tmp_path / "tinyimagenet" / "tiny-imagenet-200.zip", "w") as archive:
            for path in sorted(folder.rglob("*")):
                archive.write(path, path.relative_to(folder.parent))
        shutil.rmtree(folder)
    found = data.load_train_test("tinyimagenet", root=tmp_path)
    assert [part.sha256 for part in found] == [part.sha256 for part in published]
    if not packed:
        assert data.load("tinyimagenet", "test", root=folder).sha256 == published[1].sha256
        folder.rename(tmp_path / folder.name)
        (tmp_path / "tinyimagenet").rmdir()
        assert data.load("tinyimagenet", "test", root=tmp_path).sha256 == published[1].sha256


def test_folder_that_was_cut_says_what_is_left(tmp_path, monkeypatch):
    small.shrink(monkeypatch, "tinyimagenet", class_names=None)
    folder = write_tiny(tmp_path, "annotations")
    for wnid in ("n01", "n02"):
        shutil.rmtree(folder / "train" / wnid)
    with pytest.raises(DataError, match="3 classes, found 1 different names among 1: 'n00'"):
        data.load("tinyimagenet", "train", root=tmp_path)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("", "is ''"),
        ("no tabs", "is 'no tabs', expected FILE TAB CLASS"),
        ("../x.JPEG\tn01\t0", "is '../x.JPEG"),
        ("none.JPEG\tn01\t0", "names none.JPEG, which is not in .*images"),
    ],
)
def test_annotations_are_checked_line_by_line(tmp_path, monkeypatch, line, problem):
    small.shrink(monkeypatch, "tinyimagenet", class_names=None)
    path = write_tiny(tmp_path, "annotations") / "val" / "val_annotations.txt"
    lines = path.read_text().splitlines()
    lines[4] = line
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match=rf"val_annotations\.txt: line 5 {problem}"):
        data.load("tinyimagenet", "test", root=tmp_path)


def test_test_images_without_labels_are_passed_over(tmp_path, monkeypatch):
    small.shrink(monkeypatch, "tinyimagenet")
    labels = small.split_labels("test")
    files = [small.encoded(image) for image in small.noise(labels)]
    folder = tmp_path / "tinyimagenet" / "data"
    small.write_parquet(folder / "test-00000-of-00001.parquet", [-1] * len(labels), files)
    small.write_parquet(folder / "valid-00000-of-00001.parquet", labels, files)
    assert data.load("tinyimagenet", "test", root=tmp_path).targets.tolist() == labels.tolist()


def test_test_images_that_are_damaged_are_not_passed_over(tmp_path):
    """Validation images cut from the training set would give other numbers in silence."""
    small.write_parquet_set(tmp_path)
    test = tmp_path / "cifar10" / "test-00000-of-00001.parquet"
    shutil.copy(test, test.with_name("valid-00000-of-00001.parquet"))
    test.write_bytes(test.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"test-00000-of-00001\.parquet: cannot be read"):
        data.load("cifar10", "test", root=tmp_path)


# Downloading beside what is there


@pytest.fixture
def publisher(tmp_path, monkeypatch):
    """A publisher's archive, and how often it was fetched."""
    from torchvision.datasets import CIFAR10, utils

    archive = pack(small.write_pickles(monkeypatch, tmp_path / "publisher"))
    fetched = []
    monkeypatch.setattr(CIFAR10, "tgz_md5", utils.calculate_md5(archive))

    def fetch(url, path):
        fetched.append(url)
        shutil.copy(archive, path)

    monkeypatch.setattr(utils, "_urlretrieve", fetch)
    monkeypatch.setattr(utils, "_get_redirect_url", lambda url, max_hops: url)
    return fetched


@pytest.mark.parametrize("state", ["absent", "empty", "cut", "cut archive", "archive", "root"])
def test_download_repairs_what_is_there(tmp_path, publisher, hashes, state):
    batches = tmp_path / "cifar10" / "cifar-10-batches-py"
    root = batches if state == "root" else tmp_path
    if state != "absent":
        batches.mkdir(parents=True)
        (batches / "notes.txt").write_text("mine")
    if state in ("cut", "root"):
        (batches / "data_batch_1").write_bytes(b"half")
    archive = tmp_path / "cifar10" / "cifar-10-python.tar.gz"
    if state in ("archive", "cut archive"):
        content = (tmp_path / "publisher" / "cifar10" / archive.name).read_bytes()
        archive.write_bytes(content if state == "archive" else content[:1000])
    assert loaded(root, download=True) == hashes
    # A whole archive that is there needs no network.
    assert len(publisher) == (state != "archive")
    assert state == "absent" or (batches / "notes.txt").read_text() == "mine"
    assert loaded(tmp_path) == hashes


@pytest.mark.parametrize("state", ["absent", "empty", "cut"])
def test_flag_that_was_given_is_not_advised(tmp_path, monkeypatch, publisher, state):
    from torchvision.datasets import utils

    def offline(url, path):
        raise OSError("Name or service not known")

    monkeypatch.setattr(utils, "_urlretrieve", offline)
    batches = tmp_path / "cifar10" / "cifar-10-batches-py"
    if state != "absent":
        batches.mkdir(parents=True)
    if state == "cut":
        (batches / "batches.meta").write_bytes(b"half")
    with pytest.raises(DataError) as caught:
        data.load("cifar10", "train", root=tmp_path, download=True)
    message = str(caught.value)
    assert "cannot be downloaded from https://" in message
    assert "Name or service not known" in message
    assert "--download" not in message
    assert "download=True" not in message
    if state == "cut":
        assert "no data_batch_1 in this folder, which holds batches.meta" in message


def test_sets_that_cannot_be_downloaded_do_not_say_so(tmp_path):
    with pytest.raises(DataError) as caught:
        data.load("tinyimagenet32", "train", root=tmp_path)
    assert "download" not in str(caught.value)
    with pytest.raises(DataError, match="tinyimagenet32 cannot be downloaded; put train and valid"):
        data.load("tinyimagenet32", "train", root=tmp_path, download=True)
