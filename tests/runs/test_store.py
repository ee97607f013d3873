"""The store: results are complete or absent, and only a run's own numbers count."""

import errno
import json
import math
import multiprocessing
import os
import random
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from stores import CLASSES, IN_PLACE_OF_A_FILE, add_run, edited, files

from lt_core import runs
from lt_core.errors import BusyError, CheckpointError, StoreError
from lt_core.runs import CHECKPOINTS, HISTORY, LOGITS, METRICS, RESULT, Store

KEY = "0123456789abcdef"


def test_a_finished_run_comes_back_as_it_was_written(tmp_path):
    add_run(tmp_path, KEY, top1=61.25)
    run = runs.open(tmp_path, KEY)
    assert (run.key, run.record["top1"], run.config["method"]) == (KEY, 61.25, "softmax")
    assert run.history["top1"].tolist() == [50.0, 61.25]
    assert run.arrays["class_counts"].tolist() == [100, 10, 1]
    assert run.arrays["test_logits"].dtype == np.float16
    assert run.arrays["test_logits"].shape == (CLASSES, CLASSES)
    assert sorted(path.name for path in run.path.iterdir()) == sorted(
        (RESULT, METRICS, HISTORY, LOGITS)
    )


def test_an_empty_group_is_null_in_the_file_and_nan_in_the_table(tmp_path):
    run = add_run(tmp_path, KEY)
    assert b'"top1_many": null' in (run.path / RESULT).read_bytes()
    frame = runs.load(tmp_path)
    assert frame["top1_many"].dtype == np.float64  # also where no run has a value
    assert math.isnan(frame["top1_many"][0])


@pytest.mark.parametrize("store", ["absent", "empty"])
def test_a_store_without_runs_loads_as_an_empty_table(tmp_path, store):
    (tmp_path / "empty").mkdir()
    frame = runs.load(tmp_path / store)
    assert len(frame) == 0
    assert frame.attrs["set_aside"] == []


def test_logits_may_be_left_behind(tmp_path):
    run = add_run(tmp_path, KEY)
    (run.path / LOGITS).unlink()
    run = runs.open(tmp_path, KEY)
    assert not run.has_logits
    assert "test_logits" not in run.arrays


# -- a write is whole or absent -------------------------------------------------


def test_a_failed_write_keeps_the_old_file_and_leaves_no_other(tmp_path, monkeypatch):
    path = tmp_path / "file"
    runs.store.write_atomically(path, b"old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        runs.store.write_atomically(path, b"new")
    assert files(tmp_path) == {"file": b"old"}


def test_errors_of_the_file_system_name_the_store_and_what_to_do(tmp_path):
    (tmp_path / "file").write_text("no directory")
    with pytest.raises(StoreError, match=r"file: cannot be written .*choose another --store"):
        Store(tmp_path / "file").prepare()
    with pytest.raises(StoreError, match="cannot be written"), Store(tmp_path / "file").lock(KEY):
        pass


def test_leftovers_of_a_killed_process_go_when_the_run_is_next_held(tmp_path):
    store = Store(tmp_path)
    (tmp_path / KEY).mkdir()
    (tmp_path / KEY / "result.json.123.tmp").write_bytes(b"half a res")
    with store.lock(KEY):
        assert list((tmp_path / KEY).iterdir()) == []


# -- damage: R9 -------------------------------------------------------------------


def set_aside(store):
    return runs.load(store).attrs["set_aside"]


@pytest.fixture
def pair(tmp_path):
    """A run to damage and one to leave alone."""
    add_run(tmp_path, "untouched", top1=40.0)
    return add_run(tmp_path, KEY, top1=61.25)


def check_never_another_number(pair, content):
    """Whatever ``result.json`` holds now: the run is as it was, or set aside and named."""
    (pair.path / RESULT).write_bytes(content)
    found, reasons = runs.scan(pair.path.parent)
    records = {run.key: run.record for run in found}
    assert records.pop("untouched")["top1"] == 40.0
    if reasons:
        assert records == {}
        assert str(pair.path) in reasons[0]
        with pytest.raises(StoreError):
            runs.open(pair.path.parent, KEY)
    else:
        assert records == {KEY: pair.record}


def test_a_result_cut_at_any_byte_is_named_and_the_others_load(pair):
    content = (pair.path / RESULT).read_bytes()
    for length in range(len(content)):
        check_never_another_number(pair, content[:length])
        assert len(runs.scan(pair.path.parent)[1]) == 1


def test_a_flipped_bit_never_gives_another_number(pair):
    content = (pair.path / RESULT).read_bytes()
    draw = random.Random(0)
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << draw.randrange(8)
        check_never_another_number(pair, bytes(damaged))


NO_RESULTS = {
    **{text: text.encode() for text in ("", "[]", "null", "7", '"result"', "{}", "NaN")},
    "a format alone": b'{"format": 1}',
    "parts of the wrong types": b'{"format": 1, "sha256": 3, "key": [], "config": 1, '
    b'"record": "x", "files": null}',
    "no text": b"\xff\xfe",
    "brackets": b"[" * 200_000,
    "closed brackets": b"[" * 200_000 + b"]" * 200_000,
    "braces": b'{"format":' * 100_000,
    "nested just so": b'{"format": 1, "sha256": "", "key": "", "config": {}, "files": {}, '
    b'"record": ' + b"[" * 900 + b"]" * 900 + b"}",
    "a huge integer": b'{"format": ' + b"9" * 100_000 + b"}",
}


@pytest.mark.parametrize("content", NO_RESULTS.values(), ids=NO_RESULTS)
def test_what_is_no_result_is_named(pair, content):
    check_never_another_number(pair, content)
    (reason,) = set_aside(pair.path.parent)
    assert reason.startswith(str(pair.path / RESULT))
    assert "\n" not in reason


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_a_result_in_another_encoding_is_named(pair, encoding):
    text = (pair.path / RESULT).read_text()
    (pair.path / RESULT).write_text(text, encoding=encoding)
    (reason,) = set_aside(pair.path.parent)
    assert reason.startswith(f"{pair.path / RESULT}: damaged")


@pytest.mark.parametrize(
    "change",
    [
        *({"top1": value} for value in ("high", [61.25], {}, 101.0, -1, 10**400, True)),
        *({name: "x"} for name in runs.store.NUMBERS),
        *({name: value} for name in runs.store.NEEDED for value in (None, ...)),
        {"device": ["cpu"]},
    ],
    ids=str,
)
def test_a_record_that_cannot_be_right_is_named_however_it_is_sealed(pair, change):
    result = json.loads((pair.path / RESULT).read_bytes())
    record = {k: value for k, value in (result["record"] | change).items() if value is not ...}
    parts = result["config"], record, result["files"]
    (pair.path / RESULT).write_bytes(runs.store.result_bytes(KEY, *parts))
    frame = runs.load(pair.path.parent)
    assert frame["key"].tolist() == ["untouched"]
    (reason,) = frame.attrs["set_aside"]
    assert re.search(rf"{RESULT}: {next(iter(change))} is .*, expected ", reason)
    assert len(reason) < 300


@pytest.mark.parametrize("parts", [([], {}, {}), ({}, [], {}), ({}, {}, [])])
def test_a_result_of_wrong_types_is_named_however_it_is_sealed(pair, parts):
    names = "config", "record", "files"
    result = {"format": 1, "key": KEY, **dict(zip(names, parts, strict=True))}
    result["sha256"] = runs.store._seal(result)
    (pair.path / RESULT).write_text(json.dumps(result))
    (reason,) = set_aside(pair.path.parent)
    assert reason.startswith(f"{pair.path / RESULT}: damaged")


@pytest.mark.parametrize("put", IN_PLACE_OF_A_FILE.values(), ids=IN_PLACE_OF_A_FILE)
@pytest.mark.parametrize("name", [RESULT, METRICS, HISTORY])
def test_what_lies_in_place_of_a_file_is_named_and_the_others_load(pair, name, put):
    (pair.path / name).unlink()
    put(pair.path / name)
    frame = runs.load(pair.path.parent)
    assert frame["key"].tolist() == ["untouched"]
    (reason,) = frame.attrs["set_aside"]
    assert reason.startswith(f"{pair.path / name}: ")
    assert Store(pair.path.parent).is_finished(KEY)  # and is not trained over it
    with pytest.raises(StoreError, match=name):
        runs.open(pair.path.parent, KEY)


@pytest.mark.parametrize("put", IN_PLACE_OF_A_FILE.values(), ids=IN_PLACE_OF_A_FILE)
def test_logits_are_looked_at_when_they_are_used(pair, put):
    (pair.path / LOGITS).unlink()
    put(pair.path / LOGITS)
    frame = runs.load(pair.path.parent)
    assert sorted(frame["key"]) == [KEY, "untouched"]
    assert frame.attrs["set_aside"] == []
    run = runs.open(pair.path.parent, KEY)
    assert run.metrics["class_counts"].tolist() == [100, 10, 1]
    with pytest.raises(StoreError, match=f"{LOGITS}: "):
        _ = run.arrays


@pytest.mark.parametrize("put", IN_PLACE_OF_A_FILE.values(), ids=IN_PLACE_OF_A_FILE)
def test_a_checkpoint_that_cannot_be_read_is_refused_and_kept(tmp_path, put):
    store = Store(tmp_path)
    for name in CHECKPOINTS:
        (tmp_path / name).mkdir()
        put(tmp_path / name / name)
        with pytest.raises(CheckpointError, match=f"{name}: .*; move it away"):
            list(store.checkpoints(name))
        assert os.path.lexists(tmp_path / name / name)


@pytest.mark.parametrize("kind", [kind for kind in IN_PLACE_OF_A_FILE if kind != "a pipe"])
def test_a_lock_that_cannot_be_taken_is_named(tmp_path, kind):
    (tmp_path / ".locks").mkdir()
    IN_PLACE_OF_A_FILE[kind](tmp_path / ".locks" / KEY)
    with pytest.raises(StoreError, match=rf"cannot be written .*{KEY}"), Store(tmp_path).lock(KEY):
        pass


def test_a_store_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(StoreError, match=rf"{tmp_path}: cannot be read \(Permission denied\)"):
        runs.load(tmp_path)


def test_a_run_that_cannot_be_entered_is_named(pair, monkeypatch):
    stat = Path.stat

    def refuse(path, **options):
        if path.parent.name == KEY:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", refuse)
    monkeypatch.setattr(Path, "lstat", lambda path: refuse(path, follow_symlinks=False))
    frame = runs.load(pair.path.parent)
    assert frame["key"].tolist() == ["untouched"]
    assert frame.attrs["set_aside"][0].startswith(f"{pair.path / RESULT}: cannot be read (Perm")


@pytest.mark.parametrize("value", ["NaN", "1e999", "62.0", "null"])
def test_a_number_changed_by_hand_is_named(pair, value):
    text = (pair.path / RESULT).read_text()
    assert '"top1": 61.25' in text
    (pair.path / RESULT).write_text(text.replace('"top1": 61.25', f'"top1": {value}'))
    (reason,) = set_aside(pair.path.parent)
    assert KEY in reason


def test_a_result_of_another_format_says_so(pair):
    edited(pair.path, lambda result: result.update(format=2, sha256="0"))
    (reason,) = set_aside(pair.path.parent)
    assert "format 2, expected 1" in reason


@pytest.mark.parametrize(
    ("name", "attribute"), [(METRICS, "arrays"), (HISTORY, "history"), (LOGITS, "arrays")]
)
def test_a_changed_neighbour_of_the_result_is_refused_by_its_hash(pair, name, attribute):
    content = bytearray((pair.path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (pair.path / name).write_bytes(content)
    with pytest.raises(StoreError, match=f"{name}: differs from the file that result.json"):
        getattr(runs.open(pair.path.parent, KEY), attribute)


@pytest.mark.parametrize("name", [METRICS, HISTORY])
def test_a_missing_neighbour_sets_the_run_aside(pair, name):
    (pair.path / name).unlink()
    (reason,) = set_aside(pair.path.parent)
    assert f"{name}: missing" in reason


# -- copied or renamed: R10 --------------------------------------------------


def test_a_copied_run_counts_once_and_the_copy_is_named(pair):
    shutil.copytree(pair.path, pair.path.with_name("copy of it"))
    frame = runs.load(pair.path.parent)
    assert sorted(frame["key"]) == [KEY, "untouched"]
    assert f"holds run {KEY}, copied or renamed" in frame.attrs["set_aside"][0]
    with pytest.raises(StoreError, match=f"copy of it: holds run {KEY}"):
        runs.open(pair.path.parent, "copy of it")


# -- clocks, rights, size: R8 and R11 ------------------------------------------------


def test_clocks_have_no_effect(pair):
    before = runs.load(pair.path.parent)
    ten_years = 10 * 365 * 86400
    for place, path in enumerate(sorted(pair.path.parent.rglob("*"))):
        moment = time.time() + (ten_years if place % 2 else -ten_years)
        os.utime(path, (moment, moment))
    pd.testing.assert_frame_equal(runs.load(pair.path.parent), before)


def test_a_store_that_cannot_be_written_can_be_read(pair, monkeypatch):
    def refuse(*arguments, **options):
        raise OSError(errno.EROFS, "Read-only file system")

    for owner, name in [(os, "replace"), (os, "fsync"), (Path, "mkdir"), (Path, "unlink")]:
        monkeypatch.setattr(owner, name, refuse)
    assert len(runs.load(pair.path.parent)) == 2
    assert runs.open(pair.path.parent, KEY).arrays["class_counts"][0] == 100
    with pytest.raises(StoreError, match="Read-only"):
        add_run(pair.path.parent, "new")


def test_five_hundred_runs_load_at_once(pair):
    result = json.loads((pair.path / RESULT).read_bytes())
    for number in range(500):
        key = f"{number:016x}"
        directory = pair.path.with_name(key)
        directory.mkdir()
        for name in (METRICS, HISTORY):
            os.link(pair.path / name, directory / name)
        (directory / RESULT).write_bytes(
            runs.store.result_bytes(key, result["config"], result["record"], result["files"])
        )
    started = time.perf_counter()
    assert len(runs.load(pair.path.parent)) == 502
    assert time.perf_counter() - started < 5


# -- locks --------------------------------------------------------------------------


def test_a_held_run_is_refused_at_once_and_free_afterwards(tmp_path):
    store = Store(tmp_path)
    with store.lock(KEY):
        with pytest.raises(BusyError, match=f"run {KEY} .*another process"), store.lock(KEY):
            pass
        with store.lock("another"):
            pass
    with store.lock(KEY):
        pass


def test_what_a_dead_process_left_of_a_lock_is_taken_over(tmp_path):
    holder = multiprocessing.get_context("spawn").Process(target=hold_and_die, args=(tmp_path,))
    holder.start()
    holder.join()
    assert holder.exitcode == 9
    assert (tmp_path / ".locks" / KEY).exists()
    (tmp_path / ".locks" / KEY).write_text(f"{holder.pid} another-host")  # whatever it says
    with Store(tmp_path).lock(KEY):
        pass


def hold_and_die(store):
    with Store(store).lock(KEY):
        os._exit(9)


# -- checkpoints ----------------------------------------------------------------------


def test_the_two_newest_checkpoints_are_kept_newest_first(tmp_path):
    store = Store(tmp_path)
    with store.lock(KEY):
        for content in (b"one", b"two", b"three"):
            store.write_checkpoint(KEY, content)
    assert list(store.checkpoints(KEY)) == [b"three", b"two"]
    assert store.unfinished() == [KEY]


def test_a_damaged_checkpoint_is_named_and_the_older_one_used(tmp_path):
    store = Store(tmp_path)
    with store.lock(KEY):
        for content in (b"one", b"two"):
            store.write_checkpoint(KEY, content)
    newest = tmp_path / KEY / CHECKPOINTS[0]
    whole = newest.read_bytes()
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1
        for damaged in (whole[:place], bytes(flipped)):
            newest.write_bytes(damaged)
            with pytest.warns(UserWarning, match="checkpoint: damaged, not used"):
                assert list(store.checkpoints(KEY)) == [b"one"]


def test_finishing_a_run_deletes_its_checkpoints(tmp_path):
    store = Store(tmp_path)
    with store.lock(KEY):
        for content in (b"one", b"two"):
            store.write_checkpoint(KEY, content)
    run = add_run(tmp_path, KEY)
    assert not any((run.path / name).exists() for name in CHECKPOINTS)
    assert store.unfinished() == []


def with_checkpoints(run):
    for name in CHECKPOINTS:
        (run.path / name).write_bytes(b"state")
    return lambda: [name for name in CHECKPOINTS if (run.path / name).exists()]


@pytest.mark.parametrize("look", [runs.load, runs.scan, lambda store: runs.open(store, KEY)])
def test_checkpoints_that_a_killed_process_left_go_at_the_next_look(pair, look):
    left = with_checkpoints(pair)
    look(pair.path.parent)
    assert left() == []


def test_they_stay_where_nothing_can_be_written(pair, monkeypatch):
    def refuse(*arguments, **options):
        raise OSError(errno.EROFS, "Read-only file system")

    left = with_checkpoints(pair)
    monkeypatch.setattr(Path, "unlink", refuse)
    assert len(runs.load(pair.path.parent)) == 2
    assert left() == list(CHECKPOINTS)


@pytest.mark.parametrize("name", [RESULT, METRICS, HISTORY])
def test_they_stay_beside_a_result_that_does_not_count(pair, name):
    left = with_checkpoints(pair)
    (pair.path / name).write_bytes(b"damaged")
    assert len(runs.load(pair.path.parent)) == 1
    assert left() == list(CHECKPOINTS)


# -- what is no store ------------------------------------------------------------------


def test_what_is_no_store_is_told_from_a_new_one(tmp_path):
    assert runs.missing_store(tmp_path / "absent") == "there is no such folder"
    assert runs.missing_store(tmp_path) == "the folder is empty"
    (tmp_path / "file").write_text("")
    assert runs.missing_store(tmp_path / "file") == "it is not a folder"
    (tmp_path / "folder").mkdir()
    assert runs.missing_store(tmp_path) == "the folder holds no run"
    Store(tmp_path / "absent").prepare()
    assert runs.missing_store(tmp_path / "absent") == ""
    for name in (RESULT, *CHECKPOINTS):
        (tmp_path / name / KEY).mkdir(parents=True)
        (tmp_path / name / KEY / name).write_text("")
        assert runs.missing_store(tmp_path / name) == ""
