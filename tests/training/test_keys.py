"""Keys of runs: one experiment has one key on every machine and in every version."""

import csv
import dataclasses
import json
from pathlib import Path

import pytest

from lt_core import losses
from lt_core.training import RunConfig, config, recipes
from lt_core.training.config import NEUTRAL, key_of


def run(**values):
    return RunConfig(**{"dataset": "digits", "method": "focal", "imbalance_factor": 10, **values})


# -- C4: keys --------------------------------------------------------------------------


@pytest.mark.parametrize("one", [1, 1.0, "1", "1.0", "1e0", " 1 "])
def test_one_number_has_one_key_however_it_is_written(one):
    key = run(imbalance_factor=1, params={"gamma": 1}, epochs=1, seed=1).key
    assert run(imbalance_factor=one, params={"gamma": one}, epochs=one, seed=one).key == key
    wide = run(overrides={"crop_padding": 2}).key
    assert run(overrides={"crop_padding": "2.0"}).key == wide


def test_the_order_of_names_does_not_matter():
    forth = {"learning_rate": 0.2, "weight_decay": 0.01}
    back = dict(reversed(forth.items()))
    assert run(overrides=forth).key == run(overrides=back).key
    stored = run(overrides=forth).to_dict()
    assert RunConfig.from_dict(dict(reversed(stored.items()))).key == run(overrides=forth).key


@pytest.mark.parametrize("method", losses.names())
def test_a_default_that_is_given_changes_no_key(method):
    plain = RunConfig(dataset="digits", method=method)
    given = RunConfig(
        dataset="digits",
        method=method,
        imbalance_factor=1,
        params={"reduction": "mean", **losses.defaults(method)},
        model="resnet_digits",
        classifier=plain.classifier,
        recipe="digits",
        overrides=recipes.get("digits").numbers(),
        epochs=30,
        precision="float32",
        seed=0,
        subset_seed=0,
        holdout=0,
    )
    assert given == plain
    assert given.key == plain.key


@pytest.mark.parametrize("method", losses.names())
def test_a_stored_configuration_comes_back(method):
    before = run(method=method, seed=3, overrides={"milestones": [2], "factors": [0.5]})
    assert RunConfig.from_dict(before.to_dict()) == before


#: A value other than the default for every field of a configuration, ...
OTHER = {
    "dataset": "cifar10",
    "method": "softmax",
    "imbalance_factor": 11,
    "params": {"gamma": 2},
    "model": "resnet32",
    "classifier": "cosine",
    "recipe": "gala",
    "overrides": {"learning_rate": 0.2},
    "epochs": 29,
    "precision": "bfloat16",
    "seed": 1,
    "subset_seed": 1,
    "holdout": 1,
}
#: ... and of a recipe.
OTHER_RECIPE = {
    "epochs": 31,
    "batch_size": 33,
    "learning_rate": 0.11,
    "weight_decay": 6e-4,
    "momentum": 0.8,
    "nesterov": True,
    "schedule": "step",
    "warmup_epochs": 3,
    "milestones": [15],
    "factors": [0.1],
    "drop_last": True,
    "weights": "sha256:0123456789abcdef",
    "frozen": True,
    "image_size": 64,
    "smallest_crop": 0.2,
    "colour_jitter": 0.4,
    "crop_padding": 2,
    "flip": True,
    "autoaugment": "cifar10",
    "cutout": 2,
    "mixup_alpha": 1.0,
}


def test_every_field_has_another_value_to_try():
    assert set(OTHER) == {field.name for field in dataclasses.fields(RunConfig)}
    assert set(OTHER_RECIPE) == set(recipes.get("digits").numbers())


@pytest.mark.parametrize("field", OTHER)
def test_a_field_that_differs_gives_another_key(field):
    # The method's own parameter goes with it.
    assert run(**{field: OTHER[field]}).key != run().key


@pytest.mark.parametrize("field", OTHER_RECIPE)
def test_a_field_of_the_recipe_that_differs_gives_another_key(field):
    # Milestones and factors come in pairs: both runs have one of each. So do both have weights,
    # without which nothing can be frozen.
    base = {"milestones": [10], "factors": [0.2], "weights": "imagenet"}
    assert run(overrides={**base, field: OTHER_RECIPE[field]}).key != run(overrides=base).key


@pytest.mark.parametrize("method", losses.names())
def test_a_parameter_that_differs_gives_another_key(method):
    others = {bool: lambda v: not v, int: lambda v: v + 1, float: lambda v: v * 0.5 + 0.1}
    default = run(method=method)
    for name, value in losses.defaults(method).items():
        if type(value) in others:
            changed = run(method=method, params={name: others[type(value)](value)})
            assert changed.key != default.key, name
            assert changed.variant.startswith(f"{name}="), name
    assert default.variant == ""


# -- C5: keys through the versions --------------------------------------------------------

#: Keys of runs that exist somewhere. A key here may never change: where this test fails,
#: a change in the code would orphan stored runs. A new field needs a neutral value in
#: ``NEUTRAL``; a new default needs nothing, because keys hash the values themselves.
PINNED = {
    "digits softmax": ({}, "47150cb5ba59877a"),
    "digits factor 100": (
        {"imbalance_factor": 100, "seed": 2, "subset_seed": 1},
        "7973a06fbb2d0879",
    ),
    "cifar10": ({"dataset": "cifar10", "imbalance_factor": 100}, "8e1d460e23841c74"),
    "cifar100 bfloat16": (
        {"dataset": "cifar100", "imbalance_factor": 100, "precision": "bfloat16", "epochs": 50},
        "70315f0c3917285e",
    ),
    "gala recipe": (
        {
            "dataset": "cifar100",
            "method": "balanced_softmax",
            "recipe": "gala",
            "imbalance_factor": 200,
        },
        "0cf57e12c2bbc5d1",
    ),
    "gcl recipe": (
        {"dataset": "cifar10", "recipe": "gcl", "method": "class_balanced", "imbalance_factor": 50},
        "37df9c97a1f03407",
    ),
    "overrides": (
        {
            "overrides": {
                "learning_rate": 0.2,
                "flip": True,
                "cutout": 2,
                "milestones": [3],
                "factors": [0.5],
            }
        },
        "ad5c8877d917dd13",
    ),
    "weighted mean": (
        {"method": "class_balanced", "params": {"reduction": "weighted_mean"}},
        "e59ae549043d7e47",
    ),
    "gala": ({"method": "gala", "params": {"lambda2": 0.5}}, "04daed4363976d66"),
    "seesaw": ({"method": "seesaw", "params": {"q": 0}}, "c7124a3df18f331d"),
    "ghm": ({"method": "ghm"}, "4dd9c5102268833d"),
    "cosine, holdout": ({"classifier": "cosine", "holdout": 24}, "de44288a1ef6133a"),
}


@pytest.mark.parametrize(("values", "key"), PINNED.values(), ids=PINNED)
def test_published_keys_do_not_change(values, key):
    assert RunConfig(**{"dataset": "digits", "method": "softmax", **values}).key == key


def test_a_new_field_with_its_neutral_value_orphans_nothing(monkeypatch):
    old = run().to_dict()
    new = {**old, "label_smoothing": 0.0, "recipe": {**old["recipe"], "ema": None}}
    assert key_of(new) != key_of(old)
    neutral = {**NEUTRAL, "label_smoothing": 0.0, "recipe.ema": None}
    monkeypatch.setattr(config, "NEUTRAL", neutral)
    assert key_of(new) == key_of(old)
    assert key_of({**new, "label_smoothing": 0.1}) != key_of(old)


def test_a_new_default_leaves_old_runs_their_keys_and_gets_another(monkeypatch):
    old, key = run().to_dict(), run().key
    changed = dataclasses.replace(recipes.RECIPES["digits"], learning_rate=0.05)
    monkeypatch.setitem(recipes.RECIPES, "digits", changed)
    assert run().key != key
    back = RunConfig.from_dict(old)
    assert back.key == key
    assert back.overrides == {"learning_rate": 0.1}


def test_the_name_of_a_recipe_is_not_in_the_key():
    same = recipes.get("digits").numbers()
    assert run(recipe="gala", overrides=same, epochs=30).key == run().key


@pytest.mark.parametrize("file", ["digits", "rehearsal"])
def test_every_committed_record_has_the_key_that_its_columns_give(file):
    with open(Path(__file__).parents[2] / "results" / f"{file}.csv", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert rows
    for row in rows:
        given = {name: row[name] for name in OTHER if name not in ("params", "overrides")}
        made = RunConfig(
            **given,
            params=json.loads(row["params"]),
            overrides=json.loads(row["recipe_numbers"]),
        )
        assert made.key == row["key"]
        assert (made.variant, made.overrides_text) == (row["variant"], row["overrides"])
