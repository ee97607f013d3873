"""Joining stores: everything is looked at before anything is written."""

import contextlib
import os

import pytest
from stores import IN_PLACE_OF_A_FILE, Killed, add_run, disk_full, edited, files, stopped_at

from lt_core import runs
from lt_core.errors import StoreError
from lt_core.runs import CHECKPOINTS, HISTORY, LOGITS, METRICS, RESULT, Store, merging


@pytest.fixture
def stores(tmp_path):
    """Three stores: ``here`` holds a; ``there`` holds a and b; ``far`` holds c."""
    here, there, far = (tmp_path / name for name in ("here", "there", "far"))
    add_run(here, "a", top1=50.0)
    add_run(there, "a", top1=50.0, seconds=9.0, device="cuda", hardware="a GPU", torch="2.15")
    add_run(there, "b", top1=51.0)
    add_run(far, "c", top1=52.0)
    return here, there, far


def test_runs_are_joined_with_their_files(stores):
    here, there, far = stores
    assert merging.merge([there, far], here) == (2, 1)
    assert runs.load(here)["top1"].tolist() == [50.0, 51.0, 52.0]
    assert files(here / "b") == files(there / "b")
    assert merging.merge([there, far], here) == (0, 3)


def test_a_new_store_is_created(stores, tmp_path):
    assert merging.merge(stores, tmp_path / "new") == (3, 1)
    assert sorted(runs.load(tmp_path / "new")["key"]) == ["a", "b", "c"]


def test_logits_that_were_left_behind_are_not_needed(stores):
    here, there, _ = stores
    (there / "b" / LOGITS).unlink()
    merging.merge([there], here)
    assert not runs.open(here, "b").has_logits


def check_refused(sources, target, message):
    before = files(target)
    with pytest.raises(StoreError, match=message):
        merging.merge(sources, target)
    assert files(target) == before


def test_a_contradiction_is_named_and_nothing_is_written(stores):
    here, there, far = stores
    add_run(far, "a", top1=49.0)
    check_refused([there, far], here, r"run a: top1 is 49.0 in .*far.* and 50.0 in .*here")


def test_two_sources_that_contradict_each_other_are_refused(stores, tmp_path):
    _, there, far = stores
    add_run(far, "b", data_sha256="cd" * 32)
    (tmp_path / "new").mkdir()
    check_refused([there, far], tmp_path / "new", "run b: ")


@pytest.mark.parametrize("name", [METRICS, HISTORY, LOGITS])
def test_a_source_with_a_damaged_file_is_refused_before_writing(stores, name):
    here, there, far = stores
    (far / "c" / name).write_bytes(b"damaged")
    check_refused([there, far], here, f"{name}: differs from the file that")


def test_a_source_with_a_damaged_result_is_refused(stores):
    here, there, far = stores
    edited(far / "c", lambda result: result["record"].update(top1=99.0))
    check_refused([there, far], here, "far: 1 runs do not count: .*does not match its hash")


def test_a_source_without_runs_is_refused(stores, tmp_path):
    here, there, _ = stores
    check_refused([there, tmp_path / "absent"], here, "absent: holds no finished run.*no such")
    (tmp_path / "file").write_text("")
    check_refused([there, tmp_path / "file"], here, "file: holds no finished run.*not a folder")
    (tmp_path / "other" / "things").mkdir(parents=True)
    check_refused([there, tmp_path / "other"], here, "other: holds no finished run.*holds no run")
    Store(tmp_path / "new").prepare()
    check_refused([tmp_path / "new"], here, "new: holds no finished run; expected a store of runs$")


def test_a_field_that_only_one_version_records_is_no_contradiction(stores):
    here, _, far = stores
    add_run(far, "a", top1=50.0, overlap=0)
    assert merging.merge([far], here) == (1, 1)


def test_a_run_that_was_started_here_and_finished_elsewhere_leaves_no_checkpoint(stores):
    here, there, _ = stores
    with Store(here).lock("b"):
        Store(here).write_checkpoint("b", b"state")
    merging.merge([there], here)
    assert files(here / "b") == files(there / "b")


def test_checkpoints_that_were_left_beside_a_result_are_not_merged(stores):
    here, there, _ = stores
    (there / "b" / CHECKPOINTS[0]).write_bytes(b"state")
    merging.merge([there], here)
    assert not list(here.glob(f"*/{CHECKPOINTS[0]}"))


@pytest.mark.parametrize("name", [RESULT, METRICS, HISTORY])
def test_a_damaged_run_here_is_named_and_left_alone(stores, name):
    here, there, _ = stores
    (here / "a" / name).write_bytes(b"all that is left of it")
    check_refused([there], here, f"here/a/{name}: .*move the run's folder away")
    (here / "a").rename(here.parent / "moved away")
    assert merging.merge([there], here) == (2, 0)
    assert runs.open(here, "a").record["top1"] == 50.0


@pytest.mark.parametrize("put", IN_PLACE_OF_A_FILE.values(), ids=IN_PLACE_OF_A_FILE)
def test_what_lies_in_place_of_a_result_here_is_named_and_left_alone(stores, put):
    here, there, _ = stores
    (here / "b").mkdir()
    put(here / "b" / RESULT)
    check_refused([there], here, f"here/b/{RESULT}: ")
    assert os.path.lexists(here / "b" / RESULT)


def test_a_run_damaged_here_while_others_are_merged_is_left_alone(stores, monkeypatch):
    here, there, _ = stores
    prepare = Store.prepare

    def and_meanwhile(store):
        prepare(store)
        (here / "b").mkdir()
        (here / "b" / RESULT).write_bytes(b"another process was here")

    monkeypatch.setattr(Store, "prepare", and_meanwhile)
    with pytest.raises(StoreError, match=f"here/b/{RESULT}: damaged"):
        merging.merge([there], here)
    assert files(here / "b") == {RESULT: b"another process was here"}


@pytest.mark.parametrize("error", [Killed, disk_full])
def test_stopped_at_any_operation_and_called_again_it_ends_the_same(stores, tmp_path, error):
    _, there, far = stores
    merging.merge([there, far], tmp_path / "whole")
    for number in range(1, 100):
        here = tmp_path / str(number)
        with Store(here).lock("b"):
            Store(here).write_checkpoint("b", b"state")
        with pytest.MonkeyPatch.context() as patched:
            seen = stopped_at(number, patched, error)
            with contextlib.suppress(Killed, StoreError):
                merging.merge([there, far], here)
        merging.merge([there, far], here)
        for key in "abc":
            assert files(here / key) == files(tmp_path / "whole" / key)
        if len(seen) < number:
            break
    assert len(seen) > 20


def test_damaged_logits_here_do_not_keep_a_run_from_being_known(stores):
    here, there, _ = stores
    (here / "a" / LOGITS).write_bytes(b"damaged")
    assert merging.merge([there], here) == (1, 1)
    assert (here / "a" / LOGITS).read_bytes() == b"damaged"


def test_logits_of_an_unfinished_start_here_are_not_taken_for_those_of_the_run(stores):
    here, there, _ = stores
    (there / "b" / LOGITS).unlink()
    (here / "b").mkdir()
    (here / "b" / LOGITS).write_bytes(b"of this machine")
    merging.merge([there], here)
    assert "test_logits" not in runs.open(here, "b").arrays
