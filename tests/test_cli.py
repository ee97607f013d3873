"""The command line: examples, exit codes, and errors in one line."""

import json
import re
import subprocess
import sys
import warnings

import pytest
from stores import add_run, edited, files

from lt_core import cli, runs
from lt_core.book import reproducing
from lt_core.runs import CHECKPOINTS, HISTORY, LOGITS, METRICS, RESULT, records

TINY = "--dataset digits --method softmax --imbalance-factor 100 --epochs 2 --device cpu"
COMMANDS = ("run", "reproduce", "status", "merge", "book", "doctor")


# -- help ---------------------------------------------------------------------------------


def test_help_lists_every_command(call):
    code, out, _ = call("--help")
    assert code == 0
    assert all(command in out for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_an_example_of_options_that_exist(call, command):
    code, out, _ = call(f"{command} --help")
    assert code == 0
    example = next(line for line in out.splitlines() if f"Example: lt-core {command}" in line)
    for word in example.split():
        if word.startswith("--"):
            assert out.count(word) > 1, word


# -- errors ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("run --dataset digit --method softmax", 2, "data set 'digit'; did you mean 'digits'?"),
        ("run --dataset digits --method sofmax", 2, "did you mean 'softmax'?"),
        (f"run {TINY} --recipe digit", 2, "unknown recipe 'digit'; did you mean 'digits'?"),
        (f"run {TINY} --precision half", 2, "unknown precision 'half'; known: float32, bfloat16"),
        (f"run {TINY} --param gamma", 2, "param: expected NAME=VALUE, got 'gamma'"),
        (f"run {TINY} --override lr=1", 2, "unknown field of recipe digits 'lr'"),
        (f"run {TINY} --override batch_size=305", 2, "batch_size: expected 1 to 304, got 305"),
        (f"run {TINY} --epochs two", 2, "epochs: expected a whole number, got 'two'"),
        (f"run {TINY} --device gpu", 2, "got 'gpu'; a GPU is called cuda"),
        (f"run {TINY} --sead 1", 2, "No such option: --sead"),
        (
            "run --dataset digits --method softmax --imbalance-factor 0.01",
            2,
            "did you mean 100 (= 1/0.01)?",
        ),
        ("run --dataset digits --method softmax --imbalance-factor 500", 2, "without an image"),
        ("run --dataset digits", 2, "Missing option '--method'"),
        ("run --dataset cifar10 --method softmax", 4, "cifar10: no train images in"),
        ("reproduce tabel1 --direct", 2, "unknown table 'tabel1'; did you mean 'table1'?"),
        ("reproduce table1 --direct --methods sofmax", 2, "did you mean 'softmax'?"),
        ("reproduce table1 --direct --methods ,", 2, "methods: expected at least one, got ','"),
        ("reproduce table3 --methods icb[intra,urra]", 2, "did you mean 'icb[intra,ura]'?"),
        ("reproduce all --dataset digits", 2, "unknown data set of 'all' 'digits'"),
        ("reproduce wanted --dataset digits", 2, "unknown data set of 'all' 'digits'"),
        ("reproduce all --methods icb", 2, "methods: 'all' is a list of runs that is fixed"),
        ("reproduce all --output x.ipynb", 2, "output: 'all' has no notebook"),
        ("reproduce table1 --direct --shard 3/2", 2, "shard: expected I/N"),
        ("reproduce table1 --shard 1/2", 2, "shard '1/2': only with --direct"),
        ("reproduce table1 --direct --output x.ipynb", 2, "--direct executes no notebook"),
        ("reproduce table1 --direct --pack 0", 2, "pack: expected a number of runs from 1"),
        ("merge nowhere", 6, "nowhere: holds no finished run; expected a store of runs"),
        ("merge", 2, "Missing argument"),
        (
            f"run {TINY} --batch-size 8",
            2,
            "--batch-size; it is a field of the recipe: --override b",
        ),
        ("reproduce table1 --lr .1", 2, "recipe: --override learning_rate=VALUE"),
        ("reproduce table1 --pretrained x", 2, "recipe: --override weights=VALUE"),
        (f"run {TINY} --gamma 1", 2, "--gamma; it is a parameter of losses: lt-core run … --param"),
        (f"run {TINY} --nonsense 1", 2, "No such option: --nonsense"),
        ("stauts", 2, "unknown command 'stauts'; did you mean 'status'?"),
        ("Status", 2, "did you mean 'status'?"),
        ("run --dataset CIFAR-10 --method softmax", 2, "'CIFAR-10'; did you mean 'cifar10'?"),
        (f"run {TINY} --time-budget=2h", 2, "time_budget (seconds): expected a number, got '2h'"),
        (f"run {TINY} --seed", 2, "Option '--seed' requires an argument"),
        (f"run {TINY} --download=yes", 2, "does not take a value, got '--download=yes'"),
        (f"run {TINY} --override flip=true --override flip=no", 2, "flip is given twice"),
        (f"run {TINY} --store=", 2, "--store: expected a value, got ''"),
        ("reproduce table1 --direct --time-budget -5", 2, "expected more than 0, got -5"),
        ("reproduce table1 --pack none", 2, "or 'auto', got 'none'"),
        ("doctor --device GPU", 2, "a GPU is called cuda"),
        ("book --jobs -1", 2, "jobs: expected 1 to 1024, got -1"),
        ("book --only ,", 2, "names separated by commas, got ','"),
        ("book", 2, "no _toc.yml"),
    ],
)
def test_bad_input_is_one_line_that_names_it_and_an_exit_code(
    call, tmp_path, monkeypatch, arguments, code, message
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LT_DATA_ROOT", str(tmp_path / "data"))
    found, out, lines = call(arguments)
    assert found == code
    assert len(lines) == 1, lines
    assert lines[0].startswith("lt-core: ")
    assert message in lines[0]
    assert out == ""
    assert not list(tmp_path.iterdir())  # not even a lock


@pytest.mark.parametrize("command", [f"run {TINY} --store", "merge good --store"])
def test_a_store_that_cannot_be_written_is_named(call, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    add_run(tmp_path / "good", "a")
    (tmp_path / "file").write_text("no directory")
    code, _, lines = call(command, tmp_path / "file" / "store")
    assert code == 6
    assert len(lines) == 1
    assert "store" in lines[0]
    assert "cannot be written" in lines[0]
    assert (tmp_path / "file").read_text() == "no directory"


def test_a_foreign_checkpoint_is_refused_with_exit_code_5(call, tmp_path):
    assert call(f"run {TINY} --time-budget 1e-9 --store", tmp_path / "store")[0] == 75
    (checkpoint,) = (tmp_path / "store").glob("*/checkpoint")
    key = json.loads(call(f"run {TINY} --seed 1 --store", tmp_path / "other")[1])["key"]
    (tmp_path / "store" / key).mkdir()
    checkpoint.rename(tmp_path / "store" / key / CHECKPOINTS[0])
    code, _, lines = call(f"run {TINY} --seed 1 --store", tmp_path / "store")
    assert code == 5
    assert "seed is 0, expected 1" in lines[0]


def test_an_error_of_ours_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr(cli, "app", lambda **options: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.main([])


def test_the_module_is_the_command():
    command = [sys.executable, "-m", "lt_core", "run", "--dataset", "digits", "--method", "sofmax"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert answer.stderr.count("\n") == 1
    assert "did you mean 'softmax'?" in answer.stderr


# -- run -------------------------------------------------------------------------------------


def test_run_prints_its_record_as_json_and_again_without_training(call, tmp_path):
    code, out, lines = call(f"run {TINY} --store", tmp_path)
    assert code == 0
    record = json.loads(out)
    assert record["method"] == "softmax"
    assert 0 <= record["top1"] <= 100
    before = files(tmp_path)
    code, again, lines = call(f"run {TINY} --store", tmp_path)
    assert (code, lines, json.loads(again)) == (0, [], record)
    assert files(tmp_path) == before


def test_without_a_terminal_there_is_a_line_per_epoch_with_the_time_left(call, tmp_path):
    _, _, lines = call(f"run {TINY} --store", tmp_path)
    assert len(lines) == 2
    start = r"digits factor 100 softmax seed 0: epoch {} of 2, loss \d+\.\d+, \d+\.\d+ %"
    assert re.fullmatch(start.format(1) + r" \(about \d+ s left\)", lines[0])
    assert re.fullmatch(start.format(2), lines[1])


def test_lists_reach_the_run_and_are_one_list_however_they_are_written(call, tmp_path):
    options = "--dataset digits --method seesaw --epochs 3 --override schedule=step --device cpu"
    options += " --override batch_size=1240 --override factors=.1,.01 --param initial_counts="
    records = []
    for counts, milestones in ((",".join("1" * 10), "10,20"), (str([1.0] * 10), "(10, 20,)")):
        more = [options + counts.replace(" ", ""), "--override", f"milestones={milestones}"]
        code, out, _ = call(f"run {more[0]} --store {tmp_path}", *more[1:])
        assert code == 0
        records.append(json.loads(out))
    assert records[0] == records[1]
    assert "milestones=(10, 20)" in records[0]["overrides"]
    assert records[0]["variant"].startswith("initial_counts=")


def test_an_empty_group_is_null_in_the_printed_record(call, tmp_path):
    short = "--dataset digits --method softmax --epochs 1 --override batch_size=600 --device cpu"
    _, out, _ = call(f"run {short} --store", tmp_path)
    record = json.loads(out, parse_constant=pytest.fail)  # NaN is no JSON
    assert record["top1_few"] is None


def test_a_time_budget_ends_with_75_and_the_next_call_goes_on(call, tmp_path):
    code, out, lines = call(f"run {TINY} --time-budget 1e-9 --store", tmp_path / "one")
    assert (code, out) == (75, "")
    assert "stopped in epoch 1 of 2 after step 1; call again to go on" in lines[0]
    code, out, _ = call(f"run {TINY} --store", tmp_path / "one")
    assert code == 0
    _, whole, _ = call(f"run {TINY} --store", tmp_path / "two")
    assert json.loads(out)["top1"] == json.loads(whole)["top1"]


def test_a_warning_is_one_line(call, tmp_path):
    call(f"run {TINY} --time-budget 1e-9 --store", tmp_path)
    (checkpoint,) = tmp_path.glob("*/checkpoint")
    checkpoint.write_bytes(b"damaged")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        code, _, lines = call(f"run {TINY} --store", tmp_path)
    assert code == 0
    assert lines[0] == f"lt-core: warning: {checkpoint}: damaged, not used"


# -- reproduce, status, merge ---------------------------------------------------------------------


def test_reproduce_without_papermill_prints_the_table(call, tmp_path):
    options = "--dataset digits --imbalance-factor 100 --methods softmax,focal --seeds 1 --epochs 1"
    options += " --direct --processes 1 --device cpu"
    code, out, lines = call(f"reproduce table1 {options} --store", tmp_path)
    assert (code, lines) == (0, [])
    assert "[2/2] digits factor 100 focal seed 0" in out
    assert len(runs.load(tmp_path)) == 2
    code, out, _ = call(f"reproduce table1 {options} --store", tmp_path)
    assert out.startswith("2 of 2 runs are there already")


def test_status_counts_and_names(call, tmp_path):
    for seed, top1 in enumerate((50.0, 60.0)):
        add_run(tmp_path, f"plain-{seed}", top1=top1, seed=seed)
    add_run(tmp_path, "other", top1=90.0, variant="gamma=2")
    damaged = add_run(tmp_path, "damaged").path
    edited(damaged, lambda result: result["record"].update(top1=99.0))
    (tmp_path / "started").mkdir()
    (tmp_path / "started" / "checkpoint").write_bytes(b"")
    code, out, _ = call("status --store", tmp_path)
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == f"3 finished, 1 unfinished runs in {tmp_path}"
    assert any(line.split()[-3:] == ["55.00", "7.07", "2"] for line in lines)  # apart by variant
    assert any(line.split()[-3:] == ["90.00", "–", "1"] for line in lines)  # one run: no scatter
    assert lines[-1].startswith(f"set aside: {damaged}")


def test_status_of_a_new_store(call, tmp_path):
    runs.Store(tmp_path / "new").prepare()
    assert call("status --store", tmp_path / "new")[:2] == (
        0,
        f"0 finished, 0 unfinished runs in {tmp_path / 'new'}\n",
    )


@pytest.mark.parametrize("place", ["absent", "a file", "empty", "other things", "absent/below"])
def test_what_is_no_store_is_named_by_status_and_merge_and_fine_for_training(call, tmp_path, place):
    (tmp_path / "a file").write_text("")
    (tmp_path / "empty").mkdir()
    (tmp_path / "other things" / "in folders").mkdir(parents=True)
    (tmp_path / "other things" / "table.csv").write_text("")
    before = files(tmp_path)
    for command in (["status", "--store", tmp_path / place], ["merge", tmp_path / place]):
        code, out, lines = call("", *command)
        assert (code, out, len(lines)) == (6, "", 1)
        assert str(tmp_path / place) in lines[0]
        assert "expected a store" in lines[0]
    assert files(tmp_path) == before
    if place != "a file":
        tiny = TINY.replace("--epochs 2", "--epochs 1")
        assert call(f"run {tiny} --store", tmp_path / place)[0] == 0
        assert call("status --store", tmp_path / place)[1].startswith("1 finished")


@pytest.mark.parametrize("name", [RESULT, METRICS, HISTORY, LOGITS])
def test_status_the_table_and_the_records_agree_on_what_counts(call, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    options = "--dataset digits --imbalance-factor 100 --methods softmax,focal --seeds 1 --epochs 1"
    reproduce = f"reproduce table1 {options} --direct --processes 1 --device cpu"
    assert call(reproduce)[0] == 0
    damaged = add_run(tmp_path / "runs", "damaged").path / name
    damaged.write_bytes(b"damaged")
    add_run(tmp_path / "there", "b")
    named = [] if name == LOGITS else [f"runs/damaged/{name}"]
    _, status, _ = call("status")
    code, table, _ = call(reproduce)
    assert code == 0
    _, merged, _ = call("merge there --records table.csv")
    counted = 3 - len(named)
    assert status.startswith(f"{counted} finished")
    assert f"{counted + 1} records" in merged
    for said in (status, table, merged):
        reasons = [line.partition("set aside")[2] for line in said.splitlines() if "aside" in line]
        assert [reason.split(": ")[1] for reason in reasons] == named


@pytest.mark.parametrize("name", [RESULT, METRICS])
def test_a_damaged_run_of_the_table_is_named_beside_the_others(call, tmp_path, name):
    options = "--dataset digits --imbalance-factor 100 --methods softmax,focal --seeds 1 --epochs 3"
    reproduce = f"reproduce table1 {options} --direct --processes 1 --device cpu --store"
    assert call(reproduce, tmp_path)[0] == 0
    key = runs.load(tmp_path).set_index("method")["key"]["focal"]
    damaged = tmp_path / key / name
    damaged.write_bytes(b"damaged")
    code, out, lines = call(reproduce, tmp_path)
    assert (code, len(lines)) == (6, 1)
    assert str(damaged) in lines[0]
    assert f"set aside, not counted: {damaged}: " in out
    (softmax,) = (line for line in out.splitlines() if line.split()[:1] == ["softmax"])
    assert re.search(r"\d\d\.\d", softmax)
    assert damaged.read_bytes() == b"damaged"


def test_a_notebook_of_the_checkout_is_no_place_for_an_output(call, tmp_path):
    place = reproducing.notebook_path()
    before = place.read_bytes()
    options = "--dataset digits --imbalance-factor 100 --methods softmax --seeds 1 --epochs 1"
    code, out, lines = call(f"reproduce table1 {options} --store", tmp_path, "--output", place)
    assert (code, out, len(lines)) == (2, "", 1)
    assert f"output {place}: " in lines[0]
    assert place.read_bytes() == before
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["classes", "folder"])
def test_a_merge_whose_records_cannot_be_written_copies_nothing(call, tmp_path, place):
    add_run(tmp_path / "there", "a")
    file = tmp_path / {"classes": "table_classes.csv", "folder": "table"}[place]
    file.write_text("no,records\n")
    table = tmp_path / "table.csv" if place == "classes" else file / "table.csv"
    before = files(tmp_path)
    code, out, _ = call(f"merge {tmp_path}/there --store {tmp_path}/here --records {table}")
    assert (code, out) == (6, "")
    assert files(tmp_path) == before


@pytest.mark.parametrize("number", ["top1", "top1_best"])
@pytest.mark.parametrize("place", ["there", "here"])
def test_a_merge_that_contradicts_the_records_copies_nothing(call, tmp_path, place, number):
    add_run(tmp_path / "old", place)
    records.write(tmp_path / "old", tmp_path / "table.csv")
    add_run(tmp_path / "there", "there", **{number: 51.0})
    add_run(tmp_path / "here", "here", **{number: 51.0})
    before = files(tmp_path)
    code, out, err = call(
        f"merge {tmp_path}/there --store {tmp_path}/here --records {tmp_path}/table.csv"
    )
    assert (code, out) == (6, "")
    assert f"run {place}: {number} is 60.0 in" in err[0]
    assert "nothing was written" in err[0]
    assert files(tmp_path) == before


def test_merge_joins_and_writes_records(call, tmp_path):
    add_run(tmp_path / "there", "a")
    add_run(tmp_path / "here", "b")
    code, out, _ = call(
        f"merge {tmp_path}/there --store {tmp_path}/here --records {tmp_path}/table.csv"
    )
    assert code == 0
    assert out.splitlines() == [
        f"1 runs added to {tmp_path}/here, 0 were there already",
        f"2 records in {tmp_path}/table.csv",
    ]
