"""Run a notebook with papermill so that its output is complete or absent.

:func:`run` checks the parameters, then hands the notebook to a process of its own
(:mod:`lt_core.book.process`), which executes it into ``x.partial.ipynb``. Only after every cell
has answered does that take the place of ``x.ipynb``: an execution that fails or is stopped leaves
an earlier output as it was. ``x.status.json`` beside it says what happened.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

import lt_core
from lt_core import errors, runs
from lt_core.book import parameters_cell
from lt_core.book.process import (
    STOP_SECONDS,
    STOPPED,
    beside,
    finished,
    one_line,
    read_status,
    say_stopped,
    sha256,
    tags,
    write,
)
from lt_core.data import own
from lt_core.runs import records
from lt_core.runs.environment import installed

#: Files of the package that no notebook imports.
LEFT_OUT = ("cli.py", "book/building.py", "book/pages.py", "book/reproducing.py")
#: Packages whose version can change what a page shows.
PACKAGES = (
    *("torch", "torchvision", "pytorch-lightning", "numpy", "scipy", "statsmodels", "pandas"),
    *("scikit-learn", "pyarrow", "pillow", "matplotlib", "seaborn"),
)


class NotebookError(errors.LtError):
    """A notebook that did not run to its end."""


class NotebookStopped(NotebookError):
    """A notebook that was stopped from outside: by a signal, or because its parent died."""

    exit_code = STOPPED


def run(
    path: str | os.PathLike,
    output: str | os.PathLike,
    parameters: Mapping[str, object] | None = None,
    *,
    stream: bool = False,
    environment: Mapping[str, str] | None = None,
    stop: threading.Event | None = None,
) -> dict:
    """Execute the notebook ``path`` into ``output`` with ``parameters``; returns its status.

    The kernel runs in the notebook's folder. ``stream`` prints what cells print as it comes;
    ``environment`` is added to the kernel's; another thread sets ``stop`` to end it.

    Raises ConfigError, before a kernel starts and before any file is touched, for a
    parameter that the notebook does not have or that cannot be converted to its declared
    type, and for an ``output`` whose place holds a file that no execution wrote, such as the
    notebook itself; an error of ``lt_core`` raised in a cell as itself; NotebookError for
    anything else that kept a cell from running; StoreError when ``output`` cannot be written;
    BusyError when another process writes it; KeyboardInterrupt after the kernel was shut down.
    """
    path, output = Path(path), Path(output)
    declared = parameters_of(path)
    refuse_to_replace(output, path)
    given = parameters_cell.check(declared, parameters or {}, path.name)
    resolved = {name: parameter.default for name, parameter in declared.items()} | given
    content = path.read_bytes()  # once: what is executed is what the hash is of
    folder = path.resolve().parent
    job = {
        "notebook": _words_for(content.decode(), resolved.get("dataset")),
        "output": str(output.resolve()),
        "folder": str(folder),
        "stream": stream,
        "parent": os.getpid(),
        "status": {
            "notebook": path.name,
            "source_sha256": sha256(content),
            "parameters": resolved,
            "given": given,
            "code_sha256": code_sha256(),
        },
    }
    code, log = _supervise(job, os.environ | dict(environment or {}), stop)
    if code == 0 and (status := finished(output)):
        status.pop("before", None)  # its output is gone
        if "store" in resolved:  # for pages that draw from a store that has changed since
            store = folder / (resolved["store"] or runs.default_store(folder))
            status["results_sha256"] = results_sha256(store)
        write(beside(output, ".status.json"), json.dumps(status, indent=1))
        return status
    if code == errors.BusyError.exit_code:
        raise errors.BusyError(f"{output}: another process is executing it; call again later")
    raise _error_of(read_status(output) or {}, code, log, path.name, output)


def parameters_of(path: str | os.PathLike) -> dict[str, parameters_cell.Parameter]:
    """The parameters that the notebook declares in its cell tagged ``parameters``."""
    import nbformat

    path = Path(path)
    try:
        notebook = nbformat.read(path, as_version=4)
    except OSError as error:
        raise errors.ConfigError(f"notebook {path}: {error.strerror}") from error
    except Exception as error:  # nbformat names no class for all that a file can be instead
        raise errors.ConfigError(f"notebook {path}: not a notebook: {one_line(error)}") from error
    cells = [cell for cell in notebook.cells if "parameters" in tags(cell)]
    if len(cells) != 1:
        raise errors.ConfigError(
            f"{path.name}: expected one cell tagged 'parameters', found {len(cells)}"
        )
    return parameters_cell.read(cells[0].source, path.name)


def code_sha256() -> str:
    """Hash of what decides a notebook's outputs beside the notebook itself and a store.

    That is all that ships: the package without the command line and the book's pages, the
    papers' numbers, records, subsets and benchmarks; and the versions of packages. A page is
    stale once it changes; jupyter-book's own cache looks at the notebook alone.
    """
    package = Path(lt_core.__file__).parent
    seen = hashlib.sha256(sys.version.encode())
    for folder in (package, records.shipped("results"), records.shipped("benchmarks")):
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if path.is_file() and path.suffix != ".pyc" and name not in LEFT_OUT:
                line = f"{folder.name}/{name}\0{sha256(path.read_bytes())}\n"
                seen.update(line.encode())
    for name in PACKAGES:
        seen.update(f"{name} {installed(name)}\n".encode())
    return seen.hexdigest()


def results_sha256(store: str | os.PathLike) -> str:
    """Hash of what a notebook that draws from a store can see of it."""
    found, set_aside = runs.scan(Path(store).resolve())
    seen = [[[run.key, run.record, run.files] for run in found], set_aside]
    return sha256(json.dumps(seen, sort_keys=True).encode())


def _words_for(notebook: str, dataset: object) -> str:
    """The notebook with what it says of a user's own images, where ``dataset`` is a folder of them.

    A cell's metadata hold that as ``own_images``: the source to take instead, or "" to leave the
    cell out. So nothing is said on their pages that is true of the papers' data only.
    """
    if not str(dataset).startswith(own.PREFIX):
        return notebook
    changed = json.loads(notebook)
    for cell in changed["cells"]:
        cell["source"] = cell["metadata"].get("own_images", cell["source"])
    changed["cells"] = [cell for cell in changed["cells"] if cell["source"]]
    return json.dumps(changed)


def refuse_to_replace(output: Path, source: Path) -> None:
    """Refuse an output that would replace what no execution wrote, such as its own source.

    An execution replaces the files beside its output, and the output itself once it has finished.
    """
    if not output.name:
        raise errors.ConfigError(f"output {output}: expected a file to write, such as x.ipynb")
    place = Path(os.path.realpath(output))  # where it writes: x/../y even where there is no x
    status = read_status(place)
    made = [beside(place, ".status.json"), beside(place, ".partial.ipynb")]
    for path in (place, *made):
        if path.exists() and path.samefile(source):
            raise errors.ConfigError(
                f"output {output}: would replace the notebook {source} itself; name another file"
            )
    foreign = [path for path in made if status is None and os.path.lexists(path)]
    foreign += [p for p in (output, place) if os.path.lexists(p) and not finished(place)]
    if foreign:
        raise errors.ConfigError(
            f"output {output}: {foreign[0].name} is there, and no execution wrote it, or it was "
            "edited since; move it away or name another file"
        )


def _supervise(
    job: dict, environment: Mapping[str, str], stop: threading.Event | None
) -> tuple[int, str]:
    """Run the job in a process that ends when this one does; returns exit code and log."""
    stop = stop or threading.Event()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "lt_core.book.process"],
            stdin=subprocess.PIPE,
            stdout=None if job["stream"] else subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,  # Ctrl-C reaches the child once, through us
            env=environment,
        )
        try:
            with child.stdin:
                child.stdin.write(json.dumps(job).encode())
            while child.poll() is None:
                if stop.wait(0.05):
                    raise NotebookStopped(f"{job['status']['notebook']}: stopped")
        finally:
            if child.poll() is None:
                child.send_signal(signal.SIGINT)
                try:
                    child.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:  # a cell that does not answer
                    child.kill()
                    child.wait()
            if child.returncode not in (0, errors.BusyError.exit_code):
                say_stopped(Path(job["output"]))
        log.seek(0)
        return child.returncode, log.read()


def _error_of(status: dict, code: int, log: str, name: str, output: Path) -> errors.LtError:
    """The error to raise for an execution that did not finish."""
    problem = status.get("error") if status.get("state") in ("failed", "stopped") else None
    if problem is None:  # the process was killed, or ended before it began
        lines = [line for line in log.splitlines() if line.strip()]
        reason = f"signal {-code}" if code < 0 else f"exit code {code}"
        last = f": {lines[-1].strip()}" if lines else ""
        if code == errors.StoreError.exit_code:
            return errors.StoreError(f"{name}{last}")
        return NotebookStopped(f"{name}: its process ended with {reason}{last}")
    kind = getattr(errors, problem["type"], None)
    if isinstance(kind, type) and issubclass(kind, errors.LtError):
        return kind(problem["message"])
    where = f" in cell {problem['cell']} ({problem['line']})" if problem.get("cell") else ""
    if status["state"] == "stopped":
        return NotebookStopped(f"{name}: stopped from outside{where}; call again")
    partial = beside(output, ".partial.ipynb").name
    seen = f"; its output so far is in {partial}" if problem.get("cell") else ""
    return NotebookError(f"{name}: {problem['type']}{where}: {problem['message']}{seen}")
