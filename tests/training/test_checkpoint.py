"""Checkpoints: damaged ones are passed over, foreign ones refused, nothing in them is run."""

import hashlib
import io
import pickle
import random
import re

import pytest
import torch
from stores import IN_PLACE_OF_A_FILE
from tiny import numbers, tiny, trained

import lt_core
from lt_core.errors import CheckpointError, Unfinished
from lt_core.runs import CHECKPOINTS, Store
from lt_core.training import loop, train

CONFIG = tiny("gala", epochs=3, overrides={"batch_size": 304})


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return numbers(trained(CONFIG, tmp_path_factory.mktemp("reference")))


def stopped(store, config=CONFIG, steps=2):
    """A run stopped after each of its first steps; its directory, with two checkpoints."""
    for _ in range(steps):
        with pytest.raises(Unfinished):
            train(config, store, device="cpu", deadline=0.0)
    return Store(store).directory(config.key)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The two checkpoints, as bytes, newest first."""
    directory = stopped(tmp_path_factory.mktemp("whole"))
    return [(directory / name).read_bytes() for name in CHECKPOINTS]


def put(store, *contents):
    directory = Store(store).directory(CONFIG.key)
    directory.mkdir(parents=True)
    for name, content in zip(CHECKPOINTS, contents, strict=False):
        (directory / name).write_bytes(content)
    return directory


def sealed(content):
    """``content`` with the hash that makes it look whole."""
    return hashlib.sha256(content).hexdigest().encode() + b"\n" + content


def unpacked(content):
    return torch.load(io.BytesIO(content.partition(b"\n")[2]), weights_only=True)


def packed(saved):
    buffer = io.BytesIO()
    torch.save(saved, buffer)
    return sealed(buffer.getvalue())


# -- K1: damage ------------------------------------------------------------------------


def test_a_whole_checkpoint_is_resumed_without_a_warning(tmp_path, whole, reference):
    put(tmp_path, *whole)
    assert numbers(trained(CONFIG, tmp_path)) == reference


@pytest.mark.parametrize("damage", ["empty", "cut early", "cut late", "hash", "start", "end"])
def test_a_damaged_checkpoint_gives_way_to_the_older_one(tmp_path, whole, reference, damage):
    newest = bytearray(whole[0])
    if damage in ("hash", "start", "end"):
        newest[{"hash": 3, "start": 80, "end": -9}[damage]] ^= 1
    else:
        del newest[{"empty": 0, "cut early": 90, "cut late": len(newest) - 1}[damage] :]
    put(tmp_path, newest, whole[1])
    with pytest.warns(UserWarning, match=r"checkpoint: damaged, not used"):
        assert numbers(trained(CONFIG, tmp_path)) == reference


def test_two_damaged_checkpoints_mean_a_fresh_start(tmp_path, whole, reference):
    put(tmp_path, whole[0][:-1], b"")
    with pytest.warns(UserWarning, match="damaged, not used") as warned:
        assert numbers(trained(CONFIG, tmp_path)) == reference
    assert len(warned) == 2


def test_no_flipped_bit_goes_unseen(tmp_path, whole):
    directory, draw = put(tmp_path, *whole), random.Random(0)
    content = whole[0]
    for place in [*range(0, 200, 7), *(draw.randrange(len(content)) for _ in range(100))]:
        flipped = bytearray(content)
        flipped[place] ^= 1 << draw.randrange(8)
        (directory / CHECKPOINTS[0]).write_bytes(flipped)
        with pytest.warns(UserWarning, match="damaged"):
            found = list(Store(tmp_path).checkpoints(CONFIG.key))
        assert found == [whole[1].partition(b"\n")[2]]


# -- K2: code ------------------------------------------------------------------------------


class Canary:
    """Writes a file when it is unpickled by whoever runs what a pickle says."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return exec, (f"open({str(self.path)!r}, 'w').close()",)


def pickled(canary):
    return pickle.dumps({"identity": canary, "state": canary})


def saved_by_torch(canary):
    buffer = io.BytesIO()
    torch.save({"identity": canary, "state": canary}, buffer)
    return buffer.getvalue()


def saved_as_before_torch_1_6(canary):
    buffer = io.BytesIO()
    torch.save(canary, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


@pytest.mark.parametrize("write", [pickled, saved_by_torch, saved_as_before_torch_1_6])
def test_code_in_a_checkpoint_is_not_run(tmp_path, write):
    canary = tmp_path / "canary"
    content = write(Canary(canary))
    put(tmp_path / "store", sealed(content))
    with pytest.raises(CheckpointError, match=r"no checkpoint of lt-core .*start the run afresh"):
        trained(CONFIG, tmp_path / "store")
    assert not canary.exists()
    if write is pickled:  # the canary does sing
        pickle.loads(content)
        assert canary.exists()


PARTS = {"identity": {}, "surroundings": {}, "state": {}, "history": [], "seconds": 0.0}


@pytest.mark.parametrize(
    "saved",
    [
        *(torch.zeros(3), [1, 2], {}, {"identity": {}}, "text"),
        *(PARTS | {name: 7} for name in ("identity", "surroundings", "history")),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path, saved):
    put(tmp_path, packed(saved))
    with pytest.raises(CheckpointError, match="no checkpoint of lt-core"):
        trained(CONFIG, tmp_path)


@pytest.mark.parametrize("name", CHECKPOINTS)
@pytest.mark.parametrize("kind", IN_PLACE_OF_A_FILE)
def test_what_lies_in_place_of_a_checkpoint_is_named_before_training(tmp_path, name, kind):
    directory = Store(tmp_path).directory(CONFIG.key)
    directory.mkdir()
    IN_PLACE_OF_A_FILE[kind](directory / name)
    with pytest.raises(CheckpointError, match=f"{name}: .*; move it away"):
        trained(CONFIG, tmp_path)
    assert [path.name for path in directory.iterdir()] == [name]


# -- K3: another run's ------------------------------------------------------------------------


def check_refused(store, content, message):
    put(store, content)
    with pytest.raises(CheckpointError, match=message) as caught:
        trained(CONFIG, store)
    assert "\n" not in str(caught.value)
    assert str(Store(store).directory(CONFIG.key)) in str(caught.value)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (tiny("gala", epochs=3, seed=1, overrides={"batch_size": 304}), "seed is 1, expected 0"),
        (tiny("softmax", epochs=3), "batch_size is 128, expected 304|method is 'softmax'"),
        (tiny("gala", epochs=4, overrides={"batch_size": 304}), "epochs is 4, expected 3"),
        (
            tiny("gala", epochs=3, params={"eps": 0.01}, overrides={"batch_size": 304}),
            r"eps is 0.01, expected 0.001",
        ),
        (
            tiny("gala", epochs=3, classifier="cosine", overrides={"batch_size": 304}),
            "classifier is 'cosine', expected 'linear'",
        ),
    ],
    ids=["run", "loss", "epochs", "parameter", "model"],
)
def test_a_checkpoint_of_another_run_is_refused_by_its_difference(tmp_path, other, message):
    directory = stopped(tmp_path / "other", other, steps=1)
    check_refused(tmp_path / "store", (directory / CHECKPOINTS[0]).read_bytes(), message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 1}, "format is 1, expected 2"),
        ({"lt_core": "0.0.1"}, f"lt_core is '0.0.1', expected '{re.escape(lt_core.__version__)}'"),
        ({"data_sha256": "ab"}, "data_sha256 is 'ab', expected '"),
    ],
)
def test_a_checkpoint_of_another_version_is_refused(tmp_path, whole, change, message):
    saved = unpacked(whole[0])
    saved["identity"].update(change)
    check_refused(tmp_path, packed(saved), message)


def test_a_state_that_does_not_fit_is_refused(tmp_path, whole):
    saved = unpacked(whole[0])
    saved["state"]["weights"].pop()
    check_refused(tmp_path / "a", packed(saved), "its state does not fit the run")
    saved = unpacked(whole[0])
    saved["state"]["loss"].clear()
    check_refused(tmp_path / "b", packed(saved), "its state does not fit the run")
    for place, state in enumerate((None, 7, [], {}, {"weights": 7}, {**saved["state"], "loss": 7})):
        content = packed({**saved, "state": state})
        check_refused(tmp_path / str(place), content, "its state does not fit the run")


def test_a_checkpoint_holds_tensors_and_plain_values_only(whole):
    saved = unpacked(whole[0])  # weights_only
    assert set(saved) == {"identity", "surroundings", "state", "history", "seconds"}
    assert saved["identity"]["config"] == CONFIG.to_dict()
    assert type(saved["surroundings"]["torch"]) is str
    assert [row["epoch"] for row in saved["history"]] == [1]
    assert saved["state"]["step"] == 1


# -- what they cost ----------------------------------------------------------------------------


def test_checkpoints_are_rare_by_default(tmp_path, monkeypatch):
    assert loop.CHECKPOINT_INTERVAL == 30.0
    written = []
    monkeypatch.setattr(Store, "write_checkpoint", lambda *arguments: written.append(arguments))
    trained(CONFIG, tmp_path)
    assert written == []
