"""The tables' notebook on generated pictures in the layouts of the papers' large sets."""

import json

import pytest
import torch
from own_images import write_listed

from lt_core import models, tables
from lt_core.book import reproducing
from lt_core.models import weights

nbformat = pytest.importorskip("nbformat", reason="needs the notebooks extra")
#: One class has more than 100 times the images of the smallest, so that it can be cut.
COUNTS = (102, 3, 2, 1)
METHODS = ["softmax", "softmax+rebalance", "gala", "gala+rebalance"]


def executed(notebook, parameters):
    """What the cells show, run in this process, where the sets have few classes; as HTML."""
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    shell, shown = InteractiveShell(), []
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.cell_type == "code":
            with capture_output() as captured:
                shell.run_cell(cell.source).raise_error()
                if "parameters" in cell.metadata.get("tags", ()):
                    shell.user_ns.update(parameters)
            shown += [captured.stdout, *(str(dict(out.data)) for out in captured.outputs)]
    return "\n".join(shown)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*not the published list")
@pytest.mark.parametrize(
    ("table", "dataset", "methods"),
    [
        ("table2", "imagenet_lt", ["softmax", "icb"]),
        ("table2", "inaturalist2017", ["softmax", "icb"]),
        ("gala", "inaturalist2018", METHODS),
        ("gala", "places_lt", METHODS),
    ],
)
def test_a_notebook_runs_on_a_large_set(table, dataset, methods, tmp_path, monkeypatch):
    from IPython.display import Markdown
    from matplotlib import pyplot as plt

    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
    monkeypatch.setattr(Markdown, "__repr__", lambda text: text.data)
    write_listed(monkeypatch, tmp_path, dataset, COUNTS)
    model = "resnet_rehearsal"
    if dataset == "places_lt":  # the recipe begins with a file of weights, made here
        model, file = "resnet18", tmp_path / "features.pt"
        torch.save(models.create(model, 2).state_dict(), file)
        monkeypatch.setattr(weights, "_published", lambda network: str(file))
    asked = {"dataset": dataset, "methods": methods, "seeds": 1, "epochs": 1, "model": model}
    metrics = tmp_path / "metrics.json"
    resources = {"processes": 1, "data_root": str(tmp_path)}
    parameters = {"store": str(tmp_path / "runs"), "resources": resources}
    shown = executed(
        reproducing.notebook_path(),
        {"table": table, **asked, **parameters, "metrics_path": str(metrics)},
    )
    assert f"bash\n{tables.command(table, asked)}\n" in shown
    assert ("quarters of the classes" in shown) == (table == "table2")  # the poster's groups
    assert "GENERATED OR INCOMPLETE IMAGES" in shown
    assert "verdict 1" not in shown  # nor the paper's value: it has a column beside a verdict
    numbers = json.loads(metrics.read_text())
    assert numbers["cells_run"] == len(methods)
    assert numbers["published"] == 0
