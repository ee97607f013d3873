"""The engine on a GPU: graphs, packed runs, and checkpoints that cross to a CPU."""

import pytest
import torch
from tiny import engine, epochs, numbers, same_tensors, tensors, tiny

from lt_core import losses, runs
from lt_core.errors import TrainingError, Unfinished
from lt_core.runs import Store
from lt_core.training import loop, reproduce, train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"),
]

DEVICE = "cuda"
AUGMENTED = {"flip": True, "autoaugment": "cifar10", "cutout": 4, "mixup_alpha": 1.0}
#: A graph and eager steps run the same kernels; cuDNN may still choose another one for each.
GRAPH_TOLERANCE = {"rtol": 1e-3, "atol": 1e-4}


@pytest.fixture
def deterministic():
    with loop.settings(torch.device(DEVICE), deterministic=True):
        yield


def drawing():
    """The losses that draw random numbers."""
    return [name for name in losses.names() if hasattr(losses.loss_class(name), "generator_on")]


# -- graphs ---------------------------------------------------------------------------------


@pytest.mark.parametrize("overrides", [{}, AUGMENTED], ids=["plain", "augmented"])
@pytest.mark.parametrize("method", losses.names())
def test_a_graph_equals_eager_steps(deterministic, method, overrides):
    config = tiny(method, overrides=overrides)
    graphed, eager = engine(config, DEVICE, graphs=True), engine(config, DEVICE, graphs=False)
    one, other = epochs(graphed, 0, 2), epochs(eager, 0, 2)
    for ours, theirs in zip(one, other, strict=True):
        assert ours["train_loss"] == pytest.approx(theirs["train_loss"], rel=1e-3)
    pairs = zip(graphed.weights.master, eager.weights.master, strict=True)
    for mine, plain in pairs:
        torch.testing.assert_close(mine, plain, **GRAPH_TOLERANCE)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_gpu_agrees_with_the_cpu(precision):
    config = tiny(precision=precision)
    ours, theirs = (epochs(engine(config, device), 0, 2) for device in (DEVICE, "cpu"))
    for one, other in zip(ours, theirs, strict=True):
        assert one["train_loss"] == pytest.approx(other["train_loss"], rel=0.05)


@pytest.mark.parametrize("method", ["gala", "icb", "seesaw"])  # they add by class, atomically
def test_so_it_does_in_the_usual_mode_but_for_rounding(method):
    with loop.settings(torch.device(DEVICE), deterministic=False):
        pair = [engine(tiny(method), DEVICE, graphs=graphs) for graphs in (True, False)]
        one, other = (epochs(each, 0, 2) for each in pair)
    for ours, theirs in zip(one, other, strict=True):
        assert ours["train_loss"] == pytest.approx(theirs["train_loss"], rel=0.05)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("method", ["gala", *drawing()])
def test_warming_up_moves_nothing(method, precision):
    config = tiny(method, precision=precision)
    ours, untouched = engine(config, DEVICE), engine(config, DEVICE, graphs=False)
    ours.begin_epoch(0)  # captures
    torch.cuda.synchronize()
    assert same_tensors(ours.state_dict(), untouched.state_dict())


def test_a_short_last_batch_has_a_graph_of_its_own():
    ours = engine(tiny(overrides=AUGMENTED), DEVICE)
    epochs(ours, 0, 1)
    full, short = ours._train.__self__, ours._train_last.__self__
    assert full is not short
    assert {type(full), type(short)} == {torch.cuda.CUDAGraph}
    assert int(ours.position) == 304


def test_a_loss_that_is_not_finite_is_reported_and_moves_no_weight():
    ours = engine(tiny(), DEVICE, graphs=False)
    calls = []

    def spoil(module, inputs, output):
        calls.append(1)
        return output * (float("nan") if len(calls) == 2 else 1)

    ours.loss.register_forward_hook(spoil)
    with pytest.raises(TrainingError, match="not finite at step 2"):
        epochs(ours, 0, 1)
    assert all(weight.isfinite().all() for weight in ours.weights.master)


@pytest.mark.parametrize("method", losses.names())
def test_damaged_logits_stop_a_graphed_run_with_a_finite_state(method):
    ours = engine(tiny(method), DEVICE)
    epochs(ours, 0, 1)
    with torch.no_grad(), ours.on_stream():  # after the steps that read the weights
        ours.model.classifier.weight[0] = float("nan")
    with pytest.raises(TrainingError, match="not finite at step 1"):
        epochs(ours, 1, 2)
    state = [t for t in tensors(dict(ours.loss.state_dict())) if t.is_floating_point()]
    assert all(tensor.isfinite().all() for tensor in state)


# -- packed -----------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_packed_runs_equal_themselves_alone_bit_for_bit(tmp_path, precision):
    plan = [tiny(m, precision=precision, overrides=AUGMENTED) for m in losses.names()]
    options = {"device": DEVICE, "deterministic": True}
    reproduce(plan, tmp_path / "packed", pack=8, progress=False, **options)
    for config in plan:
        alone = train(config, tmp_path / "alone", **options)
        assert numbers(runs.open(tmp_path / "packed", config.key)) == numbers(alone), config.method


def test_a_deterministic_run_repeats_itself(tmp_path):
    config = tiny("icb", epochs=4)
    one, other = (
        train(config, tmp_path / name, device=DEVICE, deterministic=True) for name in "ab"
    )
    assert numbers(one) == numbers(other)


# -- random draws ------------------------------------------------------------------


@pytest.mark.parametrize("method", drawing())
def test_replays_draw_new_numbers(method):
    """The same batch and weights: only the draws can change the loss from step to step."""
    ours = engine(tiny(method, overrides={"batch_size": 304, "learning_rate": 1e-12}), DEVICE)
    seen = set()
    for _ in range(4):
        ours.begin_epoch(0)  # the same order each time
        for _ in ours.steps():
            pass
        seen.add(ours.end_epoch().read()["train_loss"])
    assert len(seen) == 4


# -- resuming ----------------------------------------------------------------------


def stop(config, store, device, **options):
    with pytest.raises(Unfinished):
        train(config, store, device=device, deadline=0.0, **options)


@pytest.mark.parametrize("method", losses.names())
def test_every_loss_resumes_inside_an_epoch_bit_for_bit(tmp_path, method):
    config = tiny(method, overrides=AUGMENTED)
    options = {"deterministic": True}
    whole = train(config, tmp_path / "whole", device=DEVICE, **options)
    for _ in range(4):  # after the first epoch's three steps and the second's first
        stop(config, tmp_path / "parts", DEVICE, **options)
    parts = train(config, tmp_path / "parts", device=DEVICE, **options)
    assert numbers(parts) == numbers(whole)


@pytest.mark.parametrize(("first", "second"), [("cuda", "cpu"), ("cpu", "cuda")])
@pytest.mark.parametrize("method", ["gala", *drawing()])
def test_a_checkpoint_crosses_to_another_device_with_a_warning(tmp_path, method, first, second):
    config = tiny(method)
    stop(config, tmp_path, first)
    with pytest.warns(UserWarning, match=r"resumed with .* equality with an uninterrupted") as seen:
        run = train(config, tmp_path, device=second)
    assert any(f"device {second}, was {first}" in str(each.message) for each in seen)
    assert run.record["device"] == second
    assert run.history["epoch"].tolist() == [1, 2, 3]
    assert Store(tmp_path).unfinished() == []
