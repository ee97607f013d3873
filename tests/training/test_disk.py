"""Training on images that stay on disk: the same loop, store and records as in memory."""

import errno
import os
import re
import shutil
import signal

import numpy as np
import pytest
import torch
from own_images import write_own_images
from tiny import epochs, numbers, same_tensors

from lt_core import runs
from lt_core.errors import ConfigError, DataError, StoreError, TrainingError, Unfinished
from lt_core.training import RunConfig, loop, reproduce, train
from lt_core.training.pictures import Pictures

AUGMENTED = {
    "smallest_crop": 0.25,
    "colour_jitter": 0.4,
    "crop_padding": 2,
    "flip": True,
    "autoaugment": "cifar10",
    "cutout": 8,
    "mixup_alpha": 1.0,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_own_images(tmp_path_factory.mktemp("own") / "pets")


def disk(folder, method="softmax", epochs=2, **values):
    """20 images in steps of 8, 8 and 4."""
    overrides = {
        "image_size": 32,
        "batch_size": 8,
        "warmup_epochs": 0,
        **values.pop("overrides", {}),
    }
    values = {"model": "resnet_rehearsal", "epochs": epochs, **values}
    return RunConfig(dataset=f"folder:{folder}", method=method, overrides=overrides, **values)


def engine(config, **loader):
    images = loop.Images(torch.device("cpu"), **loader)
    return images.engine(config)


@pytest.mark.parametrize("method", ["softmax", "icb", "ldam"])
def test_a_run_is_stored_as_any_other(folder, tmp_path, method):
    run = train(disk(folder, method), tmp_path)
    frame = runs.load(tmp_path)
    assert list(frame["dataset"]) == [run.record["dataset"]]
    assert run.record["dataset"].startswith("folder:pets@")
    assert run.metrics["class_counts"].tolist() == [12, 5, 3]
    assert run.arrays["test_logits"].shape == (6, 3)
    assert list(run.history.columns) == ["epoch", "lr", "train_loss", "top1"]


def test_bfloat16_learns_as_float32_does(folder):
    found = [
        epochs(engine(disk(folder, precision=precision)), 0, 1)[0]["train_loss"]
        for precision in ("float32", "bfloat16")
    ]
    assert found[0] != found[1]
    assert found[0] == pytest.approx(found[1], rel=0.05)


def test_pixels_depend_neither_on_processes_nor_on_the_global_generator(folder, tmp_path):
    config = disk(folder, overrides=AUGMENTED)
    torch.manual_seed(1)
    one = train(config, tmp_path / "one")
    torch.manual_seed(2)
    before = torch.get_rng_state()
    other = train(config, tmp_path / "other", workers=2)
    assert numbers(one) == numbers(other)
    assert torch.equal(before, torch.get_rng_state())


def test_every_epoch_and_every_seed_crops_differently(folder):
    config = disk(folder, overrides=AUGMENTED)
    images = loop.Images(torch.device("cpu"))
    sources = images.train(config).images, images.evaluated(config).images
    first, second = (Pictures(*sources, config.resolved_recipe().augmentation(), s) for s in (0, 1))
    assert first[0, 3].shape == (32, 32, 3)
    assert torch.equal(first[0, 3], first[0, 3])
    assert not torch.equal(first[0, 3], first[1, 3])
    assert not torch.equal(first[0, 3], second[0, 3])


def test_evaluation_takes_the_centre_and_repeats_itself(folder):
    config = disk(folder, overrides=AUGMENTED)
    made = engine(config)
    images = made.test.images
    images.size, images.resize = 32, round(32 * 8 / 7)
    pixels, *_ = next(made.feed.batches(-1, [torch.arange(6)]))
    assert torch.equal(pixels.permute(0, 3, 1, 2), images[:])


@pytest.mark.parametrize("stop", [0, 1, 2, 3])
def test_an_epoch_resumed_at_any_step_ends_as_one_that_was_not(folder, stop):
    """No image is lost and none is seen twice."""
    config = disk(folder, "icb", overrides=AUGMENTED)
    whole = engine(config)
    whole.begin_epoch(1)
    for _ in whole.steps():
        pass
    half = engine(config)
    half.begin_epoch(1)
    steps = half.steps()
    for _ in range(stop):
        next(steps)
    rest = engine(config)
    rest.begin_epoch(1)
    rest.load_state_dict(half.state_dict())
    for _ in rest.steps():
        pass
    assert same_tensors(whole.state_dict(), rest.state_dict())
    assert whole.end_epoch().read() == rest.end_epoch().read()


def test_each_image_is_seen_once_in_an_epoch(folder):
    made = engine(disk(folder))
    made.begin_epoch(0)
    rows, batches = [], made.feed.batches

    def noted(epoch, places):
        rows.extend(row for batch in places for row in batch.tolist())
        return batches(epoch, places)

    made.feed.batches = noted
    assert sum(1 for _ in made.steps()) == 3
    assert sorted(rows) == list(range(20))


def test_stopped_and_called_again_it_goes_on(folder, tmp_path, monkeypatch):
    config = disk(folder, "gcl", overrides=AUGMENTED)
    whole = train(config, tmp_path / "whole")
    calls = 0
    while True:  # a step a call
        calls += 1
        try:
            run = train(config, tmp_path / "parts", deadline=0.0)
        except Unfinished:
            continue
        break
    assert calls == 7
    assert numbers(run) == numbers(whole)


# -- damage ------------------------------------------------------------------------------


@pytest.fixture
def damaged(tmp_path):
    folder = write_own_images(tmp_path / "damaged")
    picture = folder / "train/ant/7.jpg"
    picture.write_bytes(picture.read_bytes()[:300])
    return folder, picture


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_training_image_is_named_and_stops(damaged, tmp_path, workers):
    folder, picture = damaged
    with pytest.raises(DataError, match=f"{picture}: not a complete image"):
        train(disk(folder), tmp_path / "store", workers=workers)


def test_or_it_is_skipped_and_counted(damaged, tmp_path):
    folder, _ = damaged
    run = train(disk(folder, overrides=AUGMENTED), tmp_path / "store", damaged="skip")
    assert list(run.history["skipped"]) == [1, 1]
    assert np.isfinite(run.history["train_loss"]).all()


def test_a_damaged_test_image_always_stops(damaged, tmp_path):
    folder, picture = damaged
    picture = folder / "test/bee/1.jpg"
    picture.write_bytes(b"<html>")
    with pytest.raises(DataError, match=f"{picture}: no image.*html.*every test"):
        train(disk(folder), tmp_path / "store", damaged="skip")


def test_a_batch_without_a_readable_image_stops(tmp_path):
    folder = write_own_images(tmp_path / "gone")
    for picture in (folder / "train").glob("*/*.jpg"):
        picture.write_bytes(b"")
    with pytest.raises(DataError, match="none of the images of step 1"):
        train(disk(folder), tmp_path / "store", damaged="skip")


def test_a_single_image_is_no_batch(tmp_path):
    """Batch normalisation needs two: another image is left out of each epoch."""
    folder = write_own_images(tmp_path / "pets", train=(12, 3, 2))
    made = engine(disk(folder, model="resnet18"))  # its last maps are single pixels
    seen = []
    for epoch in range(2):
        made.begin_epoch(epoch)
        assert sum(1 for _ in made.steps()) == 2
        seen.append(set(made.plan.order[:16].tolist()))
        numbers = made.end_epoch().read()
    assert len(seen[0]) == len(seen[1]) == 16
    assert seen[0] != seen[1]
    assert np.isfinite(numbers["train_loss"])


@pytest.mark.parametrize("way", ["asked for", "the others cannot be read"])
def test_a_batch_of_one_image_is_refused_in_one_line(folder, tmp_path, way):
    size = 1
    if way != "asked for":
        folder, size = write_own_images(tmp_path / "pets"), 2
        for picture in [*(folder / "train").rglob("*.jpg")][1:]:
            picture.write_bytes(b"")
    config = disk(folder, model="resnet18", overrides={"batch_size": size})
    with pytest.raises((TrainingError, DataError)) as caught:
        train(config, tmp_path / "store", damaged="skip")
    said = "one image; expected batches of 2 or more|none of the images of step"
    assert re.search(said, str(caught.value))
    assert "\n" not in str(caught.value)


def test_unknown_ways_with_damage_are_refused(folder, tmp_path):
    with pytest.raises(ConfigError, match="damaged"):
        train(disk(folder), tmp_path, damaged="ignore")


def test_a_loader_process_that_dies_is_reported_in_one_line(folder, tmp_path, monkeypatch):
    here = os.getpid()

    def dies(self, place):
        if os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return place

    monkeypatch.setattr(Pictures, "__getitem__", dies)
    with pytest.raises(TrainingError, match=r"a loader process has died.*workers") as caught:
        train(disk(folder), tmp_path, workers=1)
    assert "\n" not in str(caught.value)


def test_a_loader_process_that_dies_during_a_step_is_reported_in_one_line():
    """Torch tells of it in the middle of whatever this process does."""
    said = "epoch 3: a loader process has died .*workers"
    with pytest.raises(TrainingError, match=said), loop._located(2):
        raise RuntimeError("DataLoader worker (pid 28141) is killed by signal: Killed. ")
    with pytest.raises(RuntimeError, match="a mistake of ours"), loop._located(2):
        raise RuntimeError("a mistake of ours")


def test_too_little_memory_for_another_process_is_reported_in_one_line(
    folder, tmp_path, monkeypatch
):
    def fork():
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    monkeypatch.setattr(os, "fork", fork)
    with pytest.raises(TrainingError, match=r"could not begin .*Cannot allocate memory.* 2 of"):
        train(disk(folder), tmp_path, workers=2)


def test_a_full_disk_is_reported_in_one_line(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_INTERVAL", 0.0)

    def replace(*names):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(os, "replace", replace)
        with pytest.raises(StoreError, match=r"No space left on device.* free space") as caught:
            train(disk(folder), tmp_path)
    assert "\n" not in str(caught.value)
    assert len(train(disk(folder), tmp_path).history) == 2


def test_recipes_for_images_on_disk_are_refused_for_images_in_memory(tmp_path):
    config = RunConfig(dataset="digits", method="softmax", overrides={"smallest_crop": 0.2})
    with pytest.raises(ConfigError, match="smallest_crop: only for images that are read from disk"):
        train(config, tmp_path)


def test_processes_that_share_a_plan_know_the_folder_and_what_to_do_with_damage(damaged, tmp_path):
    plan = [disk(damaged[0], seed=seed, epochs=1) for seed in range(2)]
    reproduce(plan, tmp_path / "store", processes=2, progress=False, damaged="skip")
    for config in plan:
        assert list(runs.open(tmp_path / "store", config.key).history["skipped"]) == [1]


def test_a_choice_is_made_without_the_test_images(folder, tmp_path):
    (folder.parent / "store").mkdir(exist_ok=True)
    run = train(disk(folder, holdout=3, epochs=1), tmp_path)
    assert run.record["evaluated_on"] == "val"
    assert run.metrics["class_counts"].tolist() == [9, 3, 2]
    assert run.arrays["test_logits"].shape == (6, 3)
    assert run.record["train_images"] == 14


# -- the command line ----------------------------------------------------------------------


SMALL = "--model resnet_rehearsal --epochs 1 --device cpu"


def test_one_command_compares_losses_on_a_folder(folder, tmp_path, call):
    asked = f"{SMALL} --direct --methods softmax,icb,gala+rebalance --seeds 1 --processes 1"
    dataset = ("--dataset", f"folder:{folder}")
    code, out, lines = call(f"reproduce table1 {asked}", *dataset, "--store", tmp_path)
    assert code == 0, lines
    for word in ("pets@", "softmax", "icb", "gala+rebalance", "(n=1)"):
        assert word in out
    assert len(runs.load(tmp_path)) == 3


def test_own_images_are_shown_as_what_they_are(folder, tmp_path, call):
    asked = f"{SMALL} --direct --methods softmax --seeds 1 --processes 1 --holdout 2"
    code, out, lines = call(
        f"reproduce table1 {asked}", "--dataset", f"folder:{folder}", "--store", tmp_path
    )
    assert code == 0, lines
    code, status, _ = call("status --store", tmp_path)
    assert code == 0
    for text in (out, status):
        assert "factor" not in text
        assert "paper" not in text
    assert "HELD OUT: accuracy on up to 2 training images of each class" in out
    assert "these images" in out


def test_images_left_out_are_told_under_the_table(damaged, tmp_path, call):
    folder, _ = damaged
    asked = f"{SMALL} --direct --methods softmax --seeds 1 --processes 1 --damaged skip"
    dataset = ("--dataset", f"folder:{folder}", "--store", tmp_path / "store")
    code, out, lines = call(f"reproduce table1 {asked}", *dataset)
    assert code == 0, lines
    assert "left out: up to 1 per epoch, in 1 of 1 runs" in out
    assert f"lt-core look {folder} --open" in out


def test_look_names_every_damaged_image_when_asked_to_open_them(tmp_path, call):
    folder = write_own_images(tmp_path / "pets", train=(12, 12, 5))
    for picture in (folder / "train").rglob("*.jpg"):
        picture.write_bytes(b"")
    _, out, _ = call("look", folder, "--open")
    assert out.count("problem: ") == 29


def test_one_command_trains_on_a_folder(damaged, tmp_path, call):
    words = (f"run --method icb {SMALL}", "--dataset", f"folder:{damaged[0]}")
    words = (*words, "--store", tmp_path / "store")
    code, _, lines = call(*words)
    assert (code, len(lines)) == (4, 1)
    assert str(damaged[1]) in lines[0]
    code, out, _ = call(*words, "--damaged", "skip", "--workers", "1")
    assert code == 0
    assert '"evaluated_on": "test"' in out
    code, _, lines = call(*words, "--workers", "-1")
    assert (code, lines) == (2, ["lt-core: workers: expected 0 to 1024, got -1"])


def test_look_counts_and_finds_what_is_damaged(damaged, call):
    folder, picture = damaged
    (folder / "notes.txt").write_text("")
    code, out, _ = call("look", folder)
    assert code == 0
    for line in (
        f"{folder}: 3 classes",
        "train: 20 images",
        "test: 6 images",
        "factor: 4 (ant has 12 training images, cat 3)",
        "groups: 0 many (more than 100 training images), 0 medium, 3 few (fewer than 20)",
        "per class: ant 12, bee 5, cat 3",
        "other files: 1, such as notes.txt, not images by their names, left alone",
    ):
        assert line in out.splitlines()
    assert "name of the data set: folder:damaged@" in out
    code, out, lines = call("look", folder, "--open")
    assert code == 4
    assert "opened: 26 images, 1 of them cannot be read" in out
    assert f"problem: {picture}: not a complete image" in out
    assert lines == [f"lt-core: {folder}: not all of it can be used, problems above: 1"]


def test_look_finds_test_images_that_are_training_images(tmp_path, call):
    folder = write_own_images(tmp_path / "pets")
    shutil.copy(folder / "train/ant/0.jpg", folder / "test/cat/copy.jpg")
    assert call("look", folder)[0] == 0
    code, out, _ = call("look", folder, "--open")
    assert code == 4
    assert "opened: 27 images, 0 of them cannot be read" in out
    copy, first = folder / "test/cat/copy.jpg", folder / "train/ant/0.jpg"
    assert f"problem: {copy}: the same file as the training image {first}" in out


def test_look_says_what_is_missing(tmp_path, call):
    code, out, _ = call("look", tmp_path)
    assert code == 4
    assert "expected train/CLASS/*.jpg and test/CLASS/*.jpg" in out
    assert call("look", tmp_path / "nowhere")[0] == 4
