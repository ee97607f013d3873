"""Records: written from a store, read back unchanged, refused where they cannot be right."""

import contextlib
import json

import pandas as pd
import pytest
from stores import (
    CLASSES,
    IN_PLACE_OF_A_FILE,
    Killed,
    add_run,
    disk_full,
    edited,
    files,
    stopped_at,
)

from lt_core import runs
from lt_core.errors import StoreError
from lt_core.runs import HISTORY, LOGITS, METRICS, RESULT, records


@pytest.fixture
def store(tmp_path):
    add_run(tmp_path / "runs", "1234567890123456", top1=100 * 2 / 3)
    add_run(tmp_path / "runs", "12345678901234e5", top1=50.0, variant="gamma=2", seed=1)
    return tmp_path / "runs"


@pytest.fixture
def path(store, tmp_path):
    records.write(store, tmp_path / "results" / "table.csv")
    return tmp_path / "results" / "table.csv"


def test_three_files_are_written(path):
    assert sorted(files(path.parent)) == ["table.csv", "table_classes.csv", "table_history.csv"]
    classes = pd.read_csv(records.beside(path, "classes"), dtype={"key": str})
    assert len(classes) == 2 * CLASSES
    assert classes["images"].tolist() == [100, 10, 1] * 2
    assert classes["accuracy"].tolist() == [0.9, 0.5, 0.1] * 2
    history = pd.read_csv(records.beside(path, "history"), dtype={"key": str})
    assert history.groupby("key")["epoch"].apply(list).tolist() == [[1, 2]] * 2


def test_records_equal_the_store(store, path):
    back = records.read(path).set_index("key")
    there = runs.load(store).set_index("key").loc[back.index]
    assert back["top1"].tolist() == there["top1"].tolist()  # to the last digit
    assert back["variant"].tolist() == there["variant"].tolist()
    # Words that look like numbers stay words.
    assert back.index.tolist() == ["1234567890123456", "12345678901234e5"]
    assert back["commit"].tolist() == ["4e09210"] * 2
    assert back["torch"].tolist() == ["2.11"] * 2


def test_writing_again_changes_nothing(store, path):
    before = files(path.parent)
    assert records.write(store, path) == 2
    assert files(path.parent) == before


@pytest.mark.parametrize("error", [Killed, disk_full])
def test_stopped_at_any_operation_they_can_be_read_and_written_again(path, store, error):
    before, whole = files(path.parent), add_run(store, "f" * 16)
    for number in range(1, 100):
        for name, content in before.items():
            (path.parent / name).write_bytes(content)
        with pytest.MonkeyPatch.context() as patched:
            seen = stopped_at(number, patched, error)
            with contextlib.suppress(Killed, StoreError):
                records.write(store, path)
        assert len(records.committed(path.parent).runs) in (2, 3)
        assert records.write(store, path) == 3
        assert whole.key in set(records.committed(path.parent).history["key"])
        if len(seen) < number:
            break
    assert len(seen) > 5


def test_rows_of_other_stores_stay(path, tmp_path):
    before = records.read(path)
    add_run(tmp_path / "more", "f" * 16, top1=10.0)
    assert records.write(tmp_path / "more", path) == 3
    after = records.read(path)
    assert after["key"].tolist() == ["1234567890123456", "12345678901234e5", "f" * 16]
    pd.testing.assert_frame_equal(after.head(2), before)
    assert len(pd.read_csv(records.beside(path, "classes"))) == 3 * CLASSES


def test_a_contradiction_is_named_and_nothing_is_written(path, tmp_path):
    add_run(tmp_path / "more", "12345678901234e5", top1=51.0)
    before = files(path.parent)
    with pytest.raises(StoreError, match=r"run 12345678901234e5: top1 is 50.0 in .* and 51.0 in"):
        records.write(tmp_path / "more", path)
    assert files(path.parent) == before


@pytest.mark.parametrize("name", [RESULT, METRICS, HISTORY])
def test_what_counts_is_written_and_what_does_not_is_named(store, tmp_path, name):
    (store / "1234567890123456" / name).write_bytes(b"damaged")
    assert records.write(store, tmp_path / "table.csv") == 1
    assert records.read(tmp_path / "table.csv")["key"].tolist() == ["12345678901234e5"]
    results = records.of_store(store)
    assert results.runs["key"].tolist() == ["12345678901234e5"]
    assert results.runs.attrs["set_aside"] == runs.load(store).attrs["set_aside"]
    (reason,) = results.runs.attrs["set_aside"]
    assert f"1234567890123456/{name}: " in reason


@pytest.mark.parametrize("put", IN_PLACE_OF_A_FILE.values(), ids=IN_PLACE_OF_A_FILE)
def test_logits_are_not_needed(store, path, put):
    before = files(path.parent)
    for key in ("1234567890123456", "12345678901234e5"):
        (store / key / LOGITS).unlink()
        put(store / key / LOGITS)
    assert records.write(store, path) == 2
    assert files(path.parent) == before
    assert records.of_store(store).runs.attrs["set_aside"] == []


def test_a_run_damaged_while_it_is_read_is_set_aside(store, monkeypatch):
    scan = runs.scan

    def damaged_after(store):
        found = scan(store)
        (store / "1234567890123456" / HISTORY).write_bytes(b"damaged")
        return found

    monkeypatch.setattr(records, "scan", damaged_after)
    results = records.of_store(store)
    for frame in results:
        assert set(frame["key"]) == {"12345678901234e5"}
    assert len(results.runs.attrs["set_aside"]) == 1


def test_a_store_of_damaged_runs_only_is_refused(tmp_path):
    run = add_run(tmp_path / "runs", "a")
    edited(run.path, lambda result: result["record"].update(top1=99.0))
    with pytest.raises(StoreError, match=r"holds no finished run.*does not match its hash"):
        records.write(tmp_path / "runs", tmp_path / "table.csv")
    assert not (tmp_path / "table.csv").exists()


def test_a_record_that_no_table_could_read_is_not_written(tmp_path):
    run = add_run(tmp_path / "runs", "a")
    result = json.loads((run.path / RESULT).read_bytes())
    del result["record"]["precision"]
    parts = result["config"], result["record"], result["files"]
    (run.path / RESULT).write_bytes(runs.store.result_bytes("a", *parts))
    with pytest.raises(StoreError, match="column 'precision' is missing"):
        records.write(tmp_path / "runs", tmp_path / "table.csv")
    assert not (tmp_path / "table.csv").exists()


def test_an_empty_store_is_refused(tmp_path):
    with pytest.raises(StoreError, match="nothing: holds no finished run"):
        records.write(tmp_path / "nothing", tmp_path / "table.csv")


def test_a_place_that_cannot_be_written_is_named(store, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"table\.csv: cannot be written"):
        records.write(store, tmp_path / "file" / "table.csv")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"top1": 100.5}, r"run 1+: top1 is 100.5, expected a number from 0 to 100"),
        ({"top1": -1}, "top1 is -1"),
        ({"top1": "high"}, "top1 is high"),
        ({"top1": None}, "top1 is missing"),
        ({"top1_few": 101}, "top1_few is 101"),
        ({"epochs": 0}, "epochs is 0"),
        ({"imbalance_factor": 0.01}, "imbalance_factor is 0.01"),
        ({"method": None}, "method is missing"),
        ({"key": "2" * 16}, "run 2+ stands there twice"),
    ],
)
def test_a_record_that_cannot_be_right_is_named(tmp_path, change, message):
    for key in ("1" * 16, "2" * 16):
        add_run(tmp_path / "runs", key)
    path = tmp_path / "table.csv"
    records.write(tmp_path / "runs", path)
    frame = pd.read_csv(path, dtype=object)
    for name, value in change.items():
        frame.loc[0, name] = value
    frame.to_csv(path, index=False)
    with pytest.raises(StoreError, match=message):
        records.read(path)


@pytest.mark.parametrize("column", records.REQUIRED)
def test_a_missing_column_is_named(path, column):
    pd.read_csv(path, dtype=str).drop(columns=column).to_csv(path, index=False)
    with pytest.raises(StoreError, match=f"column '{column}' is missing"):
        records.read(path)


@pytest.mark.parametrize("name", ["classes", "history"])
def test_nothing_is_written_beside_files_that_are_no_records(path, store, name):
    records.beside(path, name).write_text("a,b\n1,2\n")
    add_run(store, "f" * 16)
    before = files(path.parent)
    with pytest.raises(StoreError, match=f"table_{name}.csv: column 'key' is missing"):
        records.write(store, path)
    assert files(path.parent) == before


@pytest.mark.parametrize("name", ["classes", "history"])
def test_a_run_without_its_other_rows_is_named(path, name):
    rows = pd.read_csv(records.beside(path, name), dtype=str)
    rows[rows["key"] != "12345678901234e5"].to_csv(records.beside(path, name), index=False)
    with pytest.raises(StoreError, match=f"run 12345678901234e5 has no rows in its file of {name}"):
        records.committed(path.parent)


@pytest.mark.parametrize("put", IN_PLACE_OF_A_FILE.values(), ids=IN_PLACE_OF_A_FILE)
def test_what_lies_in_place_of_records_is_named(path, put):
    for place in (path, records.beside(path, "history")):
        content = place.read_bytes()
        place.unlink()
        put(place)
        with pytest.raises(StoreError, match=rf"{place.name}: "):
            records.committed(path.parent)
        place.rmdir() if place.is_dir() else place.unlink()
        place.write_bytes(content)


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2,3\n4\n", b"\xff\xfe\x00", b"<html>"])
def test_what_are_no_records_is_named(tmp_path, content):
    (tmp_path / "table.csv").write_bytes(content)
    with pytest.raises(StoreError, match=r"table\.csv: "):
        records.read(tmp_path / "table.csv")


def test_missing_records_say_what_was_looked_for(tmp_path):
    with pytest.raises(StoreError, match=r"table\.csv: no such records"):
        records.read(tmp_path / "table.csv")


def test_a_store_and_its_committed_records_are_the_same_results(store, path):
    there, back = records.of_store(store), records.committed(path.parent)
    for name in ("top1", "variant", "seed"):
        assert (
            there.runs.set_index("key")[name].to_dict()
            == back.runs.set_index("key")[name].to_dict()
        )
    pd.testing.assert_frame_equal(there.classes.reset_index(drop=True), back.classes)
    assert back.history.groupby("key")["epoch"].apply(list).tolist() == [[1, 2]] * 2


def test_results_of_nothing_have_their_columns(tmp_path):
    for results in (records.of_store(tmp_path / "none"), records.committed(tmp_path)):
        assert results.runs.empty
        assert {"key", "top1"} <= set(results.runs)
        assert results.runs.attrs["set_aside"] == []


@pytest.mark.parametrize("newer", ["again.csv", "zuletzt.csv"])  # read before and after the other
def test_of_a_run_in_two_files_the_newer_counts(store, path, newer):
    again = path.with_name(newer)
    records.write(store, again)
    records.read(path).assign(finished="2026").to_csv(path, index=False)
    records.read(again).assign(finished="2099", top1=12.5).to_csv(again, index=False)
    history = records.beside(again, "history")
    pd.read_csv(history, dtype={"key": str}).assign(top1=12.5).to_csv(history, index=False)
    found = records.committed(path.parent)
    assert found.runs["key"].is_unique
    assert set(found.runs["top1"]) == set(found.history["top1"]) == {12.5}
    assert not found.classes.duplicated(["key", "class_rank"]).any()
