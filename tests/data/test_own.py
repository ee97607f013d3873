"""A user's own images: what is read, what is refused, and the name that they go by."""

import os
import shlex
import shutil
import time

import pytest
from own_images import write_jpeg, write_own_images

from lt_core import data, tables
from lt_core.data import own
from lt_core.errors import ConfigError, DataError
from lt_core.training import RunConfig


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch):
    monkeypatch.setenv(own.FOLDERS, "")
    own.read.cache_clear()
    yield
    own.read.cache_clear()


@pytest.fixture
def folder(tmp_path):
    return write_own_images(tmp_path / "pets")


def test_it_is_read_as_a_data_set(folder):
    train, test = data.load_train_test(f"folder:{folder}")
    assert train.class_names == ("ant", "bee", "cat")
    assert train.class_counts == [12, 5, 3]
    assert test.class_counts == [2, 2, 2]
    assert train.is_lazy
    assert train.images[:2].shape == (2, 3, own.SIZE, own.SIZE)
    assert train.overlap == 0
    assert train.images.paths[0] == "train/ant/0.jpg"


def test_where_there_is_no_test_folder_validation_images_are_tested_on(folder):
    (folder / "test").rename(folder / "val")
    assert len(data.load(f"folder:{folder}", "test")) == 6


def test_numbered_classes_stand_in_their_order(tmp_path):
    names = ["01", "1x", "001x", *(str(n) for n in range(1, 11))]
    names.sort(key=lambda name: (int(name.strip("x")), "x" in name, name))
    folder = write_own_images(tmp_path / "n", [2] * 13, 1, names)
    assert data.load(f"folder:{folder}", "test").class_names == tuple(names)


def test_the_key_is_the_same_wherever_the_images_lie(folder, tmp_path, monkeypatch):
    here = RunConfig(dataset=f"folder:{folder}", method="softmax")
    assert str(tmp_path) not in str(here.to_dict())
    there = tmp_path / "another machine"
    shutil.copytree(folder, there / "pets")
    shutil.rmtree(folder)
    own.read.cache_clear()
    with pytest.raises(DataError, match=r"no folder pets with these classes.*LT_FOLDERS"):
        RunConfig.from_dict(here.to_dict())
    monkeypatch.setenv("LT_DATA_ROOT", str(there))
    assert RunConfig.from_dict(here.to_dict()).key == here.key
    assert RunConfig(dataset=f"folder:{there}/pets", method="softmax").key == here.key


def test_a_printed_command_names_a_folder_that_a_later_call_finds(folder, monkeypatch):
    dataset = RunConfig(dataset=f"folder:{folder}", method="softmax").dataset
    words = shlex.split(tables.command("table1", {"dataset": dataset}))
    monkeypatch.delenv(own.FOLDERS, raising=False)
    named = words[words.index("--dataset") + 1]
    assert RunConfig(dataset=named, method="softmax").dataset == dataset


def test_a_folder_given_as_a_name_is_told_from_a_misspelt_one(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    with pytest.raises(ConfigError, match="did you mean 'folder:pets'"):
        RunConfig(dataset="pets", method="softmax")


def test_of_two_copies_the_one_that_was_named_last_is_read(folder, tmp_path):
    """They have one name, though one of them may be damaged."""
    copy = shutil.copytree(folder, tmp_path / "copy" / "pets")
    for named in (folder, copy, folder):
        config = RunConfig(dataset=f"folder:{named}", method="softmax")
        assert data.load(config.dataset, "train").images.folder == named


def test_other_images_have_another_key(folder):
    before = RunConfig(dataset=f"folder:{folder}", method="softmax")
    write_jpeg(folder / "train/cat/new.jpg")
    own.read.cache_clear()
    assert RunConfig(dataset=f"folder:{folder}", method="softmax").key != before.key


def test_images_that_change_their_class_have_another_key_though_counts_stay(folder):
    before = RunConfig(dataset=f"folder:{folder}", method="softmax")
    (folder / "train/ant/0.jpg").rename(folder / "train/bee/was-an-ant.jpg")
    (folder / "train/bee/0.jpg").rename(folder / "train/ant/was-a-bee.jpg")
    own.read.cache_clear()
    after = RunConfig(dataset=f"folder:{folder}", method="softmax")
    assert data.load(after.dataset, "train").class_counts == [12, 5, 3]
    assert after.key != before.key


def test_a_list_beside_folders_is_not_passed_over(folder):
    (folder / "notes.csv").write_text("name,weight\nant,3\n")  # no list of images
    assert own.read(folder).problems == ()
    (folder / "split.CSV").write_text("path,label,split\ntrain/ant/0.jpg,bee,train\n")
    own.read.cache_clear()
    with pytest.raises(DataError, match=r"split.CSV lists images and train/CLASS/ holds some"):
        data.info(f"folder:{folder}")


def test_a_list_in_another_encoding_is_named_by_its_line(folder):
    (folder / "train").rename(folder / "all")
    shutil.rmtree(folder / "test")
    lines = "path,label,split\nall/ant/0.jpg,ant,train\nall/bee/0.jpg,Käfer,train\n"
    (folder / "list.csv").write_bytes(lines.encode("latin-1"))
    with pytest.raises(DataError, match=r"list.csv line 3: not UTF-8"):
        data.info(f"folder:{folder}")
    (folder / "list.csv").write_text("path,label,split\n" + "x" * 200_000)
    own.read.cache_clear()
    with pytest.raises(DataError, match=r"list.csv: field larger than"):
        data.info(f"folder:{folder}")


@pytest.mark.parametrize("parent", ["a", "a:b"])
def test_processes_that_are_started_know_the_folder(tmp_path, monkeypatch, parent):
    monkeypatch.setenv(own.FOLDERS, f"/one:{tmp_path}")
    folder = write_own_images(tmp_path / parent / "pets")
    name = data.info(f"folder:{folder}").name
    assert str(folder) in os.environ[own.FOLDERS]
    assert data.info(name).name == name
    known = os.environ[own.FOLDERS]
    data.info(name)
    assert os.environ[own.FOLDERS] == known


TABLE = "path,label,split\n"


@pytest.mark.parametrize(
    ("head", "end"),
    [
        ("path,label,split", "\n"),
        ("\ufeffSplit, Class ,File", "\r\n"),
        ("split;class;file", "\r"),
        ("split\tclass\timage_path", "\n"),
    ],
)
def test_a_table_of_paths_and_labels(folder, head, end):
    shutil.move(folder / "train", folder / "pictures")
    shutil.move(folder / "test", folder / "others")
    lines = [head]
    for picture in sorted(folder.rglob("*.jpg")):
        split = "train" if "pictures" in picture.parts else "Test"
        fields = [str(picture.relative_to(folder)), picture.parent.name, split]
        between = next(letter for letter in ",;\t" if letter in head)
        lines.append(between.join(fields if head.startswith("path") else fields[::-1]))
    (folder / "images.csv").write_text(end.join(lines), newline="")
    train, test = data.load_train_test(f"folder:{folder}")
    assert train.class_counts == [12, 5, 3]
    assert test.class_counts == [2, 2, 2]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("pictures/gone.jpg,ant,train", "line 2: pictures/gone.jpg is not there"),
        ("../x.jpg,ant,train", "line 2: ../x.jpg leaves the data set's folder"),
        ("/etc/x.jpg,ant,train", "line 2: /etc/x.jpg leaves the data set's folder"),
        ("pictures/0.gif,ant,train", "line 2: pictures/0.gif is no image by its name"),
        (
            "y/0.jpg,ant,train\ny/1.jpg,ant,train",
            "2 unusable .*: line 2 and 1 more: y/0.jpg is not",
        ),
        ("pictures/0.jpg,,train", "line 2: pictures/0.jpg has no label"),
        ("pictures/0.jpg,ant,other", "line 2: split 'other' is none of train, val and test"),
        ("pictures/0.jpg,ant", "line 2: 2 fields, expected 3"),
        ("pictures/0.jpg,ant,train\npictures/0.jpg,bee,train", "line 3: .* again, first in line 2"),
        ("pictures/0.jpg,ant,test", "no training images; expected train/CLASS"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(tmp_path, line, said):
    folder = tmp_path / "pets"
    write_jpeg(folder / "pictures/0.jpg")
    (folder / "images.csv").write_text(TABLE + line)
    with pytest.raises(DataError, match=said):
        data.info(f"folder:{folder}")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: shutil.rmtree(f / "test"), "no images to test on"),
        (lambda f: shutil.rmtree(f / "train"), "pets: no training images; expected train/CLASS"),
        (
            lambda f: shutil.copytree(f / "train", f / "Training"),
            "Training and train both hold train",
        ),
        (
            lambda f: (f / "train/ant/again").symlink_to(f / "train"),
            "again: a link to a folder above",
        ),
        (
            lambda f: os.rename(f / "train/ant", os.fsencode(f / "train") + b"/\xe9t\xe9"),
            r"12 names are not UTF-8, such as train/\\udce9t\\udce9/0.jpg: rename them",
        ),
        (lambda f: shutil.rmtree(f / "test/bee"), "class 'bee' has no test image"),
        (lambda f: shutil.move(f / "test/bee", f / "test/wasp"), "'wasp', which has no training"),
    ],
)
def test_a_folder_that_cannot_be_used_says_why(folder, spoil, said):
    spoil(folder)
    with pytest.raises(DataError, match=said):
        data.info(f"folder:{folder}")


def test_a_folder_without_the_layout_says_which_one_is_expected(tmp_path):
    with pytest.raises(DataError, match=r"expected train/CLASS/\*.jpg"):
        data.info(f"folder:{tmp_path}")
    with pytest.raises(DataError, match="no such folder"):
        data.info(f"folder:{tmp_path}/nothing")
    with pytest.raises(ConfigError, match="expected folder:DIR"):
        data.info("folder:")


def test_they_are_taken_as_they_are(folder):
    with pytest.raises(ConfigError, match="taken as it is"):
        RunConfig(dataset=f"folder:{folder}", method="softmax", imbalance_factor=10)


def test_images_to_choose_on_are_held_out_of_training(folder):
    """At most half of a class, drawn by the seed of subsets, and never test images."""
    name = f"folder:{folder}"
    whole = data.load(name, "train")
    for holdout, kept, aside in ((2, [10, 3, 2], [2, 2, 1]), (100, [6, 3, 2], [6, 2, 1])):
        train = data.load(name, "train", holdout=holdout)
        val = data.load(name, "val", holdout=holdout)
        assert (train.class_counts, val.class_counts) == (kept, aside)
        assert sorted([*train.images.paths, *val.images.paths]) == sorted(whole.images.paths)
        assert (train.holdout, val.holdout, val.split) == (holdout, holdout, "val")
    again = data.load(name, "val", holdout=2, subset_seed=1).images.paths
    assert again != data.load(name, "val", holdout=2).images.paths
    assert len(data.load(name, "test", holdout=2)) == 6
    with pytest.raises(DataError, match="no val images"):
        data.load(name, "val")
    for picture in ("1.jpg", "2.jpg"):
        (folder / "train/cat" / picture).unlink()
    own.read.cache_clear()
    with pytest.raises(DataError, match="1 classes have a single training image, first class 2"):
        RunConfig(dataset=name, method="softmax", holdout=1)


def test_classes_that_differ_only_in_case_or_accents_are_told(folder, call):
    """Two of them may be meant; a test folder of another spelling is not."""
    (folder / "test/ant").rename(folder / "test/Ant")
    with pytest.raises(DataError, match=r"'Ant', which has no .*; train has 'ant': rename"):
        data.info(f"folder:{folder}")
    (folder / "test/Ant").rename(folder / "test/ant")
    for split in ("train", "test"):
        shutil.copytree(folder / split / "bee", folder / split / "Bee ")
        (folder / split / "cat").rename(folder / split / "caf\u00e9")
        shutil.copytree(folder / split / "caf\u00e9", folder / split / "cafe\u0301")
    own.read.cache_clear()
    with pytest.warns(UserWarning, match="are two classes") as told:
        assert data.info(f"folder:{folder}").num_classes == 5
    assert len(told) == 2
    code, out, _ = call("look", folder)
    assert code == 0
    assert "note: 'Bee ' and 'bee' are two classes; where one is meant, rename" in out


def test_twenty_thousand_files_are_listed_in_a_second_or_two(tmp_path):
    for split, count in (("train", 180), ("test", 20)):
        for name in range(100):
            place = tmp_path / "many" / split / f"class {name}"
            place.mkdir(parents=True)
            for n in range(count):
                os.close(os.open(place / f"{n}.jpg", os.O_CREAT))
    began = time.perf_counter()
    assert data.info(f"folder:{tmp_path}/many").num_classes == 100
    assert time.perf_counter() - began < 5
