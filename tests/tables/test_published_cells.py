"""Every published number has a command that would make its run, asked without any image."""

import shlex

import pytest
from made_up_records import records

from lt_core import cli, data, tables
from lt_core.book import reproducing
from lt_core.tables.plans import PUBLISHED
from lt_core.training import RunConfig, recipes


def test_all_published_cells_are_there():
    assert sum(len(tables.published(table)) for table in PUBLISHED) == 201


@pytest.mark.parametrize("table", PUBLISHED)
def test_a_command_plans_the_run_of_each_published_cell(table, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(reproducing, "directly", lambda *request, **_: asked.append(request[:2]))
    for cell in tables.published(table).itertuples():
        request = {"dataset": cell.dataset, "imbalance_factors": cell.imbalance_factor}
        command = tables.command(table, {**request, "methods": cell.method, "seeds": 1})
        with pytest.raises(SystemExit) as left:
            cli.main([*shlex.split(command)[1:], "--direct", "--store", str(tmp_path)])
        assert left.value.code == 0, command
        (config,) = tables.plan(asked[-1][0], **asked[-1][1])
        natural = cell.imbalance_factor == data.info(cell.dataset).natural_factor
        assert config.imbalance_factor == (1 if natural else cell.imbalance_factor), command
        method = tables.find_row(table, cell.method).method
        assert (config.dataset, config.method) == (cell.dataset, method), command
        assert config.model == cell.model, command
        assert config.recipe in tables.get(table).recipes_on(cell.dataset), command
        assert config.epochs == recipes.get(config.recipe).epochs, command
        assert RunConfig.from_dict(config.to_dict()).key == config.key  # complete without images


def test_a_command_carries_replaced_fields_of_the_recipe(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(reproducing, "directly", lambda *request, **_: asked.append(request[:2]))
    request = {
        "dataset": "digits",
        "overrides": {"flip": True, "milestones": (10, 20), "cutout": 4},
    }
    request["overrides"] |= {"factors": (0.1, 0.01)}
    words = shlex.split(tables.command("table1", request))[1:]
    with pytest.raises(SystemExit):
        cli.main([*words, "--direct", "--store", str(tmp_path)])
    plan = tables.plan(asked[0][0], **asked[0][1])
    assert [c.key for c in plan] == [c.key for c in tables.plan("table1", **request)]
    assert plan[0].overrides == request["overrides"]


@pytest.mark.parametrize(
    ("dataset", "images", "paper"),
    [
        ("inaturalist2017", 579_184, 54.64),
        ("inaturalist2017", 108, None),
        ("imagenet_lt", 100_000, 36.67),  # cut to a factor of 100
        ("imagenet_lt", 115_846, None),
    ],
)
def test_a_number_stands_beside_its_run_on_the_published_images_only(dataset, images, paper):
    plan = tables.plan("table2", dataset, methods="softmax", seeds=2)
    found = records(plan).assign(train_images=images)
    shown = tables.cells(found, "table2", plan)
    assert shown["paper"].dropna().tolist() == [paper] * (paper is not None)
    assert ("GENERATED OR INCOMPLETE IMAGES" in str(tables.render(shown))) == (paper is None)
