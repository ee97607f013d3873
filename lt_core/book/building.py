"""Build the book: execute the notebooks that changed, then make the pages.

:mod:`lt_core.book.pages` makes the pages. ``_run/notebooks`` holds executed notebooks with
their status, ``_run/source`` what jupyter-book reads, ``OUT/html`` the pages. jupyter-book
itself executes nothing: its cache looks at the notebook alone and so keeps stale pages, and
it calls a build with failing notebooks a success. Here a notebook is executed again if its
source, the package, its parameters or the store's results changed.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

import filelock

from lt_core import errors
from lt_core.book import notebooks
from lt_core.book import pages as book_pages
from lt_core.book.pages import BookError as BookError
from lt_core.book.process import sha256, write


@dataclass(frozen=True)
class Page:
    """A notebook of the book: its source, its executed copy, the parameters it is given."""

    source: Path
    executed: Path
    parameters: Mapping[str, object]


def build(
    root: str | os.PathLike = ".",
    out: str | os.PathLike = "_build",
    *,
    quick: bool = False,
    jobs: int = 2,
    store: str | os.PathLike = "runs",
    work: str | os.PathLike | None = None,
    only: Sequence[str] | None = None,
) -> Path:
    """Execute the notebooks that changed and build the pages into ``out/html``.

    ``root`` is a checkout; ``out`` and ``store`` are relative to it. ``quick`` executes at CI
    size the notebooks that have a parameter of that name; ``jobs`` notebooks run at once. Of a
    notebook that ``lt-core reproduce`` executed into the store the book shows the newest copy,
    and executes it again with the same parameters once it is stale. ``only`` names the
    notebooks to execute; others that have no fresh copy are shown as code without output, and
    say so. ``work`` (default ``root/_run``) keeps what the next call reuses.

    Returns the path of the first page. Raises BookError if a page has a warning; what a
    notebook raises; ConfigError for a broken table of contents; BusyError while another
    process builds.
    """
    root = Path(root).resolve()
    work = root / (work or "_run")
    _notebook_names(root)  # what can be refused is refused before hours of work
    book_pages.refuse_to_replace(root / out / "html")
    work.mkdir(parents=True, exist_ok=True)
    try:
        # Two builds at once would put their pages together in one folder.
        with filelock.FileLock(work / "build.lock", timeout=0):
            pages = execute(root, quick=quick, jobs=jobs, store=store, work=work, only=only)
            book_pages.assemble(root, work / "source", {p.source: p.executed for p in pages})
            return book_pages.render(work, root / out / "html")
    except filelock.Timeout:
        raise errors.BusyError(f"{work}: another process builds the book; wait for it") from None


def execute(
    root: str | os.PathLike = ".",
    *,
    quick: bool = False,
    jobs: int = 2,
    store: str | os.PathLike = "runs",
    work: str | os.PathLike | None = None,
    only: Sequence[str] | None = None,
) -> list[Page]:
    """Execute the notebooks that changed; returns all pages of the book that are notebooks."""
    root = Path(root).resolve()
    store, work = root / store, root / (work or "_run")
    if jobs < 1:
        raise errors.ConfigError(f"jobs: expected 1 or more, got {jobs}")
    pages = [_page(root, name, work, store, quick) for name in _notebook_names(root)]
    stale = [page for page in pages if not _is_fresh(page, store)]
    if only is None:
        _execute_side_by_side(stale, jobs)
        return pages
    known = [page.source.stem for page in pages]
    for name in only:
        if name not in known:
            raise errors.unknown("notebook", name, known)
    asked = [page for page in stale if page.source.stem in only]
    _execute_side_by_side(asked, jobs)
    return [_without_output(p, work) if p in stale and p not in asked else p for p in pages]


def metrics(executed: Path) -> Path:
    """Where a notebook's last cell writes its numbers, if it has ``metrics_path``."""
    return executed.with_suffix(".metrics.json")


def _notebook_names(root: Path) -> list[str]:
    """The notebooks that _toc.yml lists, after a check that every page exists."""
    from sphinx_external_toc.parsing import parse_toc_yaml

    try:
        listed = list(parse_toc_yaml(root / "_toc.yml"))
    except FileNotFoundError:
        raise errors.ConfigError(
            f"{root}: no _toc.yml; call this in the root of a checkout of the repository"
        ) from None
    except Exception as error:  # of YAML or of the table of contents
        raise errors.ConfigError(f"_toc.yml: {' '.join(str(error).split())}") from error
    names = [name for name in listed if not (root / f"{name}.md").exists()]
    for name in names:
        if not (root / f"{name}.ipynb").exists():
            raise errors.ConfigError(f"_toc.yml lists {name}, which is neither .md nor .ipynb")
    return names


def _page(root: Path, name: str, work: Path, store: Path, quick: bool) -> Page:
    """The page of a notebook: a copy that reproduce executed, or one of our own."""
    source, executed = root / f"{name}.ipynb", work / f"{name}.ipynb"
    if reproduced := _newest_reproduced(source, store):
        page = Page(source, *reproduced)
        return page if _is_fresh(page, store) else replace(page, executed=executed)
    offered = {"quick": True} if quick else {}
    # Paths relative to the notebook: they are the same on every machine, and shown on no page.
    offered["store"] = Path(os.path.relpath(store, source.parent)).as_posix()
    offered["metrics_path"] = Path(os.path.relpath(metrics(executed), source.parent)).as_posix()
    declared = notebooks.parameters_of(source)
    return Page(source, executed, {n: v for n, v in offered.items() if n in declared})


def _newest_reproduced(source: Path, store: Path) -> tuple[Path, Mapping[str, object]] | None:
    """The copy of ``source`` that ``lt-core reproduce`` finished last, and what it was given."""
    found = {path: notebooks.finished(path) for path in store.glob(f"{source.stem}_*.ipynb")}
    found = {path: of for path, of in found.items() if of and of["notebook"] == source.name}
    path = max(found, key=lambda path: found[path]["ended"], default=None)
    return path and (path, found[path]["given"])


def _without_output(page: Page, work: Path) -> Page:
    """The page as code without output, with a note under its title that says so.

    A named figure keeps its place, because other pages refer to it.
    """
    import nbformat

    notebook = nbformat.read(page.source, as_version=4)
    book_pages.say_under_title(
        notebook,
        "This build shows the code of this page without its output; "
        "`.venv/bin/lt-core book --quick` executes it.",
    )
    place = nbformat.v4.new_output(
        "display_data", {"text/html": "<em>not drawn in this build</em>"}
    )
    for cell in notebook.cells:
        if "figure" in cell.metadata.get("mystnb", {}):
            cell.outputs = [place]
    target = work / "without_output" / page.source.name
    target.parent.mkdir(parents=True, exist_ok=True)
    write(target, nbformat.writes(notebook))
    return replace(page, executed=target)


def _is_fresh(page: Page, store: Path) -> bool:
    """Whether the executed copy shows what executing it now would show."""
    status = notebooks.finished(page.executed)
    if status is None:
        return False
    return (
        status["source_sha256"] == sha256(page.source.read_bytes())
        and status["code_sha256"] == notebooks.code_sha256()
        and status["given"] == json.loads(json.dumps(dict(page.parameters)))
        and (
            "store" not in status["parameters"]
            or status.get("results_sha256") == notebooks.results_sha256(store)
        )
    )


def _execute_side_by_side(pages: list[Page], jobs: int) -> None:
    """Execute the notebooks, ``jobs`` at a time; the first failure stops the others."""
    if not pages:
        return
    jobs = min(jobs, len(pages))
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    stop = threading.Event()

    def one(page: Page) -> None:
        print(f"executing {page.source.name}", flush=True)
        if notebooks.finished(page.executed) is None:  # edited since: only builds write here
            page.executed.unlink(missing_ok=True)
        about = {"environment": {"OMP_NUM_THREADS": threads}, "stop": stop}
        done = notebooks.run(page.source, page.executed, page.parameters, **about)
        print(f"executed {page.source.name} in {done['seconds']:.0f} s", flush=True)

    with ThreadPoolExecutor(jobs) as pool:
        try:
            for done in as_completed([pool.submit(one, page) for page in pages]):
                done.result()
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
