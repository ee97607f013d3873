"""The process that executes one notebook; :mod:`lt_core.book.notebooks` starts it.

It reads its job from standard input and stops when that ends, because then its
parent is gone. It trusts an execution only if the kernel answered for every cell.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import lt_core
from lt_core import errors
from lt_core.runs import environment

STOP_SECONDS = 15  # for a notebook to shut its kernel down before it is killed
STOPPED = 130  # exit code after a signal


def _execute(job: dict) -> int:
    """Execute the job's notebook; the exit code says how it ended."""
    import filelock

    output = Path(job["output"])
    try:
        lock = filelock.FileLock(beside(output, ".ipynb.lock"))
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
    partial = beside(output, ".partial.ipynb")
    try:
        output.unlink(missing_ok=True)
        write(beside(output, ".status.json"), json.dumps(status))
        error = _papermill(job, partial)
        if error is None:
            text = _finished_text(partial, job["name"])
            # The hash first: an output of ours is known as ours, whenever we are killed.
            status["output_sha256"] = hashlib.sha256(text.encode()).hexdigest()
            write(beside(output, ".status.json"), json.dumps(status))
            write(output, text)
            partial.unlink()
    except KeyboardInterrupt:
        error = {"type": "KeyboardInterrupt", "message": "stopped"} | _cell_reached(partial)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stopped = error is not None and error["type"] == "KeyboardInterrupt"
    status["state"] = "stopped" if stopped else "failed" if error else "finished"
    status |= {"error": error, "ended": _now(), "seconds": round(time.monotonic() - began, 2)}
    write(beside(output, ".status.json"), json.dumps(status, indent=1))
    return STOPPED if stopped else 1 if error else 0


def _papermill(job: dict, partial: Path) -> dict | None:
    """Execute into ``partial``; None if every cell answered, else what went wrong."""
    import nbformat
    import papermill

    write(partial, json.dumps(job["notebook"]))
    target = str(partial).replace("{", "{{").replace("}", "}}")  # papermill formats its paths
    sink = sys.stdout if job["stream"] else None
    failure = None
    try:
        papermill.execute_notebook(
            target,
            target,
            cwd=job["cwd"],
            progress_bar=False,
            stdout_file=sink,
            stderr_file=sink,
        )
    except papermill.PapermillExecutionError as error:
        failure = {"type": error.ename, "message": one_line(error.evalue)}
    except Exception as error:
        # a dead kernel, a kernel that did not start, a disk that is full
        failure = {"type": type(error).__name__, "message": one_line(str(error))}
    cells = [c for c in nbformat.read(partial, as_version=4).cells if is_code(c)]
    reached = _cell_reached(partial)
    if failure is not None:
        return failure | reached
    for number, cell in enumerate(cells, start=1):
        for shown in cell.outputs:
            if shown.output_type == "error":  # papermill lets sys.exit(0) pass
                raised = f"{shown.ename} {shown.evalue}".strip()
                message = f"the cell raised {raised}; a notebook has to run to its end"
                return {"type": "NotebookError", "message": message} | _place(number, cell)
        if "shell.execute_reply" not in cell.metadata.get("execution", {}):
            message = "the kernel never answered for this cell"
            return {"type": "NotebookError", "message": message} | _place(number, cell)
    return None


def _cell_reached(partial: Path) -> dict:
    """Where execution ended: the last code cell that started."""
    import nbformat

    try:
        cells = [c for c in nbformat.read(partial, as_version=4).cells if is_code(c)]
    except (OSError, ValueError, AttributeError):
        return {}
    # papermill notes the start before it asks the kernel, which may die without a word
    begun = [
        (number, cell)
        for number, cell in enumerate(cells, start=1)
        if cell.metadata.get("papermill", {}).get("start_time")
    ]
    return _place(*begun[-1]) if begun else {}


def _place(number: int, cell) -> dict:
    lines = [line.strip() for line in cell.source.splitlines() if line.strip()]
    return {"cell": number, "line": lines[0][:60]}


def _finished_text(partial: Path, name: str) -> str:
    """The executed notebook as text, without the paths of this environment."""
    import nbformat

    notebook = nbformat.read(partial, as_version=4)
    notebook.metadata.get("papermill", {}).update(input_path=name, output_path=name)
    return dumps(notebook)


def _watch_parent() -> None:
    """Stop when standard input ends, which is when the parent is gone."""
    while os.read(0, 1):  # not sys.stdin, whose lock would be held when Python ends
        pass
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(STOP_SECONDS)
    os._exit(STOPPED)  # the kernel follows its parent by itself


def _main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    job = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_watch_parent, daemon=True).start()
    try:
        return _execute(job)
    except OSError as error:  # of the output and what lies beside it
        place = error.filename2 or error.filename or job["output"]
        print(f"{place}: cannot be written ({error.strerror or error})", file=sys.stderr)
        return errors.StoreError.exit_code


def dumps(notebook) -> str:
    import nbformat

    return nbformat.writes(nbformat.v4.upgrade(notebook) or notebook)


def is_code(cell) -> bool:
    return cell.cell_type == "code" and bool(cell.source.strip())


def tags(cell) -> list[str]:
    return cell.metadata.get("tags", [])


def beside(output: Path, suffix: str) -> Path:
    return output.with_name(output.name.removesuffix(".ipynb") + suffix)


def write(path: Path, text: str) -> None:
    """Write the whole file or leave the old one."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    scratch.write_text(text, encoding="utf-8")
    os.replace(scratch, path)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def one_line(text: object) -> str:
    return " ".join(str(text).split())[:500]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


if __name__ == "__main__":
    sys.exit(_main())
