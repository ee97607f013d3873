"""One run's steps: equal to a plain PyTorch loop, and stopped where numbers end."""

import pytest
import torch
import torch.nn.functional as F
from tiny import engine, epochs, images, same_tensors, tensors, tiny

from lt_core import data, losses, models
from lt_core.errors import TrainingError


def test_resnet32_has_the_published_number_of_parameters():
    network = models.create("resnet32", 10)
    assert sum(weight.numel() for weight in network.parameters()) == 464_154
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(convolutions) == 31  # 32 with the classifier: the shortcuts (option A) have none


# -- a step -----------------------------------------------------------------------------


def plain_loop(config, steps):
    """The first epoch's steps as anyone would write them: no banks, feeds or fused updates."""
    recipe, train = config.resolved_recipe(), images().train(config)
    info = data.info("digits")
    model = models.create(config.model, 10, seed=config.seed, in_channels=1)
    loss = losses.create(config.method, train.class_counts)
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=recipe.learning_rates(config.epochs)[0],
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.nesterov,
        foreach=False,
    )
    plan = images().bank(config).plan(config.seed, 0)
    pad, size = recipe.crop_padding, recipe.batch_size
    padded = F.pad(train.images.float() / 255, (pad, pad, pad, pad))
    for step in range(steps):
        batch = []
        for place in range(step * size, min((step + 1) * size, len(train))):
            top, left = plan.top[place], plan.left[place]
            image = padded[plan.order[place], :, top : top + 8, left : left + 8]
            image = image.flip(2) if plan.flip[place] else image
            batch.append((image - info.mean[0]) / info.std[0])
        places = slice(step * size, (step + 1) * size)
        inputs, target = torch.stack(batch), train.targets[plan.order[places]]
        optimizer.zero_grad()
        if plan.mixing is None:
            loss(model(inputs), target).backward()
        else:
            share = plan.mixing[places, None, None, None]
            logits = model(share * inputs + (1 - share) * inputs.roll(1, 0))
            loss.mixed(logits, target, target.roll(1), share.flatten()).backward()
        optimizer.step()
    return model


@pytest.mark.parametrize(
    ("method", "overrides"),
    [
        ("softmax", {"weight_decay": 0.05}),  # large enough to be seen after three steps
        ("softmax", {"crop_padding": 0, "weight_decay": 0.0, "momentum": 0.0}),
        ("class_balanced", {"flip": True, "crop_padding": 2}),
        ("logit_adjustment", {"nesterov": True, "batch_size": 64}),
        ("class_balanced", {"mixup_alpha": 1.0}),
    ],
)
def test_the_engine_equals_a_plain_loop(method, overrides):
    config = tiny(method, overrides=overrides)
    ours = engine(config)
    epochs(ours, 0, 1)
    plain = plain_loop(config, ours.full_steps + 1)
    for mine, theirs in zip(ours.weights.master, plain.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-4)
    start = models.create(config.model, 10, seed=config.seed, in_channels=1)
    assert (start.stem.weight - ours.model.stem.weight).abs().max() > 0.003


def test_the_training_loss_is_the_mean_over_the_images():
    config = tiny("softmax", overrides={"learning_rate": 1e-9})
    ours = engine(config)
    (numbers,) = epochs(ours, 0, 1)
    model = plain_loop(config, 0)  # weights that do not move
    plan, bank = images().bank(config).plan(0, 0), images().bank(config)
    pixels = bank.windows(bank.window_rows(plan)).permute(0, 3, 1, 2)
    target = images().train(config).targets[plan.order]
    parts = zip(ours.normalise(pixels).split(128), target.split(128), strict=True)
    total = sum(F.cross_entropy(model(x), y, reduction="sum").item() for x, y in parts)
    assert numbers["train_loss"] == pytest.approx(total / len(target), rel=1e-5)


@pytest.mark.parametrize("overrides", [{}, {"mixup_alpha": 1.0}])
def test_bfloat16_stays_close_to_float32(overrides):
    exact = epochs(engine(tiny(overrides=overrides)), 0, 2)
    ours = engine(tiny(precision="bfloat16", overrides=overrides))
    rounded = epochs(ours, 0, 2)
    for one, other in zip(exact, rounded, strict=True):
        assert other["train_loss"] == pytest.approx(one["train_loss"], rel=0.05)
        assert other["train_loss"] != one["train_loss"]
    assert {weight.dtype for weight in ours.weights.master} == {torch.float32}
    assert ours.model.stem.weight.dtype == torch.bfloat16


def test_mixup_with_itself_is_no_mixup(monkeypatch):
    ours = engine(tiny(overrides={"mixup_alpha": 1.0}))
    monkeypatch.setattr(ours.feed, "mixing", lambda rows: torch.ones(len(rows)))
    (mixed,) = epochs(ours, 0, 1)
    (plain,) = epochs(engine(tiny()), 0, 1)
    assert mixed["train_loss"] == pytest.approx(plain["train_loss"], rel=1e-5)


# -- the last batch -----------------------------------------------------------------------


def sizes(ours):
    """The batch sizes of an epoch, as the loss sees them."""
    seen = []
    ours.loss.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[1])))
    epochs(ours, 0, 1)
    return seen


def test_a_short_last_batch_is_kept():
    assert sizes(engine(tiny())) == [128, 128, 48]


def test_a_short_last_batch_is_dropped_where_the_recipe_says_so():
    ours = engine(tiny(overrides={"drop_last": True}))
    assert sizes(ours) == [128, 128]
    assert ours.images_per_epoch == 256


def test_one_batch_may_hold_all_images():
    assert sizes(engine(tiny(overrides={"batch_size": 304, "drop_last": True}))) == [304]


# -- where numbers end: L8 --------------------------------------------------------------------


def spoil(ours, step, value):
    """Let the loss of one step (from 1) be ``value``; its logits stay finite."""
    calls = [0]

    def change(module, inputs, output):
        calls[0] += 1
        return output * value if calls[0] == step else output

    ours.loss.register_forward_hook(change)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_the_run_and_moves_no_weight(value):
    ours = engine(tiny())
    spoil(ours, 3, value)
    ours.begin_epoch(0)
    steps = ours.steps()
    next(steps)
    next(steps)
    before = ours.state_dict()
    assert list(steps) == [None]
    assert same_tensors(before["weights"], ours.weights.master)
    assert same_tensors(before["momentum"], ours.state_dict()["momentum"])
    with pytest.raises(TrainingError, match="the loss is not finite at step 3; "):
        ours.end_epoch().read()


def test_the_first_of_several_bad_steps_is_named():
    ours = engine(tiny(overrides={"batch_size": 64}))
    spoil(ours, 2, float("nan"))
    spoil(ours, 4, float("nan"))
    with pytest.raises(TrainingError, match="not finite at step 2; "):
        epochs(ours, 0, 1)
    assert all(weight.isfinite().all() for weight in ours.weights.master)


def test_a_bad_step_is_named_after_a_resume_too():
    ours, resumed = engine(tiny()), engine(tiny())
    spoil(ours, 1, float("nan"))
    ours.begin_epoch(0)
    next(ours.steps())
    resumed.begin_epoch(0)
    resumed.load_state_dict(ours.state_dict())
    assert len(list(resumed.steps())) == 2
    with pytest.raises(TrainingError, match="not finite at step 1; "):
        resumed.end_epoch().read()


@pytest.mark.parametrize("method", losses.names())
def test_logits_that_are_not_finite_stop_the_run_with_a_clean_state(method):
    ours = engine(tiny(method))
    ours.begin_epoch(0)
    steps = ours.steps()
    next(steps)
    before = ours.loss.state_dict()
    before = [tensor.clone() for tensor in tensors(dict(before))]
    with torch.no_grad():
        ours.model.classifier.weight[0] = float("nan")
    with pytest.raises(TrainingError, match="step 2: logits: row 0 is not finite"):
        next(steps)
    assert same_tensors(before, dict(ours.loss.state_dict()))


# -- evaluation ----------------------------------------------------------------------------------


def test_the_accuracy_is_that_of_a_naive_loop():
    ours = engine(tiny())
    numbers = epochs(ours, 0, 2)[-1]
    test, info = data.load("digits", "test"), data.info("digits")
    right = 0
    with torch.no_grad():
        for image, target in zip(test.images, test.targets, strict=True):
            x = (image[None].float() / 255 - info.mean[0]) / info.std[0]
            right += int(ours.model(x).argmax()) == int(target)
    assert numbers["top1"] == pytest.approx(100 * right / len(test))


@pytest.mark.parametrize("method", losses.names())
def test_an_evaluation_changes_nothing(method):
    ours = engine(tiny(method))
    epochs(ours, 0, 1)
    before = ours.state_dict()
    first = ours.end_epoch().read()
    assert ours.end_epoch().read() == first
    assert same_tensors(before, ours.state_dict())


# -- state -----------------------------------------------------------------------------------------


def test_a_state_is_a_copy():
    ours = engine(tiny())
    before = ours.state_dict()
    copies = [tensor.clone() for tensor in tensors(before)]
    epochs(ours, 0, 1)
    assert same_tensors(copies, before)
    assert not same_tensors(before, ours.state_dict())


@pytest.mark.parametrize("method", losses.names())
def test_a_state_has_its_size_from_the_beginning(method):
    """Warming up changes a state before it is put back: there must be one to put back."""
    ours = engine(tiny(method))
    before = tensors(ours.state_dict())
    epochs(ours, 0, 1)
    after = tensors(ours.state_dict())
    assert [tensor.shape for tensor in before] == [tensor.shape for tensor in after]


def test_runs_of_other_seeds_draw_other_numbers():
    draws = []
    for seed in (0, 1):
        ours = engine(tiny("gcl", seed=seed))
        epochs(ours, 0, 1)
        draws.append(ours.loss.generator.initial_seed())
    assert draws == [0, 1]
