"""Plans: shared out among processes, stopped on time, and honest about what is missing."""

import contextlib
import os
import re
import signal
import subprocess
import threading
import time

import numpy as np
import pytest
import torch
from crash import Faults, disk_full, ended, start
from stores import edited, files
from tiny import numbers, tiny, trained

from lt_core import cli, losses, runs
from lt_core.book import notebooks, reproducing
from lt_core.errors import BusyError, ConfigError, DataError, StoreError, TrainingError, Unfinished
from lt_core.losses.focal import Focal
from lt_core.losses.softmax import Softmax
from lt_core.runs import Store
from lt_core.training import batch, loop, reproduce


def plan(count=3, **values):
    return [tiny(seed=seed, epochs=2, **values) for seed in range(count)]


def make(configs, store, **options):
    reproduce(configs, store, **{"device": "cpu", "progress": False, **options})


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """What every run of ``plan()`` gives when it is trained alone."""
    store = tmp_path_factory.mktemp("reference")
    return {config.key: numbers(trained(config, store)) for config in plan()}


def check_equal(store, reference):
    frame = runs.load(store)
    assert sorted(frame["key"]) == sorted(reference)
    assert frame.attrs["set_aside"] == []
    for key, expected in reference.items():
        assert numbers(runs.open(store, key)) == expected


# -- in one process -------------------------------------------------------------------------


@pytest.mark.parametrize("pack", [1, 2, "3", "auto"])
def test_runs_side_by_side_equal_themselves_alone(tmp_path, reference, pack):
    make(plan(), tmp_path, pack=pack)
    check_equal(tmp_path, reference)


def test_a_run_that_stands_twice_in_the_plan_is_made_once(tmp_path, reference, capsys):
    make(plan() + [config.to_dict() for config in plan()], tmp_path, progress=True)
    check_equal(tmp_path, reference)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "0 of 3 runs are there already"
    assert [line.partition("]")[0] for line in lines[1:]] == ["[1/3", "[2/3", "[3/3"]
    assert "digits factor 100 softmax seed 0: " in lines[1]


def test_a_finished_plan_needs_no_write(tmp_path, reference, monkeypatch):
    make(plan(), tmp_path)
    before = files(tmp_path)
    Faults(monkeypatch, disk_full, at=1, lasting=True)
    make(plan(), tmp_path)
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pack": 0}, "pack: expected a number of runs from 1, or 'auto', got 0"),
        ({"pack": "many"}, "pack: expected"),
        ({"processes": 0}, "processes: expected 1 to 1024, got 0"),
        ({"processes": "two"}, "processes: expected a whole number, got 'two'"),
        ({"device": "gpu"}, "device: expected cpu, or cuda where there is any, got 'gpu'"),
        ({"device": "meta"}, "device: expected cpu"),
        ({"device": "cuda:99"}, "device: expected cpu"),
    ],
)
def test_resources_that_cannot_be_are_refused(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        make(plan(), tmp_path / "store", **options)


# -- what fails ------------------------------------------------------------------------------


def test_a_failed_run_is_named_and_the_others_are_stored(tmp_path, reference, monkeypatch):
    diverging = tiny("focal")
    monkeypatch.setattr(Focal, "per_sample", lambda self, z, y: (z[:, 0] * float("nan"), None))
    with pytest.raises(TrainingError, match=r"1 of 4 runs failed, finished ones are stored") as got:
        make([diverging, *plan()], tmp_path)
    reason = "(digits factor 100 focal seed 0): epoch 1: the loss is not finite at step 1"
    assert f"{diverging.key} {reason}" in str(got.value)
    check_equal(tmp_path, reference)


def with_room_for(runs_at_once, monkeypatch):
    """A device whose memory is full when more than ``runs_at_once`` are under way."""
    under_way, real = [], batch.train_in_steps

    def train_in_steps(config, *given, **named):
        under_way.append(config.key)
        try:
            if len(under_way) > runs_at_once:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return (yield from real(config, *given, **named))
        finally:
            under_way.remove(config.key)

    monkeypatch.setattr(batch, "train_in_steps", train_in_steps)


@pytest.mark.parametrize("room", [1, 2])
def test_runs_that_memory_does_not_hold_together_are_made_in_turn(
    tmp_path, reference, monkeypatch, room
):
    with_room_for(room, monkeypatch)
    make(plan(), tmp_path, pack=3)
    check_equal(tmp_path, reference)


def test_a_run_too_large_for_the_device_says_so(tmp_path, monkeypatch):
    with_room_for(0, monkeypatch)
    with pytest.raises(TrainingError, match=r"3 of 3 runs failed.*out of memory on cpu, with no"):
        make(plan(), tmp_path, pack=3)


def test_a_worker_that_cannot_read_its_plan_says_why(tmp_path):
    losses.register("known_here_only", Softmax)
    try:
        with pytest.raises(TrainingError, match="in a worker process: unknown method 'known_"):
            make([tiny("known_here_only")], tmp_path, processes=2)
    finally:
        losses._METHODS.pop("known_here_only")


def test_a_run_that_has_diverged_and_stays_finite_keeps_finite_logits(tmp_path):
    wild = tiny(epochs=3, overrides={"learning_rate": 100, "momentum": 0.99})
    logits = trained(wild, tmp_path).arrays["test_logits"]
    assert abs(logits).max() == np.finfo(np.float16).max


def test_missing_data_fail_with_their_own_exit_code(tmp_path, reference):
    absent = batch.RunConfig("cifar10", "softmax", 100)
    with pytest.raises(TrainingError, match=r"cifar10: no train images in .*absent") as caught:
        make([absent, *plan()], tmp_path / "store", data_root=tmp_path / "absent")
    assert caught.value.exit_code == DataError.exit_code
    check_equal(tmp_path / "store", reference)


def test_a_plan_without_any_images_is_refused_before_anything_starts(tmp_path, monkeypatch):
    store, absent = tmp_path / "store", tmp_path / "absent"
    with pytest.raises(DataError, match=r"^cifar10: no test images in .*absent"):
        make([batch.RunConfig("cifar10", "softmax", 100)], store, data_root=absent, processes=2)
    monkeypatch.setattr(notebooks, "run", lambda *given, **named: pytest.fail("executed"))
    with pytest.raises(DataError, match=r"^cifar10: no test images in .*absent"):
        reproducing.through_notebook("table1", {"dataset": "cifar10"}, store, data_root=absent)
    assert not store.exists()


def test_a_full_disk_ends_the_plan_at_once(tmp_path, reference):
    with pytest.MonkeyPatch.context() as monkeypatch:
        Faults(monkeypatch, disk_full, at=8, lasting=True)
        with pytest.raises(TrainingError, match=r"1 of 3 runs failed.*No space left") as caught:
            make(plan(), tmp_path)
    assert caught.value.exit_code == StoreError.exit_code
    make(plan(), tmp_path)
    check_equal(tmp_path, reference)


def test_a_damaged_result_is_named_and_not_trained_over(tmp_path, reference):
    make(plan(), tmp_path)
    damaged = tmp_path / plan()[1].key
    edited(damaged, lambda result: result["record"].update(top1=99.0))
    before = files(tmp_path)
    with pytest.raises(TrainingError, match=f"{damaged.name}.* does not match its hash") as caught:
        make(plan(), tmp_path)
    assert caught.value.exit_code == StoreError.exit_code
    assert files(tmp_path) == before
    for path in damaged.iterdir():
        path.unlink()
    make(plan(), tmp_path)
    check_equal(tmp_path, reference)


def test_a_run_that_another_process_holds_is_left_to_it(tmp_path, reference):
    held = plan()[1].key
    with Store(tmp_path).lock(held), pytest.raises(BusyError, match="1 of 3 runs are held by"):
        make(plan(), tmp_path)
    assert sorted(runs.load(tmp_path)["key"]) == sorted(set(reference) - {held})
    make(plan(), tmp_path)
    check_equal(tmp_path, reference)


# -- a time budget ------------------------------------------------------------------------------


@pytest.mark.parametrize("pack", [1, 3])
def test_a_time_budget_stops_at_checkpoints_and_the_next_calls_go_on(tmp_path, reference, pack):
    calls = 0
    while len(runs.load(tmp_path)) < 3 and calls < 30:
        calls += 1
        with contextlib.suppress(Unfinished):
            make(plan(), tmp_path, time_budget=0.01, pack=pack)
    assert calls > 1
    with pytest.raises(Unfinished, match="2 of 2 runs remain; call again to go on") as caught:
        make([tiny("focal"), tiny("ghm")], tmp_path / "other", time_budget=0.01, pack=pack)
    assert caught.value.exit_code == 75
    check_equal(tmp_path, reference)


# -- several processes ---------------------------------------------------------------------------


def test_two_processes_share_a_plan(tmp_path, reference, capsys):
    absent = batch.RunConfig("cifar10", "softmax", 100)
    with pytest.raises(TrainingError, match=r"1 of 4 runs failed.*cifar10: no train images") as got:
        make(
            [*plan(), absent],
            tmp_path / "store",
            processes=2,
            data_root=tmp_path / "absent",
            progress=True,
        )
    assert got.value.exit_code == DataError.exit_code
    check_equal(tmp_path / "store", reference)
    assert "[3/4]" in capsys.readouterr().out


@pytest.mark.parametrize("processes", [1, 2])
def test_without_a_terminal_there_are_lines_on_where_each_run_stands(
    tmp_path, monkeypatch, capfd, processes
):
    monkeypatch.setattr(batch, "LINE_INTERVAL", 0.0)
    make(plan(2), tmp_path, processes=processes, progress=True)
    lines = capfd.readouterr().out.splitlines()
    for seed in range(2):
        label = f"digits factor 100 softmax seed {seed}: "
        own = [line.split(label)[1] for line in lines if label in line]
        assert len(own) == 3, lines
        assert re.match(r"epoch 1 of 2, loss \d+\.\d+, \d+\.\d+ % \(about \d+ s left\)", own[0])
        assert re.match(r"epoch 2 of 2, ", own[1])
        assert re.match(r"\d+\.\d+ %", own[2])


@pytest.mark.parametrize("time", [float("nan"), 0, -5, "2h", True])
def test_a_time_that_is_none_is_refused(tmp_path, time):
    with pytest.raises(ConfigError, match="time_budget"):
        make(plan(1), tmp_path, time_budget=time)
    if time != 0:
        with pytest.raises(ConfigError, match="deadline"):
            loop.train(tiny(), tmp_path, device="cpu", deadline=time)
    assert not list(tmp_path.iterdir())


def test_an_infinite_time_is_no_limit(tmp_path):
    make(plan(1), tmp_path, time_budget=float("inf"))
    run = loop.train(plan(2)[1], tmp_path, device="cpu", deadline=float("inf"))
    assert len(runs.load(tmp_path)) == 2
    assert run.record["epochs"] == 2


def test_killed_workers_are_noticed_and_the_next_call_goes_on(tmp_path, monkeypatch):
    configs = [tiny(seed=seed, epochs=200) for seed in range(2)]
    workers, popen = [], subprocess.Popen

    def recorded(*arguments, **options):
        workers.append(popen(*arguments, **options))
        return workers[-1]

    def kill():
        while len(list(tmp_path.glob(".locks/*"))) < 2:
            time.sleep(0.01)
        for worker in workers:
            worker.kill()

    monkeypatch.setattr(batch.subprocess, "Popen", recorded)
    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(TrainingError, match=r"2 of 2 runs failed.* ended with exit code -9"):
        make(configs, tmp_path, processes=2)
    killer.join()
    assert len(runs.load(tmp_path)) == 0
    with pytest.raises(Unfinished):  # the locks are free
        make(configs, tmp_path, time_budget=0.01, pack=2)


def test_workers_end_with_the_process_that_started_them(tmp_path):
    configs = [tiny(seed=seed, epochs=5000) for seed in range(2)]
    parent = start(lambda: make(configs, tmp_path, processes=2), tmp_path / "output")
    while len(list(tmp_path.glob(".locks/*"))) < 2:
        time.sleep(0.01)
    os.kill(parent, signal.SIGKILL)
    ended(parent)
    give_up = time.monotonic() + 10
    for config in configs:
        while True:
            try:
                with Store(tmp_path).lock(config.key):
                    break
            except BusyError:
                assert time.monotonic() < give_up
                time.sleep(0.05)


# -- R6: one run, six processes -------------------------------------------------------------------


def test_six_processes_on_one_run_make_it_once(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_INTERVAL", 0.0)
    config = tiny(epochs=20)
    expected = numbers(trained(config, tmp_path / "reference"))
    options = "run --dataset digits --method softmax --imbalance-factor 100 --epochs 20"
    options += " --device cpu --override batch_size=128 --override learning_rate=0.05"
    command = [*options.split(), "--store", str(tmp_path / "store")]
    outputs = [tmp_path / f"output-{number}" for number in range(6)]
    children = [start(lambda: cli.main(command), output) for output in outputs]
    codes = [ended(child) for child in children]
    assert 0 in codes
    assert set(codes) <= {0, BusyError.exit_code}
    for code, output in zip(codes, outputs, strict=True):
        message = "another process is training it" if code else config.key
        assert message in output.read_text()
    check_equal(tmp_path / "store", {config.key: expected})


def test_a_last_run_trains_with_the_threads_of_all_others(tmp_path, monkeypatch):
    """R12: what is left of a plan must not decide how many threads a run gets."""
    seen = []

    class Ended:
        """A worker that ends at once, without an answer."""

        returncode = 1

        def __init__(self, command, env, **options):
            seen.append(env["OMP_NUM_THREADS"])

        def poll(self):
            return self.returncode

        wait = kill = poll

    monkeypatch.setattr(batch.subprocess, "Popen", Ended)
    monkeypatch.setattr(batch.torch, "get_num_threads", lambda: 4)
    for count in (1, 2, 3):
        with pytest.raises(TrainingError, match="exit code 1"):
            make(plan(count), tmp_path, processes=2)
    assert seen == ["2"] * 5
