"""What every loss promises, as checks that any loss can be put to.

>>> from lt_core.losses import Softmax, contract
>>> set(contract.check(Softmax).values())
{'holds'}

The tests run the same checks on every registered loss. A check is a function of ``make``,
which makes a fresh loss from class counts; it raises AssertionError, or whatever the loss
raises, where the promise is broken. The numbers are those of the list of failures that the
project guards against.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from lt_core.losses.base import LongTailLoss
from lt_core.losses.contract import inputs, mathematics, state
from lt_core.losses.contract.probes import Make

CHECKS: tuple[Callable[[Make], None], ...] = (
    inputs.extreme_logits,
    inputs.class_without_images,
    inputs.unusual_class_counts,
    inputs.wrong_labels,
    inputs.wrong_shapes,
    inputs.small_batches,
    inputs.half_precision,
    inputs.damaged_batch,
    inputs.damaged_row_on_a_gpu,
    state.resumed,
    state.changes_in_place,
    state.evaluation,
    mathematics.renamed_classes,
    mathematics.true_gradient,
    state.precise_counters,
    state.nothing_shared,
    mathematics.reductions,
    mathematics.no_host_read,
)


def check(loss_class: type[LongTailLoss], **params) -> dict[str, str]:
    """Every promise in a sentence -> ``"holds"``, or in what way it is broken.

    The loss need not be registered. ``params`` are its parameters.
    """
    make = functools.partial(loss_class, **params)
    verdicts = {}
    for promise in CHECKS:
        try:
            promise(make)
            verdict = "holds"
        except Exception as error:  # a loss under test may raise anything
            reason = str(error).strip().partition("\n")[0] or "no reason given"
            kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
            verdict = f"broken: {kind}{reason}"
        verdicts[promise.__doc__.splitlines()[0]] = verdict
    return verdicts
