"""The process that executes one notebook; :mod:`lt_core.book.notebooks` starts it.

Papermill executes; what it gets wrong is put right here. It marks every cell "completed" when
the kernel was killed and when a cell calls ``sys.exit(0)``: an execution counts only if the
kernel answered for every cell and no output is an error. It writes into its output while it
runs: the notebook is executed under another name, and takes the place of an earlier output only
when it has run to its end. It goes on when its caller has died: this process then shuts the
kernel down.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import lt_core
from lt_core import errors, write_atomically
from lt_core.runs import environment
from lt_core.runs.store import read_bytes

STOP_SECONDS = 15  # for a notebook to shut its kernel down before it is killed
STOPPED = 130  # exit code after a signal


def _execute(job: dict) -> int:
    """Execute the job's notebook; the exit code says how it ended."""
    import filelock
    import nbformat

    output = Path(job["output"])
    output.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(beside(output, ".ipynb.lock"))  # two would write into one output
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        return errors.BusyError.exit_code
    began = time.monotonic()
    status = job["status"] | {
        "state": "running",
        "started": _now(),
        "python": sys.version.split()[0],
        "torch": environment.installed("torch"),
        "lt_core": lt_core.__version__,
        "commit": environment.commit(),
        "processor": environment.processor(),
    }
    if earlier := finished(output):  # it stays until this one has finished, and so does its status
        status["before"] = {name: earlier[name] for name in earlier.keys() - {"before"}}
    partial, about = beside(output, ".partial.ipynb"), beside(output, ".status.json")
    try:
        write(about, json.dumps(status))
        error = _papermill(job, partial)
    except KeyboardInterrupt:
        error = {"type": "KeyboardInterrupt", "message": "stopped"} | _cell_reached(partial)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C would leave "running" behind
    stopped = error is not None and error["type"] == "KeyboardInterrupt"
    status["state"] = "stopped" if stopped else "failed" if error else "finished"
    status |= {"error": error, "ended": _now(), "seconds": round(time.monotonic() - began, 2)}
    if error is None:
        notebook = nbformat.read(partial, as_version=4)
        notebook.metadata.pop("papermill", None)  # it holds this machine's paths
        text = nbformat.writes(notebook)
        # The hash first: whenever we are killed, the output is known as this one or the earlier.
        status["output_sha256"] = sha256(text.encode())
    write(about, json.dumps(status, indent=1))
    if error is None:
        write(output, text)
        partial.unlink()
    return STOPPED if stopped else 1 if error else 0


def _papermill(job: dict, partial: Path) -> dict | None:
    """Execute into ``partial``; None if every cell answered, else what went wrong."""
    import papermill

    write(partial, job["notebook"])
    target = str(partial).replace("{", "{{").replace("}", "}}")  # papermill formats its paths
    sink = os.fdopen(os.dup(1), "w") if job["stream"] else None
    # The kernel prints here a second time what processes print that it has started.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    try:
        papermill.execute_notebook(
            target,
            target,
            job["status"]["given"],
            language="python",
            cwd=job["folder"],
            progress_bar=False,
            stdout_file=sink,
            stderr_file=sink,
        )
    except papermill.PapermillExecutionError as error:
        return _failure(error.ename, error.evalue) | _cell_reached(partial)
    except Exception as error:  # a dead kernel, a kernel that did not start, a full disk
        return _failure(type(error).__name__, error) | _cell_reached(partial)
    for number, cell in enumerate(_code_cells(partial), start=1):
        for shown in cell.outputs:
            if shown.output_type == "error":  # papermill lets sys.exit(0) pass
                raised = f"{shown.ename} {shown.evalue}".strip()
                message = f"the cell raised {raised}; a notebook has to run to its end"
                return _failure("NotebookError", message) | _place(number, cell)
        # Papermill calls every cell completed when the kernel was killed.
        if "shell.execute_reply" not in cell.metadata.get("execution", {}):
            message = "the kernel never answered for this cell"
            return _failure("NotebookError", message) | _place(number, cell)
    return None


def _failure(kind: str, message: object) -> dict:
    return {"type": kind, "message": one_line(message)}


def _cell_reached(partial: Path) -> dict:
    """Where execution ended: the last code cell that started."""
    try:
        cells = _code_cells(partial)
    except (OSError, ValueError, AttributeError):  # stopped before or while it was written
        return {}
    # Papermill notes the start before it asks the kernel, which may die without a word.
    begun = [
        (number, cell)
        for number, cell in enumerate(cells, start=1)
        if cell.metadata.get("papermill", {}).get("start_time")
    ]
    return _place(*begun[-1]) if begun else {}


def _code_cells(partial: Path) -> list:
    import nbformat

    cells = nbformat.read(partial, as_version=4).cells
    return [cell for cell in cells if cell.cell_type == "code" and cell.source.strip()]


def _place(number: int, cell) -> dict:
    return {"cell": number, "line": cell.source.strip().splitlines()[0][:60]}


def _stop_alone(output: Path) -> None:
    """The caller is gone, and nobody waits for this notebook any more."""
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(STOP_SECONDS)
    say_stopped(output)
    os._exit(STOPPED)  # the kernel follows its parent by itself


def say_stopped(output: Path) -> None:
    """Set the status to stopped where an execution ended without saying so itself."""
    status = read_status(output) or {}
    if status.get("state") == "running":
        write(beside(output, ".status.json"), json.dumps(status | {"state": "stopped"}, indent=1))


def _main() -> int:
    for number in (signal.SIGTERM, signal.SIGINT):  # a shell's background job ignores the second
        signal.signal(number, signal.default_int_handler)  # else the kernel would go on alone
    job = json.loads(sys.stdin.buffer.read())
    environment.when_gone(job["parent"], lambda: _stop_alone(Path(job["output"])))
    try:
        return _execute(job)
    except OSError as error:  # of the output and what lies beside it
        place = error.filename2 or error.filename or job["output"]
        print(f"{place}: cannot be written ({error.strerror or error})", file=sys.stderr)
        return errors.StoreError.exit_code


def read_status(output: str | os.PathLike) -> dict | None:
    """What is known of the last execution into ``output``, or None."""
    try:
        status = json.loads(read_bytes(beside(Path(output), ".status.json")))
    except (OSError, ValueError, RecursionError):  # there is none, or it is damaged
        return None
    return status if isinstance(status, dict) and "source_sha256" in status else None


def finished(output: str | os.PathLike) -> dict | None:
    """The status of the complete execution that wrote this very file, or None.

    An execution that did not finish has left the file of the one before it, whose status it kept.
    """
    try:
        written = sha256(read_bytes(Path(output)))
    except errors.StoreError:
        return None
    last = read_status(output) or {}
    for status in (last, last.get("before") or {}):
        if status.get("state") == "finished" and status.get("output_sha256") == written:
            return status
    return None


def tags(cell) -> list[str]:
    return cell.metadata.get("tags", [])


def beside(output: Path, suffix: str) -> Path:
    return output.with_name(output.name.removesuffix(".ipynb") + suffix)


def write(path: Path, text: str) -> None:
    write_atomically(path, text.encode())


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def one_line(text: object) -> str:
    return " ".join(str(text).split())[:500]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


if __name__ == "__main__":
    sys.exit(_main())
