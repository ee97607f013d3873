"""The figures of chapter 1 draw what they are given, for few and many classes and one seed."""

from __future__ import annotations

import numpy as np
import pytest

plt = pytest.importorskip("matplotlib.pyplot", reason="needs the notebooks extra")

from lt_core import gradient_plots  # noqa: E402

pytestmark = pytest.mark.usefixtures("book_style")


@pytest.fixture(params=[2, 10, 100])
def negative(request):
    generator = np.random.default_rng(0)
    push = generator.uniform(0.1, 1, (request.param, request.param))
    return push * (1 - np.eye(request.param))


def test_forces_draws_pull_and_push_in_every_panel(negative):
    pull, push = negative.sum(axis=1), negative.sum(axis=0)
    figure = gradient_plots.forces({"first": (pull, push), "second": (push, pull)})
    for ax, heights in zip(figure.axes, ((pull, push), (push, pull)), strict=True):
        drawn = [points.get_offsets()[:, 1] for points in ax.collections]
        np.testing.assert_allclose(drawn, heights)
    figure.canvas.draw()


def test_pushes_shows_shares_and_leaves_the_diagonal_empty(negative):
    figure = gradient_plots.pushes({"one": negative, "ten times": 10 * negative})
    shown = [ax.images[0].get_array() for ax in figure.axes[:2]]
    np.testing.assert_allclose(shown[0].sum(), 1)
    np.testing.assert_allclose(shown[0].filled(0), shown[1].filled(0))
    assert shown[0].mask.diagonal().all()
    figure.canvas.draw()


def test_balance_leads_each_line_in_from_its_start(negative):
    ratio, start = negative[:5] + 0.1, negative[0] + 0.1
    figure, ax = plt.subplots()
    gradient_plots.balance(ax, ratio, start)
    figure.canvas.draw()
    assert len(ax.lines) == 1 + 2 * len(negative)
    assert len(ax.texts) == (len(negative) if len(negative) <= 20 else 0)


@pytest.mark.parametrize("seeds", [1, 3])
def test_accuracy_is_shown_in_percent_with_its_rank_correlation(seeds):
    accuracy = np.tile(np.linspace(1, 0.1, 10), (seeds, 1))
    panels = {"rises": accuracy[0], "falls": 1 / accuracy[0]}
    figure, correlations = gradient_plots.against_accuracy(panels, accuracy)
    assert correlations == pytest.approx({"rises": 1.0, "falls": -1.0})
    _, ax = plt.subplots()
    gradient_plots.accuracy_by_rank(ax, accuracy, "as trained")
    np.testing.assert_allclose(ax.collections[-1].get_offsets()[:, 1], 100 * accuracy[0])
    figure.canvas.draw()
