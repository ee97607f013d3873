"""Building the book: what is executed again, and that nothing broken passes."""

import errno
import os
import re
import shutil
import subprocess
import time

import ci_book
import filelock
import pytest
import yaml

from lt_core import book, errors
from lt_core.book import notebooks
from lt_core.book import pages as book_pages
from lt_core.runs import environment

nbformat = pytest.importorskip("nbformat", reason="needs the notebooks extra")
pytest.importorskip("jupyter_book", reason="needs the book extra")

HOME = (
    "# Home\n\nSee {doc}`/notebooks/one` and $x^2$, from -1.5 to 82%, not `-1 5%`.\n\n"
    "86 ± 1 at p = .5.\n"
)
TOC = "format: jb-book\nroot: book/index\nchapters:\n  - file: notebooks/one\n"
DRAWING = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\nprint(6 * 7, 'words')"
NAMED = {"figure": {"name": "a-line", "caption": "A line."}, "image": {"alt": "It rises."}}


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A checkout in small: one page, one notebook."""
    monkeypatch.setattr(notebooks, "code_sha256", lambda: "one version of the code")
    shutil.copy(ci_book.ROOT / "_config.yml", tmp_path)
    (tmp_path / "_toc.yml").write_text(TOC)
    for folder in ("_ext", "_assets"):
        shutil.copytree(ci_book.ROOT / "book" / folder, tmp_path / "book" / folder)
    shutil.copy(ci_book.ROOT / "book/references.bib", tmp_path / "book")
    (tmp_path / "book/index.md").write_text(HOME)
    (tmp_path / "notebooks").mkdir()
    write_notebook(tmp_path, "print('first')")
    return tmp_path


def write_notebook(root, *code, name="one", parameters='quick = False\nstore = "../runs"'):
    new = nbformat.v4.new_code_cell
    parameters = new(parameters)
    parameters.metadata["tags"] = ["parameters"]
    drawn = new(DRAWING)
    drawn.metadata["mystnb"] = NAMED
    title = nbformat.v4.new_markdown_cell("# One")
    made = nbformat.v4.new_notebook(cells=[title, parameters, *map(new, code), drawn])
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    made.metadata["language_info"] = {"name": "python"}
    nbformat.write(made, root / f"notebooks/{name}.ipynb")


def executions(root, capsys):
    capsys.readouterr()
    pages = book.execute(root, quick=True)
    return [notebooks.finished(page.executed) for page in pages], capsys.readouterr().out


def test_a_notebook_is_executed_again_only_if_something_changed(root, capsys):
    (status,), out = executions(root, capsys)
    assert "executed one.ipynb" in out
    assert status["given"] == {"quick": True, "store": "../runs"}
    assert executions(root, capsys)[1] == ""

    write_notebook(root, "print('second')")  # the source
    assert "executed" in executions(root, capsys)[1]
    (root / "runs/some-run").mkdir(parents=True)
    (root / "runs/some-run/result.json").write_text("{}")  # the results
    assert "executed" in executions(root, capsys)[1]
    assert executions(root, capsys)[1] == ""


def test_new_code_or_a_damaged_copy_means_another_execution(root, capsys, monkeypatch):
    executions(root, capsys)
    copy = root / "_run/notebooks/one.ipynb"
    copy.write_text(copy.read_text() + " ")
    assert "executed" in executions(root, capsys)[1]
    monkeypatch.setattr(notebooks, "code_sha256", lambda: "another version")
    assert "executed" in executions(root, capsys)[1]


def test_the_newest_copy_that_reproduce_executed_is_what_the_book_shows(root, capsys):
    source = root / "notebooks/one.ipynb"
    given = {"store": str(root / "runs")}
    notebooks.run(source, root / "runs/one_table1.ipynb", given | {"quick": True})
    time.sleep(1)  # the end of a run is noted in seconds
    notebooks.run(source, root / "runs/one_gala.ipynb", given)
    write_notebook(root, "print('two')", name="two")  # another notebook, called like a copy
    two = {"store": str(root / "runs")}
    notebooks.run(root / "notebooks/two.ipynb", root / "runs/one_two.ipynb", two)
    (page,) = book.execute(root, quick=True)
    assert (page.executed.name, page.parameters) == ("one_gala.ipynb", given)
    assert "executed" not in capsys.readouterr().out
    # and when it is out of date, it is executed again with the same parameters
    write_notebook(root, "print('second')")
    (status,), out = executions(root, capsys)
    assert "executed" in out
    assert status["given"] == given


def test_pages_show_the_execution_and_not_this_machine(root):
    write_notebook(root, "print('quick is', quick)")
    notebooks.run(
        root / "notebooks/one.ipynb",
        root / "runs/one_table1.ipynb",
        {"store": str(root / "runs"), "quick": True},
    )
    index = book.build(root)
    assert index == root / "_build/html/index.html"
    page = (root / "_build/html/notebooks/one.html").read_text()
    assert "quick is True" in page
    assert "42 words" in page  # displayed beside a figure
    assert "Values given for this page" in page
    assert "This page was executed with" in page.partition("<h1>")[2][:600]
    made_with = re.escape(environment.installed("torch"))
    assert re.search(rf"Executed on \d\d\d\d-.*PyTorch {made_with}", page)
    assert str(root) not in page
    assert '<meta property="og:title" content="One" />' in page
    assert '<meta name="description" content="The long tail, from the gradient up" />' in page
    assert '<link rel="icon" href="../_static/favicon.svg"' in page
    assert "og:image" not in page  # no site, no address


def test_what_other_sites_and_a_search_are_told_of_a_page(root, monkeypatch):
    (root / "book/index.md").write_text("# Home\n\nSee {doc}`/notebooks/one`, without formulas.\n")
    write_notebook(root, "secret = 1")
    notebook = nbformat.read(root / "notebooks/one.ipynb", as_version=4)
    words = "The length of $\\tau_k$ or $\\frac12$ is\n\n$$\\sqrt{2} .$$ (root)\n\nThat is all."
    notebook.cells[0].source += f"\n\n{words}"
    nbformat.write(notebook, root / "notebooks/one.ipynb")
    monkeypatch.setenv("LT_BOOK_URL", "https://example.org/book")
    html = book.build(root).parent
    home, page = ((html / f"{name}.html").read_text() for name in ("book/index", "notebooks/one"))
    assert ("tex-chtml" in home, "tex-chtml" in page) == (False, True)  # home is above that page
    assert '<link rel="canonical" href="https://example.org/book/notebooks/one.html" />' in page
    told = dict(
        re.findall(
            r'<meta property="og:(url|image)" content="https://example.org/book/(.*?)"', page
        )
    )
    assert told["url"] == "notebooks/one.html"
    assert (html / told["image"]).stat().st_size < 200_000
    assert re.search(r'blob/main/LICENSE">MIT licence</a>. Built on \d{4}-\d\d-\d\d', home)
    whole = (html / "book/whole.html").read_text()  # to be printed
    ids = re.findall(r' id="(.*?)"', whole)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#(.*?)"', whole)) <= set(ids)
    assert 'href="#one"' in whole
    assert "tex-chtml" in whole
    assert "notebooks/one.html" not in whole
    excerpts = (html / "_static/excerpts.js").read_text()
    assert "The length of \\u03c4_k or \\u2026 is That is all." in excerpts
    assert "secret" not in excerpts


FRAME = """\
import pandas as pd
columns = {"gain": [-1.5, float("nan")], "of": ["a", "-b"], "nats": ["−∞", "2"]}
pd.DataFrame(columns, ["ours", "theirs"]).rename_axis("method")"""
COUNTS = 'pd.DataFrame({"runs": [8]}, ["12,406"]).rename_axis("images")'
KEYS = 'pd.DataFrame({"run": ["1234567890ab"]}, ["icb"]).rename_axis("method")'


def test_tables_have_one_look_and_pages_need_no_network(root):
    long = 'pd.DataFrame({"why": ["long " * 9]}, ["icb"]).rename_axis("method")'
    write_notebook(root, FRAME, COUNTS, KEYS, long)
    book.build(root)
    html = root / "_build/html"
    page = (html / "notebooks/one.html").read_text()
    rows = re.findall(r"<tr>(.*?)</tr>", page.replace("\n", ""))
    heading = '<th class="number">'
    assert rows[0] == f"<th>method</th>{heading}gain</th><th>of</th>{heading}nats</th>"
    assert '<td class="number">−1.5</td><td>a</td>' in rows[1]
    assert "<td>-b</td>" in rows[2]
    assert len(rows) == 9
    assert rows[3] == f"{heading}images</th>{heading}runs</th>"
    assert rows[4] == f'{heading}12,406</th><td class="number">8</td>'
    assert rows[6] == "<th>icb</th><td>1234567890ab</td>"  # the key of a run is no number
    assert re.search(r'<td class="sentence">(long ?){9}</td>', page)
    assert "<style scoped" not in page
    assert (html / "_static/scripts/fontawesome.js").stat().st_size == 0
    home = (html / "book/index.html").read_text()
    assert ("tex-chtml" in page, "tex-chtml" in home) == (0, 1)
    assert "from \N{MINUS SIGN}1.5 to 82\N{NO-BREAK SPACE}%, not" in home
    assert re.search(r'class="together">\S*[^<]*x\^2[^<]*</span>,</span> from', home)
    assert "86\xa0±\xa01 at p\xa0=\xa0.5." in home
    assert "-1 5%" in re.sub("<[^>]*>", "", home)
    assert "See" in (html / "_static/excerpts.js").read_text()
    assert "excerpts.js" in (html / "search.html").read_text()


def test_a_page_at_full_size_says_nothing_about_its_size(root):
    (page,) = book.execute(root)
    assert "was executed with" not in book_pages.shown(page.executed)


@pytest.mark.parametrize("kind", ["image/svg+xml", "image/png", "text/html", "text/plain"])
def test_a_caption_stands_only_under_a_figure(tmp_path, kind):
    shown = [{kind: "a picture"}, {"text/markdown": "Words."}]
    outputs = [nbformat.v4.new_output("display_data", data) for data in shown]
    cell = nbformat.v4.new_code_cell("show()", outputs=outputs, metadata={"mystnb": NAMED})
    page = tmp_path / "one.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), page)
    cells = nbformat.reads(book_pages.shown(page), as_version=4).cells
    captioned = [
        o.data for c in cells for o in c.outputs if "figure" in c.metadata.get("mystnb", {})
    ]
    assert captioned == ([] if kind == "text/plain" else shown[:1])
    assert [output.data for cell in cells for output in cell.outputs] == shown


def test_a_failing_notebook_means_no_book(root):
    write_notebook(root, "1 / 0")
    with pytest.raises(notebooks.NotebookError, match=r"one\.ipynb: ZeroDivisionError in cell 3"):
        book.build(root)
    assert not (root / "_build").exists()


def test_a_page_with_a_warning_means_no_book_however_often_it_is_built(root):
    (root / "book/index.md").write_text("# Home\n\nSee {doc}`nowhere` and {cite}`nobody`.\n")
    (root / "_build/html").mkdir(parents=True)
    (root / "_build/html/old").write_text("the last good book")
    (root / "_build/html/searchindex.js").write_text("")
    for _ in range(2):
        with pytest.raises(book.BookError, match=r"book/index\.md:3.*nowhere") as caught:
            book.build(root)
        assert "nobody" in str(caught.value)
    assert (root / "_build/html/old").exists()


def test_a_page_that_fails_leaves_the_copy_of_before(root, capsys):
    """Stale now; fresh again when the mistake has been taken back."""
    executions(root, capsys)
    good = (root / "notebooks/one.ipynb").read_bytes()
    write_notebook(root, "1 / 0")
    with pytest.raises(notebooks.NotebookError, match="ZeroDivisionError"):
        book.execute(root, quick=True)
    (root / "notebooks/one.ipynb").write_bytes(good)
    assert executions(root, capsys)[1] == ""


def test_a_reproduction_that_failed_leaves_the_page_of_the_one_before(root, capsys):
    """The book shows what another call has finished, with its parameters."""
    source, output = root / "notebooks/one.ipynb", root / "runs/one_table1.ipynb"
    given = {"store": str(root / "runs")}
    write_notebook(root, "1 / (not quick)")
    notebooks.run(source, output, given)
    with pytest.raises(notebooks.NotebookError, match="ZeroDivisionError"):
        notebooks.run(source, output, given | {"quick": True})
    (page,) = book.execute(root, quick=True)
    assert (page.executed, page.parameters) == (output, given)
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize("cross", [False, True], ids=["the same disk", "another disk"])
def test_pages_that_cannot_be_put_in_their_place_leave_the_old_ones(tmp_path, monkeypatch, cross):
    def rendered(*arguments, **options):
        (tmp_path / "work/_build/html").mkdir(parents=True)
        (tmp_path / "work/_build/html/index.html").write_text("new")
        return subprocess.CompletedProcess(arguments, 0, "", "")

    def full(source, target, **_):
        if cross:  # half of the pages were copied
            target.mkdir()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    html = tmp_path / "site/html"
    html.mkdir(parents=True)
    (tmp_path / "work").mkdir()
    (html / "index.html").write_text("old")
    (html / "searchindex.js").write_text("")
    monkeypatch.setattr(subprocess, "run", rendered)
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "move", full)
        with pytest.raises(errors.StoreError, match=r"No space left.*is unchanged.*--out"):
            book_pages.render(tmp_path / "work", html)
    assert (html / "index.html").read_text() == "old"
    assert book_pages.render(tmp_path / "work", html).read_text() == "new"
    assert [path.name for path in html.parent.iterdir()] == ["html"]
    html.rename(html.with_name(".html.old"))  # killed before the new pages took this place
    monkeypatch.setattr(shutil, "move", full)
    with pytest.raises(errors.StoreError):
        book_pages.render(tmp_path / "work", html)
    assert (html / "index.html").read_text() == "new"


@pytest.mark.parametrize("old", ["my page", "a book of ours", None])
def test_only_a_book_is_replaced_by_a_book(tmp_path, monkeypatch, old):
    def rendered(*arguments, **options):
        (tmp_path / "work/_build/html").mkdir(parents=True)
        (tmp_path / "work/_build/html/index.html").write_text("new")
        return subprocess.CompletedProcess(arguments, 0, "", "")

    monkeypatch.setattr(subprocess, "run", rendered)
    html = tmp_path / "site/html"
    (tmp_path / "work").mkdir()
    if old:
        html.mkdir(parents=True)
        (html / "index.html").write_text(old)
    if old == "a book of ours":
        (html / "searchindex.js").write_text("")
    if old == "my page":
        with pytest.raises(book.BookError, match="site/html: is there and is no book; move it"):
            book_pages.render(tmp_path / "work", html)
        assert (html / "index.html").read_text() == old
    else:
        assert book_pages.render(tmp_path / "work", html).read_text() == "new"


def test_what_is_no_book_is_refused_before_a_notebook_is_executed(root):
    (root / "_build/html").mkdir(parents=True)
    (root / "_build/html/index.html").write_text("my page")
    with pytest.raises(book.BookError, match="_build/html: is there and is no book; move it"):
        book.build(root)
    assert not (root / "_run").exists()


def test_two_processes_do_not_build_one_book(root):
    (root / "_run").mkdir()
    lock = filelock.FileLock(root / "_run/build.lock")
    with lock, pytest.raises(errors.BusyError, match="another process builds the book"):
        book.build(root)


def test_a_broken_table_of_contents_is_named(root):
    (root / "_toc.yml").write_text(TOC + "  - file: notebooks/two\n")
    with pytest.raises(errors.ConfigError, match=r"_toc\.yml lists notebooks/two"):
        book.build(root)
    (root / "_toc.yml").write_text("a: [")
    with pytest.raises(errors.ConfigError, match=r"^_toc\.yml: "):
        book.build(root)
    (root / "_toc.yml").unlink()
    with pytest.raises(errors.ConfigError, match=r"no _toc\.yml"):
        book.build(root)
    with pytest.raises(errors.ConfigError, match="jobs: expected 1 or more"):
        book.build(ci_book.ROOT, jobs=0)


def test_folded_cells_at_the_top_of_a_page_are_named(root):
    write_notebook(root)
    notebook = nbformat.read(root / "notebooks/one.ipynb", as_version=4)
    notebook.cells.insert(1, nbformat.v4.new_code_cell("import json"))
    nbformat.write(notebook, root / "notebooks/one.ipynb")
    cells = nbformat.reads(book_pages.shown(root / "notebooks/one.ipynb"), as_version=4).cells
    named = [cell.metadata.get("mystnb", {}).get("code_prompt_show") for cell in cells]
    assert named == [None, "Set-up", "Parameters", None]


def test_notebooks_left_out_say_that_they_were_not_executed(root, capsys):
    with open(root / "_toc.yml", "a") as toc:
        toc.write("  - file: notebooks/two\n")
    write_notebook(root, "print('two')", name="two")
    with pytest.raises(errors.ConfigError, match="did you mean 'two'"):
        book.execute(root, only=["twoo"])
    one, two = book.execute(root, quick=True, only=["one"])
    assert notebooks.finished(one.executed)
    assert not notebooks.finished(two.executed)
    shown = nbformat.read(two.executed, as_version=4)
    assert "without its output" in shown.cells[0].source
    assert "without its output" not in (root / "notebooks/two.ipynb").read_text()
    again = book.execute(root, quick=True)  # now both
    assert all(notebooks.finished(page.executed) for page in again)
    kept = book.execute(root, quick=True, only=["one"])  # what is fresh stays
    assert all(notebooks.finished(page.executed) for page in kept)


def test_a_page_can_refer_to_a_figure_of_a_page_without_output(root):
    (root / "book/index.md").write_text(HOME + "\n{numref}`a-line` rises.\n")
    home = book.build(root, only=[]).with_name("book") / "index.html"
    assert "Fig. 1" in home.read_text()
    page = (root / "_build/html/notebooks/one.html").read_text()
    assert "not drawn in this build" in page
    assert "A line." in page


def test_the_published_pages_are_the_default_build():
    workflow = yaml.safe_load((ci_book.ROOT / ".github/workflows/book.yml").read_text())
    steps = workflow["jobs"]["build"]["steps"]
    assert ".venv/bin/lt-core book" in [step.get("run") for step in steps]
    assert steps[-1]["with"] == {"path": "_build/html"}
