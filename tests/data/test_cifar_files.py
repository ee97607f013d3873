import pickle

import pytest
import small_sets as small

from lt_core import data
from lt_core.errors import DataError


@pytest.fixture
def folder(monkeypatch, tmp_path):
    small.shrink(monkeypatch)
    return small.write_pickles(monkeypatch, tmp_path)


@pytest.mark.parametrize("file", ["data_batch_2", "batches.meta"])
@pytest.mark.parametrize("damage", ["flip", "cut", "missing", "empty"])
def test_damaged_batch_is_refused_before_it_is_unpickled(
    folder, tmp_path, monkeypatch, file, damage
):
    """D1"""
    path = folder / file
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
    path.write_bytes({"cut": content[:-9], "empty": b""}.get(damage, bytes(content)))
    if damage == "missing":
        path.unlink()
    opened = []
    loads = pickle.loads
    monkeypatch.setattr(
        pickle, "loads", lambda content, **kw: opened.append(content) or loads(content, **kw)
    )
    with pytest.raises(DataError, match=f"no {file}" if damage == "missing" else "MD5") as caught:
        data.load("cifar10", "train", root=tmp_path)
    assert str(folder if damage == "missing" else path) in str(caught.value)
    assert bytes(content) not in opened


def test_code_in_a_batch_is_not_run(folder, tmp_path):
    class Canary:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").write_text, ("yes",))

    (folder / "test_batch").write_bytes(pickle.dumps(Canary()))
    with pytest.raises(DataError, match="damaged or another file"):
        data.load("cifar10", "test", root=tmp_path)
    assert not (tmp_path / "ran").exists()


def test_no_permission_is_named(folder, tmp_path, monkeypatch):
    """D8. A test that runs as root cannot take the permission away, so it is pretended."""

    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_bytes", refuse)
    with pytest.raises(DataError, match=r"batches.meta: cannot be read \(Permission denied\)"):
        data.load("cifar10", "test", root=tmp_path)


def test_cifar100_reads_fine_labels(monkeypatch, tmp_path):
    import hashlib

    from torchvision.datasets import CIFAR100

    small.shrink(monkeypatch, "cifar100", class_names=None)
    folder = tmp_path / "cifar100" / CIFAR100.base_folder
    folder.mkdir(parents=True)
    labels = small.split_labels("test")
    pixels = small.noise(labels).reshape(len(labels), -1)
    content = {"data": pixels, "fine_labels": labels.tolist(), "coarse_labels": [0] * len(labels)}
    for file, value in (("test", content), ("meta", {"fine_label_names": ["apple", "bed", "can"]})):
        (folder / file).write_bytes(pickle.dumps(value))
        md5 = hashlib.md5((folder / file).read_bytes()).hexdigest()
        if file == "test":
            monkeypatch.setattr(CIFAR100, "test_list", [[file, md5]])
        else:
            monkeypatch.setattr(CIFAR100, "meta", {**CIFAR100.meta, "md5": md5})
    test = data.load("cifar100", "test", root=tmp_path)
    assert test.targets.tolist() == labels.tolist()
    assert test.class_names == ("apple", "bed", "can")
