"""The papermill runner against what really happens to notebooks: R13 and section 2.7."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lt_core import errors, notebook_parameters, notebooks

nbformat = pytest.importorskip("nbformat", reason="needs the notebooks extra")
pytest.importorskip("papermill", reason="needs the notebooks extra")

PARAMETERS = """\
epochs = 3  # how many
rate: float = 1e-1
flag = False
name = "digits"
layers: int | None = None
factors = (100, 10)
methods: list[str] = ["softmax"]
free = None
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
        ("epochs", "5", 5),
        ("epochs", "10.0", 10),
        ("epochs", 4.0, 4),
        ("rate", "1e-3", 1e-3),
        ("rate", 1, 1.0),
        ("flag", "false", False),
        ("flag", "True", True),
        ("layers", "None", None),
        ("layers", "7", 7),
        ("name", "cifar10", "cifar10"),
        ("factors", "100, 1", (100, 1)),
        ("factors", [50], (50,)),
        ("factors", 10, (10,)),
        ("methods", "softmax,icb", ["softmax", "icb"]),
        ("free", "1e-3", 1e-3),
        ("free", "word", "word"),
        ("free", None, None),
    ],
)
def test_values_are_converted_to_the_declared_type(declared, name, given, expected):
    converted = notebook_parameters.convert(declared[name], given, "x.ipynb")
    assert converted == expected
    assert type(converted) is type(expected)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("epochs", "three"),
        ("epochs", "1,5"),
        ("epochs", 1.5),
        ("epochs", True),
        ("epochs", None),
        ("epochs", float("nan")),
        ("rate", "fast"),
        ("rate", "nan"),
        ("rate", float("inf")),
        ("flag", 1),
        ("flag", "no idea"),
        ("name", 3),
        ("layers", "many"),
        ("factors", "100,x"),
        ("factors", [1.5]),
        ("methods", [3]),
    ],
)
def test_values_of_another_type_are_refused_by_name(declared, name, given):
    with pytest.raises(errors.ConfigError, match=rf"x\.ipynb: parameter {name} must be") as caught:
        notebook_parameters.convert(declared[name], given, "x.ipynb")
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
        ({"epochs": 0}, "epochs must be >= 1"),
        ({"dataset": "digit"}, "did you mean 'digits'"),
        ({"imbalance_factor": 0.5}, "must be >= 1"),
        ({"imbalance_factor": 5000}, "without an image"),
        ({"seeds": 0}, "seeds must be >= 1"),
        ({"data_root": "/nowhere/at/all"}, "not a folder"),
    ],
)
def test_a_value_without_meaning_is_refused_before_a_kernel_starts(tmp_path, given, message):
    more = 'dataset = "digits"\nimbalance_factor: float = 100\nseeds = 3\ndata_root = ""\n'
    path = written(tmp_path / "x.ipynb", "1", parameters=PARAMETERS + more)
    with pytest.raises(errors.LtError, match=message):
        notebooks.run(path, tmp_path / "out.ipynb", given)
    assert [p.name for p in tmp_path.iterdir()] == ["x.ipynb"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import os", "may only assign literals"),
        ("a = 1\nb = a + 1", "may only assign literals"),
        ("a: complex = 1", "is annotated 'complex'"),
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
    done = notebooks.run(path, tmp_path / "out" / "x{}.ipynb", given)
    assert '2 0.1 False (7, 8) a "quoted" \\ name' in printed(done.output)
    assert done.parameters["epochs"] == 2
    assert done.parameters["rate"] == 0.1
    assert path.read_bytes() == source
    assert not list(done.output.parent.glob("*partial*"))
    status = notebooks.finished(done.output)
    assert status["given"] == {"epochs": 2, "factors": [7, 8], "name": 'a "quoted" \\ name'}
    cells = nbformat.read(done.output, as_version=4).cells
    assert cells[1].metadata["tags"] == ["injected-parameters", "hide-input"]
    assert str(tmp_path) not in done.output.read_text()
    done.output.write_text(done.output.read_text() + " ")
    assert notebooks.finished(done.output) is None  # altered since


FAULTS = {
    "an error": ("raise ValueError('no such thing')", "ValueError.*cell 3.*no such thing"),
    "sys.exit(0)": ("import sys; sys.exit(0)", "SystemExit 0; a notebook has to run to its end"),
    "the kernel killed": ("import os; os.kill(os.getpid(), 9)", "DeadKernelError.*cell 3"),
    "the kernel gone": ("import os; os._exit(0)", "DeadKernelError.*cell 3"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("last", [False, True], ids=["in the middle", "in the last cell"])
def test_a_notebook_that_stopped_is_not_counted(tmp_path, fault, last):
    code, message = FAULTS[fault]
    path = written(tmp_path / "x.ipynb", "1", code, *([] if last else ["2"]))
    output = tmp_path / "out.ipynb"
    output.write_text("an older output")
    with pytest.raises(notebooks.NotebookError, match=message) as caught:
        notebooks.run(path, output)
    assert "\n" not in str(caught.value)
    assert not output.exists()  # the old one is not passed off as new
    assert notebooks.finished(output) is None
    assert notebooks.read_status(output)["state"] == "failed"


def test_a_notebook_that_failed_can_be_repaired_and_run_again(tmp_path):
    path = written(tmp_path / "x.ipynb", "1 / 0")
    with pytest.raises(notebooks.NotebookError, match="ZeroDivisionError"):
        notebooks.run(path, tmp_path / "out.ipynb")
    assert (tmp_path / "out.partial.ipynb").exists()  # to look at
    written(path, "print('repaired')")
    assert "repaired" in printed(notebooks.run(path, tmp_path / "out.ipynb").output)
    assert not (tmp_path / "out.partial.ipynb").exists()


def test_an_error_of_ours_keeps_its_kind(tmp_path):
    raising = "from lt_core import errors\nraise errors.DataError('cifar10: nothing in there')"
    path = written(tmp_path / "x.ipynb", raising)
    with pytest.raises(errors.DataError, match=r"^cifar10: nothing in there$"):
        notebooks.run(path, tmp_path / "out.ipynb")


def test_a_notebook_that_takes_too_long_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setenv("LT_MARK", str(tmp_path))
    path = written(tmp_path / "x.ipynb", "import time; time.sleep(60)")
    with pytest.raises(notebooks.NotebookError, match="not done after 6 s"):
        notebooks.run(path, tmp_path / "out.ipynb", timeout=6)
    assert not (tmp_path / "out.ipynb").exists()
    wait_until(lambda: not kernels_of(tmp_path))


SLEEPER = "open(name, 'w').close()\nimport time; time.sleep(60)"
CALL = """\
import sys
from lt_core import errors, notebooks
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
    assert sleeping.wait(20) != 0
    wait_until(lambda: not kernels_of(tmp_path))
    assert not (tmp_path / "out.ipynb").exists()
    status = notebooks.read_status(tmp_path / "out.ipynb")
    assert status["state"] == "stopped"


def test_the_runner_killed_leaves_no_kernel_and_no_result(tmp_path, sleeping):
    runner = [
        pid
        for pid in kernels_of(tmp_path)
        if b"lt_core.notebook_process" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    os.kill(runner[0], signal.SIGKILL)
    assert sleeping.wait(20) == notebooks.NotebookStopped.exit_code
    assert b"ended with signal 9" in sleeping.stdout.read()
    wait_until(lambda: not kernels_of(tmp_path))
    assert notebooks.finished(tmp_path / "out.ipynb") is None


def test_two_processes_do_not_write_one_output(tmp_path, sleeping):
    path = written(tmp_path / "y.ipynb", "1")
    with pytest.raises(errors.BusyError, match="another process"):
        notebooks.run(path, tmp_path / "out.ipynb")


def test_cell_output_streams_as_it_comes(tmp_path, capfd):
    path = written(tmp_path / "x.ipynb", "print('hello from the cell')")
    notebooks.run(path, tmp_path / "out.ipynb", stream=True)
    assert "hello from the cell" in capfd.readouterr().out


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
