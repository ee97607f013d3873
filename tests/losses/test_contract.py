"""The contract of every registered loss (cases L1 to L15).

A new loss is covered the day it is registered: the class runs over ``losses.names()``.
"""

from __future__ import annotations

import pytest
import torch
from contract import (
    CLASSES,
    COUNTS,
    assert_same_state,
    batch,
    batches_for,
    covered,
    draws,
    frozen_detached,
    state_of,
    step,
)
from dispatch import Recorder

from lt_core import losses
from lt_core.errors import ConfigError
from lt_core.losses import base


@pytest.mark.parametrize(("name", "params"), covered())
class TestContract:
    @pytest.fixture
    def loss(self, name, params):
        return losses.create(name, COUNTS, **params)

    @pytest.fixture
    def trained(self, name, params):
        """A loss that has seen three batches."""
        loss = losses.create(name, COUNTS, **params)
        for logits, target in batches_for(loss, 3):
            step(loss, logits, target)
        return loss

    @pytest.mark.parametrize("size", [1e4, 120.0, 0.0])
    def test_l1_extreme_logits_stay_finite(self, loss, size):
        target = torch.arange(CLASSES).repeat(2)
        right = torch.eye(CLASSES)[target]
        sign = torch.tensor([1.0, -1.0]).repeat_interleave(CLASSES)[:, None]
        for _ in range(2):
            value, gradient = step(loss, size * sign * right, target, **draws(loss, right))
            assert value.isfinite()
            assert gradient.isfinite().all()

    def test_l2_a_class_without_images_is_named(self, name, params):
        with pytest.raises(ConfigError, match=r"class 2 has 0 images"):
            losses.create(name, [5, 3, 0, 1], **params)

    @pytest.mark.parametrize("class_counts", [[7] * 6, [1] * 4, [9, 1], range(10_000, 0, -1)])
    def test_l3_unusual_class_counts(self, name, params, class_counts):
        loss = losses.create(name, class_counts, **params)
        for logits, target in batches_for(loss, 2, samples=4, class_counts=list(class_counts)):
            value, gradient = step(loss, logits, target)
            assert value.isfinite()
            assert gradient.isfinite().all()

    def test_l3_one_class_is_refused(self, name, params):
        with pytest.raises(ConfigError, match="at least 2 classes"):
            losses.create(name, [5], **params)

    @pytest.mark.parametrize("label", [CLASSES, -1, 255])
    def test_l4_wrong_labels_are_refused_before_the_state_moves(self, trained, label):
        before = state_of(trained)
        logits, target = batches_for(trained, 1)[0]
        target[3] = label
        with pytest.raises(ConfigError, match=f"got {label}"):
            trained(logits.requires_grad_(), target)
        assert_same_state(trained.state_dict(), before)

    def test_l5_wrong_shapes_and_types_are_refused(self, trained):
        before = state_of(trained)
        logits, target = batches_for(trained, 1)[0]
        for width in (CLASSES - 1, CLASSES + 1):
            with pytest.raises(ConfigError, match=rf"{CLASSES} class counts, got \(4, {width}\)"):
                trained(torch.zeros(4, width), target[:4])
        with pytest.raises(ConfigError, match=r"\(24,\) to match the logits, got \(23,\)"):
            trained(logits, target[1:])
        with pytest.raises(ConfigError, match="int64"):
            trained(logits, target.int())
        with pytest.raises(ConfigError, match="floating point"):
            trained(logits.long(), target)
        assert_same_state(trained.state_dict(), before)

    def test_l6_empty_batch_and_single_sample(self, trained):
        before = state_of(trained)
        value, gradient = step(trained, torch.zeros(0, CLASSES), torch.zeros(0, dtype=torch.int64))
        assert value == 0
        assert gradient.shape == (0, CLASSES)
        assert_same_state(trained.state_dict(), before)
        value, gradient = step(trained, torch.zeros(1, CLASSES), torch.tensor([4]))
        assert value.isfinite()
        assert gradient.isfinite().all()

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_l7_half_precision(self, name, params, loss, dtype):
        logits, target = batches_for(loss, 1)[0]
        rounded = logits.to(dtype)
        expected, _ = step(loss, rounded.float(), target, **draws(loss, logits))
        low = losses.create(name, COUNTS, **params).to(dtype)
        for key, buffer in low.named_buffers():
            assert buffer.dtype not in (torch.float16, torch.bfloat16), key
        with torch.autocast("cpu", dtype=dtype):
            value, gradient = step(low, rounded, target, **draws(loss, logits))
        assert value.dtype == torch.float32
        assert gradient.dtype == dtype
        assert gradient.isfinite().all()
        assert value.item() == pytest.approx(expected.item(), rel=1e-5)

    @pytest.mark.parametrize("damage", [float("nan"), float("inf"), -float("inf")])
    def test_l8_a_damaged_batch_is_refused(self, trained, damage):
        before = state_of(trained)
        logits, target = batches_for(trained, 1)[0]
        logits[5, 2] = damage
        with pytest.raises(ConfigError, match="row 5 is not finite"):
            trained(logits.requires_grad_(), target)
        assert_same_state(trained.state_dict(), before)

    @pytest.mark.parametrize("damage", [float("nan"), float("inf"), -float("inf")])
    def test_l8_on_a_gpu_a_damaged_row_stays_out_of_the_state(self, trained, damage, monkeypatch):
        """There nothing may raise; the state must be that of the batch without the row."""
        monkeypatch.setattr(base, "looks_at_values", lambda _: False)
        whole = state_of(trained)
        logits, target = batches_for(trained, 4)[3]
        kept = torch.arange(len(target)) != 5
        step(trained, logits[kept], target[kept], **draws(trained, logits[kept]))
        expected = state_of(trained)
        trained.load_state_dict(whole)
        logits[5, 2] = damage
        step(trained, logits, target, **draws(trained, logits))
        mean_of_batch = getattr(trained, "gradient_scale", None) == "mean"
        for key, value in trained.state_dict().items():
            assert not value.isnan().any()
            if not mean_of_batch:  # there the damaged row still counts in the batch's size
                torch.testing.assert_close(value, expected[key], rtol=1e-12, atol=1e-12)

    def test_l9_resumed_at_every_step_it_goes_on_bit_for_bit(self, name, params, loss):
        resumed = losses.create(name, COUNTS, **params)
        for logits, target in batches_for(loss, 4):
            fresh = losses.create(name, COUNTS, **params)
            fresh.load_state_dict(state_of(resumed))
            resumed = fresh
            one, other = step(loss, logits, target), step(resumed, logits, target)
            assert torch.equal(one[0], other[0])
            assert torch.equal(one[1], other[1])
            assert_same_state(resumed.state_dict(), loss.state_dict())

    def test_l9_what_changes_is_saved_and_changes_in_place(self, trained):
        buffers = dict(trained.named_buffers())
        before = {key: buffer.clone() for key, buffer in buffers.items()}
        addresses = {key: buffer.data_ptr() for key, buffer in buffers.items()}
        for logits, target in batches_for(trained, 2):
            step(trained, logits, target)
        for key, buffer in trained.named_buffers():
            assert buffer.data_ptr() == addresses[key], f"{key} was rebound"
            if not torch.equal(buffer, before[key]):
                assert key in trained.state_dict(), f"{key} changed and is not saved"

    def test_l10_evaluation_changes_nothing(self, trained):
        before = state_of(trained)
        logits, target = batches_for(trained, 1)[0]
        with torch.no_grad():
            quiet = trained(logits, target)
        value, _ = step(trained.eval(), logits, target)
        assert torch.equal(value, quiet)
        assert_same_state(trained.state_dict(), before)

    def test_l11_renaming_the_classes_changes_nothing(self, name, params, loss):
        order = torch.randperm(CLASSES, generator=torch.Generator().manual_seed(3))
        renamed = losses.create(name, [COUNTS[c] for c in order], **params)
        for seed, (logits, target) in enumerate(batches_for(loss, 3)):
            draw = draws(loss, logits, seed)
            expected, gradient = step(loss, logits, target, **draw)
            draw = {key: value[:, order] for key, value in draw.items()}
            value, other = step(renamed, logits[:, order], order.argsort()[target], **draw)
            torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-12)
            torch.testing.assert_close(other, gradient[:, order], rtol=1e-10, atol=1e-12)

    def test_l12_the_gradient_is_that_of_the_loss(self, trained, monkeypatch):
        """Central differences in float64, state frozen; what is detached is a constant."""
        trained.eval()
        logits, target = batch(11, samples=4, takes_cosines=trained.takes_cosines)
        draw = draws(trained, logits)
        numerical = torch.empty_like(logits)
        nudge = 1e-6
        with frozen_detached(monkeypatch) as rewind:
            _, analytical = step(trained, logits, target, **draw)
            for index in range(logits.numel()):
                ends = []
                for sign in (1, -1):
                    moved = logits.clone()
                    moved.view(-1)[index] += sign * nudge
                    rewind()
                    ends.append(trained(moved, target, **draw).item())
                numerical.view(-1)[index] = (ends[0] - ends[1]) / (2 * nudge)
        torch.testing.assert_close(analytical, numerical, rtol=1e-6, atol=1e-7)

    def test_l14_counters_keep_single_increments(self, loss):
        """float32 loses them above 2^24."""
        for key, buffer in loss.state_dict().items():
            assert buffer.dtype in (torch.float64, torch.int64, torch.uint8), key

    def test_l15_nothing_is_shared_and_the_global_generator_is_left_alone(self, name, params, loss):
        other = losses.create(name, COUNTS, **params)
        before, generator = state_of(other), torch.get_rng_state()
        for logits, target in batches_for(loss, 2):
            step(loss, logits, target)
        assert_same_state(other.state_dict(), before)
        assert torch.equal(torch.get_rng_state(), generator)

    def test_reductions_agree(self, name, params):
        values = {}
        for reduction in base.REDUCTIONS:
            loss = losses.create(name, COUNTS, reduction=reduction, **params)
            logits, target = batches_for(loss, 1)[0]
            values[reduction], _ = step(loss, logits, target)
        each = values["none"]
        assert each.shape == target.shape
        torch.testing.assert_close(values["sum"], each.sum())
        torch.testing.assert_close(values["mean"], each.mean())
        assert values["weighted_mean"].isfinite()

    def test_no_host_read_and_no_class_by_class_tensor(self, name, params):
        """Counted, not timed: such a step can be captured in a CUDA graph."""
        class_counts = list(range(500, 0, -1))
        loss = losses.create(name, class_counts, **params)
        for logits, target in batches_for(loss, 2, samples=8, class_counts=class_counts):
            with Recorder() as recorder:
                step(loss, logits.float(), target)
        assert recorder.forbidden == []
        assert recorder.largest < len(class_counts) ** 2
        assert recorder.operations <= 95


@pytest.mark.parametrize("name", losses.names())
class TestParameters:
    def test_defaults_are_what_create_uses(self, name):
        defaults = losses.defaults(name)
        assert losses.converted(name, defaults) == defaults
        losses.create(name, COUNTS, **defaults)

    def test_an_unknown_parameter_is_refused(self, name):
        with pytest.raises(ConfigError, match="unknown parameter"):
            losses.create(name, COUNTS, no_such_parameter=1)

    def test_wrong_types_and_numbers_out_of_range_are_refused(self, name):
        for parameter, default in losses.defaults(name).items():
            wrong = ["banana", [1], {}]
            if isinstance(default, (int, float)) and not isinstance(default, bool):
                wrong += [float("nan"), True, "1e400"]
            for value in wrong:
                with pytest.raises(ConfigError, match=rf"{parameter}|known"):
                    losses.create(name, COUNTS, **{parameter: value})

    def test_words_for_numbers_become_numbers(self, name):
        for parameter, default in losses.defaults(name).items():
            converted = losses.converted(name, {parameter: str(default)})[parameter]
            assert converted == default
            assert type(converted) is type(default)


def test_every_method_has_its_docstring_complete():
    for name in losses.names():
        text = losses.loss_class(name).__doc__
        for part in (".. math::", "radient", "logits ``(N, C)``", "Source:"):
            assert part in text, f"{name}: docstring lacks {part!r}"
