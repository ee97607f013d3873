"""Schedules: the published ones, and what a run of another length makes of them."""

from itertools import groupby

import pytest
from tiny import engine, tiny

from lt_core.errors import ConfigError
from lt_core.training import RunConfig, recipes

STEPS = ("ldam_drw", "gcl")
#: A recipe of six stages, its milestones crowded at either end.
CROWDED = {
    "schedule": "step",
    "warmup_epochs": 0,
    "epochs": 100,
    "milestones": [1, 2, 50, 98, 99],
    "factors": [0.5, 0.4, 0.3, 0.2, 0.1],
}

# -- as published: oracles' notes, sections 2.9 and 3 ---------------------------------


def test_the_schedule_of_ldam_drw_is_the_published_one():
    rates = recipes.get("ldam_drw").learning_rates(200)
    assert len(rates) == 200
    assert rates[:6] == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1, 0.1])
    assert set(rates[5:160]) == {0.1}
    assert rates[160] == pytest.approx(0.001)  # epoch 161
    assert rates[179] == pytest.approx(0.001)
    assert rates[180] == pytest.approx(0.00001)  # epoch 181
    assert rates[199] == pytest.approx(0.00001)


def test_the_schedule_of_gala_is_the_published_one():
    rates = recipes.get("gala").learning_rates(200)
    assert rates[:2] == pytest.approx([0.05, 0.1])
    assert rates[2] == pytest.approx(0.099994, abs=5e-7)
    assert rates[198] == pytest.approx(6e-6, abs=5e-7)
    assert rates[199] == 0
    assert rates[2:] == sorted(rates[2:], reverse=True)


def test_the_schedule_of_gcl_is_the_published_one():
    rates = recipes.get("gcl").learning_rates(200)
    assert rates[:5] == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1])
    assert [rates[159], rates[160], rates[180]] == pytest.approx([0.1, 0.01, 0.001])


def test_a_shorter_run_scales_warm_up_and_milestones():
    rates = recipes.get("ldam_drw").learning_rates(40)
    assert rates[0] == pytest.approx(0.1)  # one epoch of warm-up ends at the full rate
    assert [rates[31], rates[32], rates[36]] == pytest.approx([0.1, 0.001, 0.00001])


# -- other lengths --------------------------------------------------------------------


def stages(recipe, epochs):
    """How many epochs every stage lasts, by the rates after the warm-up."""
    rates = recipe.learning_rates(epochs)
    warmup = rates.index(recipe.learning_rate)
    lengths = {rate: len(list(group)) for rate, group in groupby(rates[warmup:])}
    assert list(lengths) == [recipe.learning_rate * factor for factor in (1, *recipe.factors)]
    first, *others = lengths.values()
    assert warmup + first + sum(others) == epochs
    return [warmup + first, *others]


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize(
    ("epochs", "expected"),
    [
        (3, [1, 1, 1]),
        (4, [2, 1, 1]),
        (5, [3, 1, 1]),
        (6, [4, 1, 1]),
        (7, [5, 1, 1]),
        (8, [6, 1, 1]),
        (12, [10, 1, 1]),
        (40, [32, 4, 4]),
        (60, [48, 6, 6]),
        (200, [160, 20, 20]),
        (400, [320, 40, 40]),
    ],
)
def test_every_stage_keeps_an_epoch(name, epochs, expected):
    assert stages(recipes.get(name), epochs) == expected


@pytest.mark.parametrize("epochs", [6, 7, 8, 13, 50, 99, 100, 101, 1000])
def test_crowded_milestones_never_merge(epochs):
    recipe = recipes.get("digits", CROWDED)
    assert len(stages(recipe, epochs)) == 6
    if epochs == 100:
        assert recipe.scaled_milestones(epochs) == CROWDED["milestones"]


@pytest.mark.parametrize("epochs", [1, 2])
@pytest.mark.parametrize("name", STEPS)
def test_a_length_without_an_epoch_for_every_stage_is_refused_before_training(name, epochs):
    message = f"^epochs: expected 3 or more, .* stage .* {name}, got {epochs}$"
    with pytest.raises(ConfigError, match=message):
        RunConfig("cifar10", "softmax", recipe=name, epochs=epochs)
    with pytest.raises(ConfigError, match=message):
        recipes.get(name).learning_rates(epochs)
    assert RunConfig("cifar10", "softmax", recipe=name, epochs=3).epochs == 3


def test_the_least_length_follows_the_milestones():
    one = {"milestones": [100], "factors": [0.1]}
    assert RunConfig("cifar10", "softmax", overrides=one, epochs=2).epochs == 2
    with pytest.raises(ConfigError, match="epochs: expected 2 or more"):
        RunConfig("cifar10", "softmax", overrides=one, epochs=1)
    none = {"milestones": [], "factors": []}
    assert RunConfig("cifar10", "softmax", overrides=none, epochs=1).epochs == 1
    with pytest.raises(ConfigError, match="epochs: expected 6 or more"):
        RunConfig("digits", "softmax", overrides=CROWDED, epochs=5)


@pytest.mark.parametrize("milestones", [[0, 20], [20, 30], [20, 20], [30, 30], [0, 0]])
def test_a_stage_without_an_epoch_at_full_length_is_refused(milestones):
    overrides = {"schedule": "step", "milestones": milestones, "factors": [0.1, 0.01]}
    with pytest.raises(ConfigError, match=r"milestones: expected rising epochs from 1 to 29, so"):
        RunConfig("digits", "softmax", overrides=overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        {"warmup_epochs": 30},
        {"epochs": 2},  # the warm-up of two epochs leaves no epoch for the fall
        {"schedule": "step", "milestones": [10], "factors": [0.1], "warmup_epochs": 11},
        {"schedule": "step", "warmup_epochs": 31},
    ],
)
def test_a_warm_up_that_leaves_no_room_is_refused(overrides):
    with pytest.raises(ConfigError, match=r"warmup_epochs: expected 0 to \d+, so .*, got \d+"):
        RunConfig("digits", "softmax", overrides=overrides)


@pytest.mark.parametrize("epochs", [2, 3, 4, 7, 10, 29, 30])
@pytest.mark.parametrize(
    "overrides",
    [
        {"warmup_epochs": 29},
        {"schedule": "step", "milestones": [20], "factors": [0.1], "warmup_epochs": 20},
    ],
    ids=["cosine", "step"],
)
def test_a_long_warm_up_reaches_the_full_rate_in_a_run_of_any_length(overrides, epochs):
    rates = recipes.get("digits", overrides).learning_rates(epochs)
    assert max(rates) == pytest.approx(0.1)
    assert rates[-1] < 0.1


@pytest.mark.parametrize("name", ["gala", "digits"])
def test_a_cosine_falls_to_zero_in_a_run_of_any_length(name):
    recipe = recipes.get(name)
    assert recipe.learning_rates(1) == [0.1]  # one epoch alone has nowhere to fall
    for epochs in range(2, 60):
        rates = recipe.learning_rates(epochs)
        assert (len(rates), rates[-1]) == (epochs, 0)
        assert max(rates) == pytest.approx(0.1)


# -- what a loss is told --------------------------------------------------------------


def weighted(recipe, epochs, deferred_from=0.8):
    """The epochs, from 0, in which LDAM weights its classes."""
    places = (recipe.place(epoch, epochs) for epoch in range(epochs))
    return [number for number, (at, of) in enumerate(places) if at / of >= deferred_from]


@pytest.mark.parametrize("epochs", [*range(3, 60), 199, 200, 201, 333])
def test_deferred_weights_begin_with_the_second_stage(epochs):
    recipe = recipes.get("ldam_drw")
    (first, _) = recipe.scaled_milestones(epochs)
    assert weighted(recipe, epochs) == list(range(first, epochs))


@pytest.mark.parametrize("epochs", [30, 40, 50, 60, 200, 400])
@pytest.mark.parametrize("deferred_from", [0.0, 0.3, 0.5, 0.7, 0.85, 0.9, 1.0])
def test_weights_deferred_to_another_moment_keep_it(epochs, deferred_from):
    plain = [epoch for epoch in range(epochs) if epoch / epochs >= deferred_from]
    assert weighted(recipes.get("ldam_drw"), epochs, deferred_from) == plain


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_at_full_length_an_epoch_is_itself(name):
    recipe = recipes.get(name)
    for epoch in range(recipe.epochs):
        assert recipe.place(epoch, recipe.epochs) == (epoch, recipe.epochs)


def test_the_engine_tells_the_loss():
    steps = {**recipes.get("ldam_drw").numbers(), "batch_size": 128}
    ours = engine(tiny("ldam", epochs=5, overrides=steps))
    seen = []
    for epoch in range(5):
        ours.begin_epoch(epoch)
        rate = ours.optimizer.param_groups[0]["lr"]
        seen.append((round(float(rate), 6), bool((ours.loss.class_weight != 1).any())))
    assert seen == [(0.1, False), (0.1, False), (0.1, False), (0.001, True), (0.00001, True)]
