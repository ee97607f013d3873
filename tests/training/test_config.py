"""Run configurations: what cannot be trained is refused before anything is read."""

import math

import pytest

from lt_core import data
from lt_core.errors import ConfigError
from lt_core.training import RunConfig


def run(**values):
    return RunConfig(**{"dataset": "digits", "method": "focal", "imbalance_factor": 10, **values})


# -- C1: unknown names --------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dataset": "digit"}, r"unknown data set 'digit'; did you mean 'digits'\?"),
        ({"dataset": "cifar"}, "did you mean 'cifar1"),
        ({"method": "sofmax"}, r"unknown method 'sofmax'; did you mean 'softmax'\?"),
        ({"method": None}, "unknown method None; known: softmax"),
        ({"params": {"gama": 1}}, "unknown parameter of focal 'gama'; did you mean 'gamma'"),
        ({"method": "softmax", "params": {"tau": 1}}, "unknown parameter of softmax 'tau'"),
        ({"model": "resnet23"}, r"unknown model 'resnet23'; did you mean 'resnet32'\?"),
        ({"classifier": "cosin"}, "did you mean 'cosine'"),
        ({"recipe": "ldam"}, "unknown recipe 'ldam'; did you mean 'ldam_drw'"),
        ({"overrides": {"lr": 0.1}}, "unknown field of recipe digits 'lr'.* learning_rate"),
        ({"overrides": {"learningrate": 0.1}}, "did you mean 'learning_rate'"),
        ({"overrides": {"name": "mine"}}, "unknown field of recipe digits 'name'"),
        ({"overrides": {"schedule": "cosin"}}, "did you mean 'cosine'"),
        ({"overrides": {"autoaugment": "cifar"}}, "did you mean 'cifar10'"),
        ({"precision": "float16"}, r"unknown precision 'float16'; did you mean 'bfloat16'\?"),
        ({"params": {"reduction": "means"}}, "reduction for training 'means'; did you mean 'mean'"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_one(values, message):
    with pytest.raises(ConfigError, match=message):
        run(**values)


def test_an_unknown_field_of_a_stored_configuration_is_refused():
    with pytest.raises(ConfigError, match="configuration field 'sead'; did you mean 'seed'"):
        RunConfig.from_dict({"dataset": "digits", "method": "softmax", "sead": 1})


@pytest.mark.parametrize("missing", ["dataset", "method"])
def test_a_missing_name_is_refused(missing):
    values = {"dataset": "digits", "method": "softmax"}
    del values[missing]
    with pytest.raises(ConfigError, match=f"{missing}: missing"):
        RunConfig.from_dict(values)


@pytest.mark.parametrize("name", data.names())
def test_every_data_set_has_a_network_and_a_recipe(name):
    assert run(dataset=name, imbalance_factor=1).model == data.info(name).model


# -- C2: strings --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("learning_rate", "1e-3", 1e-3),
        ("batch_size", "16.0", 16),
        ("flip", "false", False),
        ("nesterov", "True", True),
        ("autoaugment", "None", None),
    ],
)
def test_a_string_becomes_the_declared_type(field, text, value):
    recipe = run(overrides={field: text}).resolved_recipe()
    assert getattr(recipe, field) == value
    assert type(getattr(recipe, field)) is type(value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"imbalance_factor": "1,5"}, "imbalance_factor: expected a number, got '1,5'"),
        ({"imbalance_factor": "None"}, "imbalance_factor: expected a number"),
        ({"imbalance_factor": True}, "imbalance_factor: expected a number, got True"),
        ({"epochs": "2.5"}, "epochs: expected a whole number, got '2.5'"),
        ({"epochs": "inf"}, "epochs: expected a whole number"),
        ({"seed": None}, "seed: expected a whole number, got None"),
        ({"seed": [1]}, "seed: expected a whole number"),
        ({"params": {"gamma": "one"}}, "focal.gamma: expected a number, got 'one'"),
        ({"params": {"gamma": "false"}}, "focal.gamma: expected a number"),
        ({"params": "gamma=1"}, "params: expected names with values, got 'gamma=1'"),
        ({"overrides": None}, "overrides: expected names with values"),
        ({"overrides": {"flip": "1"}}, "flip: expected true or false, got '1'"),
        ({"overrides": {"milestones": "1,x"}}, "milestones: expected whole numbers .* got '1,x'"),
        ({"overrides": {"batch_size": "1e1.5"}}, "batch_size: expected a whole number"),
    ],
)
def test_a_string_that_is_no_such_value_is_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        run(**values)


# -- C3: ranges -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("learning_rate", -1),
        ("learning_rate", 0),
        ("learning_rate", math.nan),
        ("learning_rate", "nan"),
        ("learning_rate", math.inf),
        ("weight_decay", -1e-4),
        ("momentum", 1),
        ("momentum", -0.1),
        ("batch_size", 0),
        ("batch_size", 100_000),
        ("batch_size", 2000),  # more than there are images
        ("epochs", 0),
        ("warmup_epochs", -1),
        ("crop_padding", -1),
        ("cutout", 3),
        ("cutout", -2),
        ("mixup_alpha", -1),
        ("mixup_alpha", math.inf),
    ],
)
def test_a_recipe_out_of_range_is_refused_with_the_range(field, value):
    with pytest.raises(ConfigError, match=rf"{field}: expected .*, got"):
        run(overrides={field: value})


@pytest.mark.parametrize(
    ("milestones", "factors", "message"),
    [
        ([10], [], "milestones and factors: expected the same number of values, got \\[10\\] and"),
        ([20, 10], [0.1, 0.01], "milestones: expected rising epochs"),
        ([-1], [0.1], "milestones: expected 0 to 30, got -1"),
        ([31], [0.1], "milestones: expected 0 to 30, got 31"),
        ([10], [-0.1], "factors: expected 0 to 1000, got -0.1"),
        ([10], ["nan"], "factors: expected 0 to 1000, got nan"),
    ],
)
def test_milestones_that_cannot_be_are_refused(milestones, factors, message):
    with pytest.raises(ConfigError, match=message):
        run(overrides={"milestones": milestones, "factors": factors})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"imbalance_factor": 0}, "imbalance_factor: expected 1 or more"),
        ({"imbalance_factor": -3}, "imbalance_factor: expected 1 or more"),
        (
            {"imbalance_factor": 0.5},
            "imbalance_factor: expected 1 or more .*, got 0.5; did you mean 2 ",
        ),
        ({"imbalance_factor": "nan"}, "imbalance_factor: expected 1 or more"),
        ({"imbalance_factor": 1000}, "leaves class 7 of 10 without an image"),
        ({"epochs": 0}, "epochs: expected 1 to"),
        ({"epochs": -5}, "epochs: expected 1 to"),
        ({"seed": -1}, "seed: expected 0 to"),
        ({"seed": 2**31}, "seed: expected 0 to"),
        ({"subset_seed": -1}, "subset_seed: expected 0 to"),
        ({"holdout": -1}, "holdout: expected 0 to"),
        ({"holdout": 124}, "holdout: expected 0 to 123, got 124"),
        ({"params": {"gamma": -1}}, "gamma"),
        ({"method": "ghm", "params": {"bins": 0}}, "bins"),
        ({"method": "ghm", "params": {"momentum": 1}}, "momentum"),
        ({"params": {"reduction": "none"}}, "reduction for training 'none'.* weighted_mean"),
        ({"method": "ldam", "classifier": "linear"}, "classifier: ldam takes cosines"),
    ],
)
def test_a_value_out_of_range_is_refused_with_the_range(values, message):
    with pytest.raises(ConfigError, match=message):
        run(**values)
