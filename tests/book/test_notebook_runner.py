"""The papermill runner against what really happens to notebooks: R13 and section 2.7."""

import contextlib
import hashlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import ci_book
import pytest
from stores import IN_PLACE_OF_A_FILE, Killed, add_run, files, stopped_at

import lt_core
from lt_core import errors, runs
from lt_core.book import notebooks, parameters_cell, process
from lt_core.runs import records

nbformat = pytest.importorskip("nbformat", reason="needs the notebooks extra")
pytest.importorskip("papermill", reason="needs the notebooks extra")

ROOT = ci_book.ROOT
PARAMETERS = """\
epochs = 3  # how many
rate: float = 1e-1
flag = False
name = "digits"
layers: int | None = None
factors = [100, 10]
methods: list[str] = ["softmax"]
pairs = [("a", 1)]
"""


def written(path: Path, *cells: str, parameters: str = PARAMETERS) -> Path:
    """A notebook with a parameters cell and the given code cells."""
    first = nbformat.v4.new_code_cell(parameters)
    first.metadata["tags"] = ["parameters"]
    code = [nbformat.v4.new_code_cell(cell) for cell in cells]
    notebook = nbformat.v4.new_notebook(cells=[first, *code])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, path)
    return path


@pytest.fixture
def declared(tmp_path):
    return notebooks.parameters_of(written(tmp_path / "x.ipynb"))


def printed(output: Path) -> str:
    cells = nbformat.read(output, as_version=4).cells
    return "".join(o.text for c in cells for o in c.get("outputs", []) if "text" in o)


def kernels_of(marker: Path) -> list[int]:
    """Processes whose environment carries the marker: the runner's and the kernel's."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"LT_MARK={marker}".encode() in entry.read_bytes():
                found.append(int(entry.parent.name))
        except OSError:  # gone, or not ours
            continue
    return [pid for pid in found if pid != os.getpid()]


def wait_until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


# --- parameters, no kernel


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("epochs", "10.0", 10),
        ("rate", "1e-3", 1e-3),
        ("flag", "false", False),
        ("layers", "None", None),
        ("layers", "7", 7),
        ("name", "cifar10", "cifar10"),
        ("factors", "100, 1", [100, 1]),
        ("factors", (50,), [50]),
        ("factors", 10, [10]),
        ("factors", "[100, 1]", [100, 1]),
        ("methods", "softmax, icb[inter,intra,ura]", ["softmax", "icb[inter,intra,ura]"]),
        ("methods", "['softmax', 'icb[intra,ura]']", ["softmax", "icb[intra,ura]"]),
        ("methods", "icb[intra,ura]", ["icb[intra,ura]"]),
        ("pairs", [("b", 2)], [("b", 2)]),
    ],
)
def test_values_are_converted_to_the_declared_type(declared, name, given, expected):
    converted = parameters_cell.check(declared, {name: given}, "x.ipynb")[name]
    assert converted == expected
    assert type(converted) is type(expected)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("epochs", "three"),
        ("epochs", True),
        ("epochs", None),
        ("rate", "nan"),
        ("flag", 1),
        ("name", 3),
        ("factors", "100,x"),
        ("factors", [1.5]),
        ("factors", None),
        ("factors", {100: 1}),
        ("factors", "-" * 100_000 + "1"),
        ("factors", "[" * 100_000),
        ("methods", [3]),
        ("pairs", "a, 1"),
    ],
)
def test_values_of_another_type_are_refused_by_name(declared, name, given):
    with pytest.raises(errors.ConfigError, match=rf"parameter {name}: expected") as caught:
        parameters_cell.check(declared, {name: given}, "x.ipynb")
    assert "\n" not in str(caught.value)


def test_an_unknown_parameter_is_answered_with_the_nearest(tmp_path):
    path = written(tmp_path / "x.ipynb", "1")
    with pytest.raises(errors.ConfigError, match="did you mean 'epochs'"):
        notebooks.run(path, tmp_path / "out.ipynb", {"epoch": 3})
    assert [p.name for p in tmp_path.iterdir()] == ["x.ipynb"]  # not a trace


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "x", "methods": "softmax,sofmax"}, "did you mean 'softmax'"),
        ({"epochs": 0}, "epochs: expected 1 or more"),
        ({"dataset": "digit"}, "did you mean 'digits'"),
        ({"imbalance_factor": 0.5}, "expected 1 or more"),
        ({"imbalance_factors": "100,0.01"}, r"did you mean 100 \(= 1/0.01\)"),
        ({"data_root": "x" * 5000}, "not a folder"),
        ({"imbalance_factor": 5000}, "without an image"),
        ({"seeds": 0}, "seeds: expected 1 or more"),
        ({"data_root": "/nowhere/at/all"}, "not a folder"),
    ],
)
def test_a_value_without_meaning_is_refused_before_a_kernel_starts(tmp_path, given, message):
    more = 'dataset = "digits"\nimbalance_factor: float = 100\nseeds = 3\ndata_root = ""\n'
    more += "imbalance_factors = [100]\n"  # whole by their default
    path = written(tmp_path / "x.ipynb", "1", parameters=PARAMETERS + more)
    with pytest.raises(errors.LtError, match=message):
        notebooks.run(path, tmp_path / "out.ipynb", given)
    assert [p.name for p in tmp_path.iterdir()] == ["x.ipynb"]


def test_a_row_of_a_table_that_does_not_exist_is_answered_with_the_nearest(declared):
    with pytest.raises(errors.ConfigError, match=r"did you mean 'icb\[intra,ura\]'"):
        parameters_cell.check(declared, {"methods": "icb[intra,urs],softmax"}, "x.ipynb")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import os", "may only assign literals"),
        ("a = 1\nb = a + 1", "may only assign literals"),
        ("a = 1\na += 1", "may only assign literals"),
        ("a: int", "may only assign literals"),
        ("a: complex = 1", "has the type 'complex'"),
        ("a = None", "has the type 'NoneType'"),
        ("a = ", "is not Python"),
    ],
)
def test_a_parameters_cell_holds_literals_only(tmp_path, source, message):
    path = written(tmp_path / "x.ipynb", parameters=source)
    with pytest.raises(errors.ConfigError, match=message):
        notebooks.parameters_of(path)


def test_a_notebook_needs_exactly_one_parameters_cell(tmp_path):
    nbformat.write(nbformat.v4.new_notebook(), tmp_path / "x.ipynb")
    with pytest.raises(errors.ConfigError, match="expected one cell tagged 'parameters', found 0"):
        notebooks.run(tmp_path / "x.ipynb", tmp_path / "out.ipynb")
    (tmp_path / "y.ipynb").write_text("{")
    with pytest.raises(errors.ConfigError, match="not a notebook"):
        notebooks.run(tmp_path / "y.ipynb", tmp_path / "out.ipynb")
    with pytest.raises(errors.ConfigError, match="No such file"):
        notebooks.run(tmp_path / "z.ipynb", tmp_path / "out.ipynb")


# --- execution


def test_a_finished_notebook_carries_its_parameters_and_its_status(tmp_path):
    path = written(tmp_path / "x.ipynb", "print(epochs, rate, flag, factors, name)")
    source = path.read_bytes()
    given = {"epochs": "2", "factors": "7,8", "name": 'a "quoted" \\ name'}
    output = tmp_path / "out" / "x{}.ipynb"
    done = notebooks.run(path, output, given)
    assert '2 0.1 False [7, 8] a "quoted" \\ name' in printed(output)
    assert done["parameters"]["epochs"] == 2
    assert done["parameters"]["rate"] == 0.1
    assert path.read_bytes() == source
    assert not list(output.parent.glob("*partial*"))
    status = notebooks.finished(output)
    assert status["given"] == {"epochs": 2, "factors": [7, 8], "name": 'a "quoted" \\ name'}
    cells = nbformat.read(output, as_version=4).cells
    assert cells[1].metadata["tags"] == ["injected-parameters"]
    assert str(tmp_path) not in output.read_text()
    output.write_text(output.read_text() + " ")
    assert notebooks.finished(output) is None  # altered since


# --- what lies where the output is to be


def executed_before(output):
    """What an earlier execution into ``output`` left."""
    output.write_text("an older output")
    status = {"state": "finished", "source_sha256": "", "output_sha256": sha256(output)}
    process.beside(output, ".status.json").write_text(json.dumps(status))


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def edited_since(output):
    executed_before(output)
    output.write_text("an older output, and what I think of it")


FOREIGN = {
    "the source": lambda source, output: "x.ipynb",
    "a link to it": lambda source, output: output.symlink_to(source),
    "a second name of it": lambda source, output: output.hardlink_to(source),
    "it, spelt otherwise": lambda source, output: "../notebooks/./x.ipynb",
    "it, by way of a linked folder": lambda source, output: (
        (source.parent / "link").symlink_to(".") or "link/x.ipynb"
    ),
    "another notebook": lambda source, output: shutil.copy(source, output),
    "any other file": lambda source, output: output.write_text("my notes"),
    "an execution, edited since": lambda source, output: edited_since(output),
    "another's status": lambda source, output: output.with_name("out.status.json").write_text(
        '{"mine": 1}'
    ),
    "another's partial": lambda source, output: output.with_name("out.partial.ipynb").write_text(
        "mine"
    ),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_what_no_execution_wrote_is_never_replaced(tmp_path, case):
    (tmp_path / "notebooks").mkdir()
    source = written(tmp_path / "notebooks" / "x.ipynb", "1 / 0")
    output = tmp_path / "notebooks" / "out.ipynb"
    named = FOREIGN[case](source, output)
    output = source.parent / named if case.startswith(("the", "it")) else output
    before = files(tmp_path)
    with pytest.raises(errors.ConfigError, match=rf"output .*{output.name}: .* name another file"):
        notebooks.run(source, output)
    assert files(tmp_path) == before


def test_a_partial_output_that_is_executed_itself_is_not_lost(tmp_path):
    source = written(tmp_path / "x.partial.ipynb", "1 / 0")
    before = files(tmp_path)
    with pytest.raises(errors.ConfigError, match="would replace the notebook"):
        notebooks.run(source, tmp_path / "x.ipynb")
    assert files(tmp_path) == before


@pytest.mark.parametrize("way", ["missing/../x.ipynb", "./x.ipynb", "folder/../x.ipynb"])
def test_no_way_of_writing_a_path_replaces_the_source(tmp_path, way):
    source = written(tmp_path / "x.ipynb", "1 / 0")
    (tmp_path / "folder").mkdir()
    before = files(tmp_path)
    with pytest.raises(errors.ConfigError, match="would replace the notebook"):
        notebooks.run(source, f"{tmp_path}/{way}")
    assert files(tmp_path) == before


@pytest.mark.parametrize("put", IN_PLACE_OF_A_FILE.values(), ids=IN_PLACE_OF_A_FILE)
@pytest.mark.parametrize("name", ["out.ipynb", "out.status.json", "out.partial.ipynb"])
def test_what_is_no_file_is_never_replaced(tmp_path, put, name):
    source = written(tmp_path / "x.ipynb", "1 / 0")
    put(tmp_path / name)
    with pytest.raises(errors.ConfigError, match=f"{name} is there"):
        notebooks.run(source, tmp_path / "out.ipynb")
    assert os.path.lexists(tmp_path / name)


@pytest.mark.parametrize("name", ["", ".", "/"])
def test_an_output_without_a_name_is_refused(tmp_path, name):
    with pytest.raises(errors.ConfigError, match="expected a file to write"):
        notebooks.run(written(tmp_path / "x.ipynb", "1"), name)


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    source = written(tmp_path / "x.ipynb", "1")
    (tmp_path / "out.ipynb.lock").mkdir()
    with pytest.raises(errors.StoreError, match=r"out\.ipynb\.lock: cannot be written \(Is a dir"):
        notebooks.run(source, tmp_path / "out.ipynb")
    with pytest.raises(errors.StoreError, match=r"x\.ipynb: cannot be written"):
        notebooks.run(source, source / "out.ipynb")


def test_killed_around_every_operation_its_output_is_known_as_its_own(tmp_path, monkeypatch):
    """Whenever an execution is killed, its output is a finished one: the new or the one before.

    And the next one into the same place is not refused, also where it fails.
    """
    source = written(tmp_path / "x.ipynb", "1")
    output = tmp_path / "out.ipynb"
    executed_before(output)
    monkeypatch.setattr(signal, "signal", lambda *arguments: None)

    def executed(job, partial):
        partial.write_text(source.read_text())

    monkeypatch.setattr(process, "_papermill", executed)
    status = {"source_sha256": sha256(source)}
    job = {"output": str(output), "status": status}
    for number in range(1, 20):
        with monkeypatch.context() as patched:
            seen = stopped_at(number, patched, Killed)
            with contextlib.suppress(Killed):
                assert process._execute(job) == 0
        for _ in range(2):
            notebooks.refuse_to_replace(output, source)
            assert notebooks.finished(output)["output_sha256"] == sha256(output)
            with monkeypatch.context() as patched:
                patched.setattr(process, "_papermill", lambda *_: {"type": "E", "message": "no"})
                assert process._execute(job) == 1
        if len(seen) < number:
            break
    assert len(seen) >= 5
    assert "an older output" not in output.read_text()


FAULTS = {
    "an error": ("raise ValueError('no such thing')", "ValueError.*cell 3.*no such thing"),
    "sys.exit(0)": ("import sys; sys.exit(0)", "SystemExit 0; a notebook has to run to its end"),
    "the kernel killed": ("import os; os.kill(os.getpid(), 9)", "DeadKernelError.*cell 3"),
    "the kernel gone": ("import os; os._exit(0)", "DeadKernelError.*cell 3"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("last", [False, True], ids=["in the middle", "in the last cell"])
@pytest.mark.parametrize("before", [False, True], ids=["the first", "after another"])
def test_a_notebook_that_stopped_is_not_counted(tmp_path, fault, last, before):
    """And the one before it is neither lost nor passed off as the new one."""
    code, message = FAULTS[fault]
    path = written(tmp_path / "x.ipynb", "1", code, *([] if last else ["2"]))
    output = tmp_path / "out.ipynb"
    if before:
        executed_before(output)
    with pytest.raises(notebooks.NotebookError, match=message) as caught:
        notebooks.run(path, output)
    assert "\n" not in str(caught.value)
    assert output.exists() is before
    assert (notebooks.finished(output) is not None) is before
    assert notebooks.read_status(output)["state"] == "failed"
    if before:
        assert output.read_text() == "an older output"
        assert notebooks.finished(output)["source_sha256"] == ""


def test_a_notebook_that_failed_can_be_repaired_and_run_again(tmp_path):
    path = written(tmp_path / "x.ipynb", "1 / 0")
    with pytest.raises(notebooks.NotebookError, match="ZeroDivisionError"):
        notebooks.run(path, tmp_path / "out.ipynb")
    assert (tmp_path / "out.partial.ipynb").exists()  # to look at
    written(path, "print('repaired')")
    notebooks.run(path, tmp_path / "out.ipynb")
    assert "repaired" in printed(tmp_path / "out.ipynb")
    assert not (tmp_path / "out.partial.ipynb").exists()


def test_an_error_of_ours_keeps_its_kind(tmp_path):
    raising = "from lt_core import errors\nraise errors.DataError('cifar10: nothing in there')"
    path = written(tmp_path / "x.ipynb", raising)
    with pytest.raises(errors.DataError, match=r"^cifar10: nothing in there$"):
        notebooks.run(path, tmp_path / "out.ipynb")


def test_another_thread_can_stop_a_notebook(tmp_path, monkeypatch):
    monkeypatch.setenv("LT_MARK", str(tmp_path))
    path = written(tmp_path / "x.ipynb", "import time; time.sleep(60)")
    stop = threading.Event()
    threading.Timer(6, stop.set).start()
    with pytest.raises(notebooks.NotebookStopped, match=r"x\.ipynb: stopped"):
        notebooks.run(path, tmp_path / "out.ipynb", stop=stop)
    assert not (tmp_path / "out.ipynb").exists()
    wait_until(lambda: not kernels_of(tmp_path))


SLEEPER = "open(name, 'w').close()\nimport time; time.sleep(60)"
CALL = """\
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # as if not in a shell's background
from lt_core import errors
from lt_core.book import notebooks
try:
    notebooks.run(*sys.argv[1:3], {"name": sys.argv[3]})
except errors.LtError as error:
    print(error)
    sys.exit(error.exit_code)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.fixture
def sleeping(tmp_path):
    """A caller whose notebook sleeps in its second cell, in a process of its own."""
    path = written(tmp_path / "x.ipynb", SLEEPER)
    begun = tmp_path / "begun"
    arguments = [sys.executable, "-c", CALL, path, tmp_path / "out.ipynb", begun]
    caller = subprocess.Popen(
        list(map(str, arguments)),
        env=os.environ | {"LT_MARK": str(tmp_path)},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    wait_until(begun.exists, 40)
    yield caller
    caller.kill()
    caller.wait()
    caller.stdout.close()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_no_process_outlives_its_caller(tmp_path, sleeping, name):
    sleeping.send_signal(getattr(signal, name))
    assert sleeping.wait(60) != 0
    wait_until(lambda: not kernels_of(tmp_path), 60)
    assert not (tmp_path / "out.ipynb").exists()
    status = notebooks.read_status(tmp_path / "out.ipynb")
    assert status["state"] == "stopped"


def test_a_notebook_that_had_to_be_killed_is_not_said_to_run(tmp_path, monkeypatch):
    monkeypatch.setattr(notebooks, "STOP_SECONDS", 0)  # it has no time to say so itself
    path, output, begun = written(tmp_path / "x.ipynb", SLEEPER), tmp_path / "out.ipynb", "begun"
    stop = threading.Event()
    threading.Thread(
        target=lambda: (wait_until((tmp_path / begun).exists, 60), stop.set()), daemon=True
    ).start()
    with pytest.raises(notebooks.NotebookStopped):
        notebooks.run(path, output, {"name": str(tmp_path / begun)}, stop=stop)
    assert notebooks.read_status(output)["state"] == "stopped"


def test_the_runner_killed_leaves_no_kernel_and_no_result(tmp_path, sleeping):
    runner = [
        pid
        for pid in kernels_of(tmp_path)
        if b"lt_core.book.process" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    os.kill(runner[0], signal.SIGKILL)
    assert sleeping.wait(60) == notebooks.NotebookStopped.exit_code
    assert b"ended with signal 9" in sleeping.stdout.read()
    assert notebooks.read_status(tmp_path / "out.ipynb")["state"] == "stopped"
    wait_until(lambda: not kernels_of(tmp_path))
    assert notebooks.finished(tmp_path / "out.ipynb") is None


def test_two_processes_do_not_write_one_output(tmp_path, sleeping):
    path = written(tmp_path / "y.ipynb", "1")
    with pytest.raises(errors.BusyError, match="another process"):
        notebooks.run(path, tmp_path / "out.ipynb")


def test_cell_output_streams_as_it_comes(tmp_path, capfd, monkeypatch):
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # with it a kernel does not look at its children
    child = "import subprocess, time; subprocess.run(['echo', 'hello from a child']); time.sleep(1)"
    path = written(tmp_path / "x.ipynb", "print('hello from the cell')", child)
    notebooks.run(path, tmp_path / "out.ipynb", stream=True)
    out = capfd.readouterr().out
    assert out.count("hello from the cell") == 1
    assert out.count("hello from a child") == 1


def test_status_is_json_that_others_can_read(tmp_path):
    path = written(tmp_path / "x.ipynb", "1")
    notebooks.run(path, tmp_path / "out.ipynb")
    status = json.loads((tmp_path / "out.status.json").read_text())
    assert {
        "state",
        "parameters",
        "source_sha256",
        "code_sha256",
        "seconds",
        "started",
    } <= status.keys()


# --- freshness


@pytest.mark.parametrize("folder", ["results", "benchmarks"])
@pytest.mark.parametrize("name", ["new.csv", "old.csv", "subsets/old.json.gz"])
def test_the_code_of_a_page_covers_the_records_that_ship(tmp_path, monkeypatch, folder, name):
    for each in ("results", "benchmarks"):
        (tmp_path / each / "subsets").mkdir(parents=True)
        for old in ("old.csv", "subsets/old.json.gz"):
            (tmp_path / each / old).write_text("1,2")
    monkeypatch.setattr(records, "shipped", lambda folder: tmp_path / folder)
    before = notebooks.code_sha256()
    assert notebooks.code_sha256() == before
    (tmp_path / folder / name).write_text("1,3")
    assert notebooks.code_sha256() != before


def test_the_code_of_a_page_covers_the_package_but_what_no_notebook_imports(tmp_path, monkeypatch):
    package = tmp_path / "lt_core"
    files = ["cli.py", "book/pages.py", "tables/pages.py", "tables/cli.py"]
    for name in files:
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text("before")
    monkeypatch.setattr(notebooks.lt_core, "__file__", str(package / "__init__.py"))
    monkeypatch.setattr(records, "shipped", lambda folder: tmp_path / folder)
    seen = [notebooks.code_sha256()]
    for name in files:
        (package / name).write_text("after")
        seen.append(notebooks.code_sha256())
    assert [new != old for old, new in itertools.pairwise(seen)] == [False, False, True, True]
    here = Path(runs.__file__).parents[1]
    assert all((here / name).is_file() for name in notebooks.LEFT_OUT)


@pytest.mark.parametrize("package", notebooks.PACKAGES)
def test_the_code_of_a_page_covers_the_versions_of_packages(monkeypatch, package):
    before, installed = notebooks.code_sha256(), notebooks.installed
    new = lambda name: "0.0.1" if name == package else installed(name)  # noqa: E731
    monkeypatch.setattr(notebooks, "installed", new)
    assert notebooks.code_sha256() != before


def test_what_a_page_can_see_of_a_store(tmp_path):
    run = add_run(tmp_path / "runs", "a")
    seen = [notebooks.results_sha256(tmp_path / "none"), notebooks.results_sha256(run.path.parent)]
    (run.path / runs.LOGITS).write_bytes(b"no table looks at them")
    assert notebooks.results_sha256(run.path.parent) == seen[-1]
    for name in (runs.HISTORY, runs.RESULT):
        (run.path / name).write_bytes(b"[" * 200_000)
        seen.append(notebooks.results_sha256(run.path.parent))
    assert len(set(seen)) == 4


# --- papermill by itself


def test_runs_are_kept_in_the_checkout_wherever_a_notebook_is_started(tmp_path, monkeypatch):
    for checkout in ("one", "two"):
        (tmp_path / checkout / "notebooks/deep").mkdir(parents=True)
        shutil.copy(ROOT / "pyproject.toml", tmp_path / checkout)
    for start in ("", "notebooks", "notebooks/deep"):
        monkeypatch.chdir(tmp_path / "one" / start)
        assert runs.default_store() == tmp_path / "one" / "runs"
    assert runs.default_store(tmp_path / "two") == tmp_path / "two" / "runs"
    monkeypatch.chdir(tmp_path)
    assert runs.default_store() == ROOT / "runs"
    monkeypatch.setattr(lt_core, "__file__", str(tmp_path / "installed" / "lt_core" / "x.py"))
    assert runs.default_store() == tmp_path / "runs"


@pytest.mark.slow
@pytest.mark.parametrize("folder", [".", "notebooks"])
def test_plain_papermill_keeps_runs_in_the_checkout(tmp_path, folder):
    checkout = tmp_path / "checkout"
    (checkout / "notebooks").mkdir(parents=True)
    (checkout / "lt_core").symlink_to(ROOT / "lt_core")
    shutil.copy(ROOT / "pyproject.toml", checkout)
    notebook = nbformat.read(ROOT / "notebooks/reproduce.ipynb", as_version=4)
    (trains,) = (i for i, cell in enumerate(notebook.cells) if "tables.fill(" in cell.source)
    notebook.cells = notebook.cells[: trains + 1]  # the tables below it take their time
    nbformat.write(notebook, checkout / "notebooks/reproduce.ipynb")
    source = os.path.relpath(checkout / "notebooks/reproduce.ipynb", checkout / folder)
    command = [sys.executable, "-m", "papermill", source, tmp_path / "out.ipynb"]
    given = {"methods": "softmax,icb", "imbalance_factors": "100", "seeds": 1, "epochs": 1}
    command += [part for name, value in given.items() for part in ("-p", name, value)]
    command += ["-y", "{resources: {processes: 1, device: cpu}}"]
    done = subprocess.run(
        list(map(str, command)), cwd=checkout / folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(runs.load(checkout / "runs")) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkout", "out.ipynb"]
    assert not (checkout / "notebooks" / "runs").exists()
