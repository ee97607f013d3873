"""One run on two processes equals one process, and ends as a whole."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from own_images import write_own_images
from tiny import numbers, same_tensors
from torch import nn

from lt_core import data, models, runs
from lt_core.errors import ConfigError
from lt_core.models.classifiers import create_classifier
from lt_core.runs import Store
from lt_core.training import RunConfig, loop, ranks, train

#: 43 images in batches of 8: of the last one, a rank has two images and the other has one.
COUNTS = (24, 11, 8)
METHODS = {
    "softmax": {},
    "seesaw": {},
    "icb": {},
    "gala": {},
    "ldam": {"reduction": "weighted_mean"},
    "class_balanced": {"reduction": "weighted_mean"},
}


def port(number):
    """A port of this process's own."""
    return 20_000 + (os.getpid() * 2 + number) % 20_000


CREATE = models.create


class Plain(nn.Module):
    """A network without normalisation, whose batch statistics the ranks would not share."""

    def __init__(self, num_classes, in_channels=3, classifier="linear"):
        super().__init__()
        self.stem = nn.Conv2d(in_channels, 8, 5, stride=4)
        self.classifier = create_classifier(classifier, 8, num_classes)

    def embed(self, x):
        return self.stem(x).relu().mean(dim=(2, 3), dtype=torch.float32)

    def forward(self, x):
        return self.classifier(self.embed(x))


def plain(name, num_classes, seed=None, **params):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Plain(num_classes, **params)


def config(folder, method, **values):
    overrides = {"image_size": 32, "batch_size": 8, "warmup_epochs": 0}
    return RunConfig(
        dataset=f"folder:{folder}",
        method=method,
        model="resnet_rehearsal",
        overrides=overrides,
        **values,
    )


def all_runs(folder, store):
    """What every method's run came to; of a stopped run, after it was called again."""
    found = {}
    for method, params in METHODS.items():
        chosen = config(folder, method, epochs=2, params=params)
        run = train(chosen, store)
        if run is not None:
            found[method] = run.history["train_loss"].tolist(), run.arrays["test_logits"].tolist()
    return found


def loss_state(folder, method, params):
    """The loss's state after an epoch and a half, the second half after a checkpoint."""
    images = loop.Images(torch.device("cpu"))
    made = images.engine(config(folder, method, epochs=2, params=params))
    made.begin_epoch(0)
    list(made.steps())
    made.end_epoch().read()
    made.begin_epoch(1)
    steps = made.steps()
    next(steps)
    again = images.engine(config(folder, method, epochs=2, params=params))
    again.begin_epoch(1)
    again.load_state_dict(made.state_dict())
    list(again.steps())
    return again.state_dict()


def normalised(folder):
    """Of a network with batch normalisation in bfloat16: its state, and what it evaluates to."""
    models.create = CREATE
    made = loop.Images(torch.device("cpu")).engine(config(folder, "gcl", precision="bfloat16"))
    made.begin_epoch(0)
    list(made.steps())
    made.end_epoch().read()
    logits = made.logits.clone()
    with torch.no_grad():
        pixels, *_ = next(made.feed.batches(-1, [torch.arange(len(made.test.targets))]))
        again = made.model(made.normalise(pixels.permute(0, 3, 1, 2)))
    return made.state_dict(), logits, again


def skipping(folder):
    """After an epoch whose last step has one unreadable image, all that the second rank had."""
    models.create = CREATE
    made = loop.Images(torch.device("cpu"), damaged="skip").engine(config(folder, "icb"))
    made.begin_epoch(0)
    if ranks.mine() == 0:
        pictures = data.load(f"folder:{folder}", "train").images
        (folder / pictures.paths[made.plan.order[-1]]).write_bytes(b"")
    dist.barrier()
    list(made.steps())
    return made.end_epoch().read(), made.state_dict()


def rank(number, folder, place):
    torch.set_num_threads(1)
    models.create = plain
    meeting = {"RANK": number, "LOCAL_RANK": number, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1"}
    os.environ |= {name: str(value) for name, value in meeting.items()}
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    found = {"runs": {}, "state": {}}
    with ranks.joined(torch.device("cpu")):
        found["runs"] = all_runs(folder, Path(place) / "store")
        for method, params in METHODS.items():
            found["state"][method] = loss_state(folder, method, params)
        found["normalised"] = normalised(folder)
        found["skipping"] = skipping(Path(place) / "damaged" / "pets")
        exact = config(folder, "icb", params={"density": "exact"})
        for name, chosen in (("memory", RunConfig("digits", "softmax")), ("exact", exact)):
            try:
                loop.Images(torch.device("cpu")).engine(chosen)
            except ConfigError as error:
                found[name] = str(error)
    torch.save(found, Path(place) / f"rank{number}.pt")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_own_images(tmp_path_factory.mktemp("own") / "pets", COUNTS, 3)


@pytest.fixture(scope="module")
def two(folder, tmp_path_factory):
    place = tmp_path_factory.mktemp("two")
    write_own_images(place / "damaged" / "pets", COUNTS, 3)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("MASTER_PORT", str(port(0)))
        mp.start_processes(rank, args=(str(folder), str(place)), nprocs=2, start_method="spawn")
    first, second = (torch.load(place / f"rank{number}.pt") for number in range(2))
    return first, second, place


@pytest.fixture(scope="module")
def alone(folder, tmp_path_factory):
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(models, "create", plain)
        state = {method: loss_state(folder, method, p) for method, p in METHODS.items()}
        return all_runs(folder, tmp_path_factory.mktemp("one")), state


@pytest.mark.parametrize("method", METHODS)
def test_two_processes_equal_one(two, alone, method):
    losses, logits = two[0]["runs"][method]
    expected_losses, expected_logits = alone[0][method]
    assert losses == pytest.approx(expected_losses, rel=1e-5)
    torch.testing.assert_close(
        torch.tensor(logits), torch.tensor(expected_logits), rtol=0, atol=2e-3
    )


@pytest.mark.parametrize("method", METHODS)
def test_the_ranks_have_one_state_and_it_counts_every_image(two, alone, method):
    first, second, whole = two[0]["state"][method], two[1]["state"][method], alone[1][method]
    assert first["seen"] == second["seen"] == whole["seen"] == 43
    assert first["loss_sum"] == second["loss_sum"]
    for name, value in whole["loss"].items():
        assert torch.equal(first["loss"][name], second["loss"][name]), name
        if not value.is_floating_point() or "count" in name:
            assert torch.equal(first["loss"][name], value), name
        torch.testing.assert_close(first["loss"][name], value, rtol=1e-4, atol=1e-6)
    for one, other in zip(first["weights"], second["weights"], strict=True):
        assert torch.equal(one, other)


def test_the_first_process_alone_writes_the_store(two):
    assert two[1]["runs"] == {}
    assert sorted(runs.load(two[2] / "store")["method"]) == sorted(METHODS)
    assert Store(two[2] / "store").unfinished() == []


def test_every_test_image_is_evaluated_once_and_by_one_network(two):
    (state, logits, again), (other_state, *_) = (each["normalised"] for each in two[:2])
    assert logits.shape == (9, 3)
    torch.testing.assert_close(logits, again)
    assert same_tensors(state["weights"], other_state["weights"])
    assert same_tensors(state["buffers"], other_state["buffers"])


def test_a_rank_goes_on_when_none_of_its_images_can_be_read(two):
    (numbers, state), (_, other) = (each["skipping"] for each in two[:2])
    assert numbers["skipped"] == 1
    assert state["seen"] == 42
    for name in ("weights", "loss"):
        assert same_tensors(state[name], other[name])
    for rank in (state, other):
        assert all(each.isfinite().all() for each in rank["buffers"].values())


def test_what_the_ranks_cannot_share_is_refused(two):
    assert "torchrun: digits lies in memory" in two[0]["memory"]
    assert "density: expected one that is not 'exact', whose 2 ranks" in two[0]["exact"]


# -- torchrun --------------------------------------------------------------------------------


def torchrun(*words):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += [
        "--master-addr",
        "127.0.0.1",
        "--master-port",
        str(20_000 + (os.getpid() + 77) % 20_000),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    command += ["-m", "lt_core", "run", "--method", "gcl", "--device", "cpu"]
    command += ["--model", "resnet_rehearsal", "--epochs", "1", *map(str, words)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
def test_torchrun_trains_one_run_and_goes_on_with_one_that_was_stopped(folder, tmp_path):
    words = ("--dataset", f"folder:{folder}", "--store")
    code, out, err = torchrun(*words, tmp_path / "whole")
    assert code == 0, err
    key = json.loads(out)["key"]  # printed once
    code, out, err = torchrun(*words, tmp_path / "parts", "--time-budget", "1e-9")
    assert code == 1
    assert "stopped in epoch 1 of 1 after step 1; call again to go on" in err
    assert Store(tmp_path / "parts").unfinished() == [key]
    code, out, err = torchrun(*words, tmp_path / "parts")
    assert code == 0, err
    whole, parts = (runs.open(tmp_path / place, key) for place in ("whole", "parts"))
    assert numbers(whole) == numbers(parts)
    assert runs.load(tmp_path / "parts")["key"].tolist() == [key]


@pytest.mark.slow
def test_the_end_of_one_process_ends_the_others(tmp_path):
    folder = write_own_images(tmp_path / "pets", COUNTS, 3)
    picture = folder / "train/bee/3.jpg"
    picture.write_bytes(picture.read_bytes()[:200])
    code, _, err = torchrun("--dataset", f"folder:{folder}", "--store", tmp_path / "store")
    assert code != 0
    assert f"lt-core: epoch 1: {picture}: not a complete image" in err
    assert runs.load(tmp_path / "store").empty
