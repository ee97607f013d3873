"""Every notebook: its structure, and that it runs from top to bottom at CI size."""

import json
import math
import re

import ci_book
import pytest
import yaml

nbformat = pytest.importorskip("nbformat", reason="needs the notebooks extra")

from lt_core import book  # noqa: E402
from lt_core.book import notebooks  # noqa: E402

each = pytest.mark.parametrize("path", ci_book.NOTEBOOKS, ids=lambda path: path.stem)


def cells(path, kind=None):
    all_cells = nbformat.read(path, as_version=4).cells
    return [cell for cell in all_cells if kind in (None, cell.cell_type)]


def tags(cell):
    return cell.metadata.get("tags", [])


def test_there_are_notebooks_and_all_are_in_the_book():
    assert len(ci_book.NOTEBOOKS) >= 2
    toc = (ci_book.ROOT / "_toc.yml").read_text()
    listed = re.findall(r"file: (notebooks/\S+)", toc)
    assert sorted(listed) == sorted(f"notebooks/{path.stem}" for path in ci_book.NOTEBOOKS)
    assert yaml.safe_load(toc)["root"] == "book/index"


@each
def test_it_is_valid_and_carries_no_output(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in cells(path, "code"):
        assert cell.outputs == []
        assert cell.execution_count is None
    assert notebook.metadata.kernelspec.name == "python3"


@each
def test_it_opens_with_a_title_and_a_question(path):
    first = cells(path)[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith("# ")
    assert "?" in first.source


@each
def test_it_has_one_parameters_cell_of_literals_each_explained(path):
    (cell,) = (c for c in cells(path, "code") if "parameters" in tags(c))
    assert notebooks.parameters_of(path)
    assert [line for line in cell.source.splitlines() if "=" in line and "#" not in line] == []


@each
def test_one_notebook_alone_shares_its_runs(path):
    """Another that did would be executed again whenever another has added its own."""
    assert ("store" in notebooks.parameters_of(path)) == (path.stem == "reproduce")


@each
def test_its_last_code_cell_records_the_results(path):
    tagged = [i for i, c in enumerate(cells(path, "code")) if "results" in tags(c)]
    assert tagged == [len(cells(path, "code")) - 1]


@each
def test_its_figures_say_what_they_show(path):
    for cell in cells(path, "code"):
        shown = r"plt\.show\(\)|animation|^(decision_boundaries|density_bins|logit_forces)\("
        if re.search(shown, cell.source, re.MULTILINE):
            style = cell.metadata.get("mystnb", {})
            assert style.get("figure", {}).get("caption"), cell.source
            assert style.get("image", {}).get("alt") or "image" not in style, cell.source


@each
def test_colab_would_install_from_the_address_in_the_configuration(path):
    text = "\n".join(cell.source for cell in cells(path))
    addresses = set(re.findall(r"git\+(https://github\.com/[\w.-]+/[\w.-]+)", text))
    assert addresses <= {ci_book.REPOSITORY}
    assert not re.search(r"^\s*[%!]pip install[^\n]*==", text, re.MULTILINE), "no exact pins"


@each
@pytest.mark.slow
def test_it_runs_from_top_to_bottom(path):
    output = ci_book.executed()[path]
    status = notebooks.finished(output)
    assert status is not None
    assert status["parameters"].get("quick", True) is True  # CI size, where there are sizes
    shown = [o for cell in cells(output, "code") for o in cell.outputs]
    assert [o for o in shown if o.output_type == "error"] == []
    warned = [o.text for o in shown if o.get("name") == "stderr" and "Warning" in o.text]
    assert warned == []


@each
@pytest.mark.slow
def test_its_results_are_finite_numbers(path):
    """The last cell writes what the notebook found to ``metrics_path``."""
    output = ci_book.executed()[path]
    if "metrics_path" not in notebooks.parameters_of(path):  # it prints them instead
        (printed,) = cells(output, "code")[-1].outputs
        assert re.search(r"\d", printed.text)
        return
    numbers = json.loads(book.metrics(output).read_text())
    assert len(numbers) >= 3
    assert all(math.isfinite(value) for value in numbers.values())


@pytest.mark.parametrize("path", ci_book.NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.slow
def test_its_figures_fit_a_phone(path):
    """At most 329 points wide: .88 of their size on a phone's 390 pixels, no text below 10."""
    shown = [output for cell in cells(ci_book.executed()[path], "code") for output in cell.outputs]
    drawings = [o.data["image/svg+xml"] for o in shown if "image/svg+xml" in o.get("data", {})]
    assert drawings or not path.name[0].isdigit()  # every chapter draws
    widths = [float(re.search(r'<svg [^>]*?width="([\d.]+)pt"', each)[1]) for each in drawings]
    assert max(widths, default=0) <= 329, widths
    texts = [re.findall(r"scale\((0\.\d+) -0\.\d+\)", each) for each in drawings]  # glyph by glyph
    assert all(texts)
    assert min((100 * float(size) for text in texts for size in text), default=9) >= 8.5


def test_what_a_table_says_of_own_images_names_no_other_data():
    """Its executed copy on a user's own images speaks of nothing that is true of others only."""
    written = (ci_book.ROOT / "notebooks/reproduce.ipynb").read_text()
    assert notebooks._words_for(written, "digits") == written
    own = nbformat.reads(notebooks._words_for(written, "folder:pets@1a2b3c4d"), as_version=4).cells
    text = "\n".join(cell.source for cell in own if "parameters" not in tags(cell))
    for word in ("handwritten", "CIFAR", "cifar", "poster", "factor 1", "published(", "dumbbells"):
        assert word not in text, word
    code = [cell for cell in own if cell.cell_type == "code"]
    assert "results" in tags(code[-1])
    for cell in code:
        compile(cell.source.replace("%pip", "pass  #"), "reproduce", "exec")
