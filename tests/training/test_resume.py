"""A run killed at any moment and started again ends with the numbers of one that was not."""

import itertools
import os
import random
import resource
import signal
import time
from pathlib import Path

import pytest
import torch
from crash import Faults, disk_full, ended, kill_self, start
from stores import files
from tiny import images, numbers, tiny, trained

from lt_core import cli, losses
from lt_core.errors import StoreError
from lt_core.runs import CHECKPOINTS, Store
from lt_core.training import loop, train

#: Random kills of test_killed_at_random: a few in CI, ``LT_KILLS=100`` for the full count.
KILLS = int(os.environ.get("LT_KILLS", "5"))
AUGMENTED = {"flip": True, "autoaugment": "cifar10", "cutout": 4, "mixup_alpha": 1.0}


@pytest.fixture(autouse=True)
def _checkpoint_after_every_step(monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_INTERVAL", 0.0)


def check_equal(config, store, reference):
    """The run is started again, ends as ``reference`` did, and leaves nothing but its files."""
    run = trained(config, store)
    assert numbers(run) == numbers(reference)
    left = {path.name for path in run.path.iterdir()}
    assert left == {"history.csv", "logits.npz", "metrics.npz", "result.json"}
    assert list(Path(store).rglob("*.tmp")) == []


# -- R1: at random -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def drawing(tmp_path_factory):
    """A run with everything random: a loss that draws, and all augmentation."""
    config = tiny("gcl", epochs=6, overrides=AUGMENTED)
    started = time.monotonic()
    reference = trained(config, tmp_path_factory.mktemp("reference"))
    return config, reference, time.monotonic() - started


@pytest.mark.parametrize("repetition", range(KILLS))
def test_killed_at_random(drawing, tmp_path, repetition):
    config, reference, seconds = drawing
    draw = random.Random(repetition)
    for _ in range(3):
        child = start(lambda: trained(config, tmp_path))
        time.sleep(draw.uniform(0, seconds))
        os.kill(child, signal.SIGKILL)
        ended(child)
    check_equal(config, tmp_path, reference)


# -- R2: around every operation on files ---------------------------------------------------


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """A run of three steps, with a checkpoint after each."""
    config = tiny("icb", epochs=3, overrides={"batch_size": 304})
    # The store's folder is made by the run, as in the tests; the one around it by pytest, whose
    # own operations are not counted.
    store = tmp_path_factory.mktemp("reference") / "store"
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(loop, "CHECKPOINT_INTERVAL", 0.0)
        faults = Faults(monkeypatch)
        reference = trained(config, store)
    assert faults.seen > 25
    return config, reference, faults.seen


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("part", range(4))
def test_killed_around_every_operation(short, tmp_path, monkeypatch, moment, part):
    config, reference, count = short
    for at in range(1 + part, count + 1, 4):
        store = tmp_path / str(at)

        def work(store=store, at=at):
            Faults(monkeypatch, kill_self, at, moment)
            trained(config, store)

        assert ended(start(work)) == -signal.SIGKILL, at
        check_equal(config, store, reference)


# -- R3: no space left -----------------------------------------------------------------------


@pytest.mark.parametrize("part", range(2))
def test_a_full_disk_says_so_at_every_operation_and_harms_nothing(short, tmp_path, part):
    config, reference, count = short
    for at in range(1 + part, count + 1, 2):
        store = tmp_path / str(at)
        with pytest.MonkeyPatch.context() as monkeypatch:
            Faults(monkeypatch, disk_full, at, lasting=True)
            monkeypatch.setattr(loop, "CHECKPOINT_INTERVAL", 0.0)
            with pytest.raises(StoreError, match=r"No space left on device.* free space"):
                trained(config, store)
        check_equal(config, store, reference)


def test_a_limit_on_file_size_says_so(short, tmp_path):
    config, reference, _ = short

    def work():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        trained(config, tmp_path / "store")

    assert ended(start(work, tmp_path / "output")) == StoreError.exit_code
    assert "cannot be written (File too large)" in (tmp_path / "output").read_text()
    check_equal(config, tmp_path / "store", reference)


# -- R4: asked to stop -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    config = tiny("gcl", epochs=20)
    return config, trained(config, tmp_path_factory.mktemp("reference"))


@pytest.mark.parametrize(
    ("signals", "code", "message"),
    [
        ([signal.SIGTERM], 143, "lt-core: stopped; call again to go on"),
        ([signal.SIGINT], 130, "lt-core: interrupted; call again to go on"),
        ([signal.SIGINT, signal.SIGINT], 130, "lt-core: interrupted"),
    ],
    ids=["SIGTERM", "SIGINT", "twice"],
)
def test_a_signal_stops_the_command_and_the_next_call_goes_on(
    long, tmp_path, signals, code, message
):
    config, reference = long
    options = "run --dataset digits --method gcl --imbalance-factor 100 --epochs 20 --device cpu"
    options += " --override batch_size=128 --override learning_rate=0.05"
    command = [*options.split(), "--store", str(tmp_path / "store")]
    child = start(lambda: cli.main(command), tmp_path / "output")
    directory = tmp_path / "store" / config.key
    while not (directory / CHECKPOINTS[1]).exists():
        time.sleep(0.005)
    for number in signals:
        os.kill(child, number)
    assert ended(child) == code
    output = (tmp_path / "output").read_text()
    assert message in output
    assert "Traceback" not in output
    assert not (directory / "result.json").exists()
    check_equal(config, tmp_path / "store", reference)


# -- R5: complete ---------------------------------------------------------------------------------


def test_a_complete_run_is_returned_and_not_touched(tmp_path, monkeypatch):
    config = tiny(epochs=1)
    first = train(config, tmp_path, device="cpu")
    before = files(first.path)
    faults = Faults(monkeypatch)
    again = train(config, tmp_path, device="cpu")
    assert faults.seen == 0
    assert numbers(again) == numbers(first)
    assert files(first.path) == before


# -- every loss, at every step -------------------------------------------


@pytest.mark.parametrize("method", losses.names())
def test_every_loss_resumes_at_every_step(method, tmp_path):
    config = tiny(method, epochs=3, overrides=AUGMENTED)
    reference = trained(config, tmp_path / "reference")
    for count in range(1, 10):  # three steps an epoch
        steps = loop.train_in_steps(config, Store(tmp_path / str(count)), images())
        for _ in range(count):
            next(steps)
        steps.close()  # what the process knew is lost
        check_equal(config, tmp_path / str(count), reference)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_past_its_time_a_run_makes_one_step_a_call_and_nothing_changes(tmp_path, precision):
    config = tiny("gala", epochs=2, precision=precision, overrides=AUGMENTED)
    for epoch, step in itertools.product([1, 2], [1, 2, 3]):
        message = f"stopped in epoch {epoch} of 2 after step {step}; call again"
        with pytest.raises(loop.Unfinished, match=message):
            train(config, tmp_path / "store", device="cpu", deadline=0.0)
    run = train(config, tmp_path / "store", device="cpu", deadline=0.0)
    assert numbers(run) == numbers(trained(config, tmp_path / "reference"))


# -- R12: another length, other threads ------------------------------------


def test_more_epochs_are_another_run(tmp_path):
    short, long = tiny(epochs=2), tiny(epochs=3)
    trained(short, tmp_path / "store")
    run = trained(long, tmp_path / "store")
    assert run.key != short.key
    assert numbers(run) == numbers(trained(long, tmp_path / "reference"))


def test_another_processor_is_warned_of_and_named_in_the_record(tmp_path, monkeypatch):
    config = tiny(epochs=2)
    with pytest.raises(loop.Unfinished):
        train(config, tmp_path, device="cpu", deadline=0.0)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "ANOTHER")
    with pytest.warns(UserWarning, match=r"resumed with processor .* \(ANOTHER\), was"):
        run = train(config, tmp_path, device="cpu")
    assert "(ANOTHER), " in run.record["hardware"]


def test_another_number_of_threads_is_warned_of(tmp_path):
    config = tiny(epochs=2)
    with pytest.raises(loop.Unfinished):
        train(config, tmp_path, device="cpu", deadline=0.0)
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        with pytest.warns(UserWarning, match=f"resumed with threads {threads + 1}, was {threads}"):
            train(config, tmp_path, device="cpu")
    finally:
        torch.set_num_threads(threads)
