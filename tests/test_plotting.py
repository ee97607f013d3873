"""Figures: the promises of the style, and labels that can be read."""

from __future__ import annotations

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from lt_core import plotting

pytestmark = pytest.mark.usefixtures("book_style")

COUNTS = [500, 120, 90, 30, 15, 5]
HOSTILE = "<img src=x> $x_1$ | 類\n" + "w" * 200


def cells(methods, paper=np.nan, factor=100.0) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "method": methods,
            "imbalance_factor": factor,
            "n": 3,
            "mean": np.linspace(60, 61, len(methods)),
            "low": 58.0,
            "high": 63.0,
            "paper": paper,
            "many": 90.0,
            "medium": np.nan,
            "few": 20.0,
        }
    )


def luminance(color) -> float:
    linear = np.where(color[:3] <= 0.04045, color[:3] / 12.92, ((color[:3] + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_style_is_six_inches_wide_without_a_box():
    figure, ax = plt.subplots()
    assert figure.get_figwidth() == 6
    assert not ax.spines["top"].get_visible()
    assert not ax.spines["right"].get_visible()


def test_rank_colors_run_from_dark_to_light_and_stay_readable_on_white():
    colors = plotting.rank_colors(10)
    lightness = [luminance(color) for color in colors]
    assert lightness == sorted(lightness)
    assert min(1.05 / (value + 0.05) for value in lightness) >= 3


def test_spread_moves_no_more_than_it_must():
    far = [0.0, 5.0, 9.0]
    np.testing.assert_allclose(plotting.spread(far, 1.0, 0, 10), far)
    # two at the same place part evenly; the third is far enough
    np.testing.assert_allclose(plotting.spread([5, 5, 9], 1.0, 0, 10), [4.5, 5.5, 9])


@pytest.mark.parametrize("seed", range(5))
def test_spread_keeps_the_gap_the_order_and_the_range(seed):
    rng = np.random.default_rng(seed)
    positions = rng.choice([1.0, 2.0, 2.1, 9.99], 8) + rng.normal(0, 0.01, 8)
    moved = plotting.spread(positions, 1.0, 0, 10)
    assert np.diff(np.sort(moved)).min() >= 1 - 1e-9
    assert (np.argsort(moved) == np.argsort(positions)).all()
    assert moved.min() >= 0
    assert moved.max() <= 10


def test_spread_shares_a_range_that_is_too_small():
    np.testing.assert_allclose(plotting.spread([3, 3, 3], 9.0, 0, 10), [0, 5, 10])
    np.testing.assert_allclose(plotting.spread([12.0], 9.0, 0, 10), [10])


def test_end_labels_do_not_overlap():
    histories = {
        f"method_{i}": [pd.DataFrame({"epoch": range(1, 31), "top1": 70 + 0.01 * i})]
        for i in range(9)
    }
    figure, ax = plt.subplots()
    ax.set_ylim(0, 100)
    plotting.training_curves(ax, histories, baseline="method_0")
    figure.canvas.draw()
    boxes = sorted((Text.get_window_extent(text) for text in ax.texts), key=lambda box: box.y0)
    assert len(boxes) == 9
    assert all(low.y1 <= high.y0 + 1 for low, high in pairwise(boxes))


def test_names_are_shown_as_they_are():
    assert plotting.plain("icb") == "icb"
    assert plotting.plain("$x$") == r"\$x\$"
    shown = plotting.plain(HOSTILE)
    assert len(shown.replace("\\", "")) == 40
    assert "類" not in shown  # the font has no such character, and warns
    assert "\n" not in shown


def panels(figure):
    """The methods' panels; those with the training images and the key come before them."""
    return [ax for ax in figure.axes[1:] if ax.axison]


def test_accuracy_by_class_rank_shows_each_method_against_the_baseline():
    rng = np.random.default_rng(0)
    curves = {name: rng.uniform(0, 1, (3, 6)) for name in ("softmax", "icb", HOSTILE)}
    figure = plotting.accuracy_by_class_rank(curves, COUNTS)
    figure.canvas.draw()
    for ax, name in zip(panels(figure), ("icb", HOSTILE), strict=True):
        assert ax.get_title(loc="left") == plotting.plain(name, 20)
        grey = ax.lines[0]
        assert grey.get_color() == plotting.BASELINE_COLOR
        np.testing.assert_allclose(grey.get_ydata(), 100 * curves["softmax"].mean(axis=0))
        points = ax.collections[-1].get_offsets()
        np.testing.assert_allclose(points[:, 1], 100 * curves[name].mean(axis=0))


def test_classes_are_drawn_in_order_of_their_rank():
    accuracy = np.array([[0.1, 0.9, 0.5]])
    figure = plotting.accuracy_by_class_rank({"softmax": accuracy, "icb": accuracy}, [5, 500, 50])
    np.testing.assert_allclose(panels(figure)[0].lines[0].get_ydata(), [90, 50, 10])


def test_many_classes_are_joined_to_fifty_points():
    curves = {"softmax": np.tile(np.linspace(1, 0, 200), (2, 1))}
    curves["icb"] = curves["softmax"]
    figure = plotting.accuracy_by_class_rank(curves, np.linspace(500, 5, 200))
    x, y = panels(figure)[0].lines[0].get_data()
    assert len(x) == 50
    assert x[0] == pytest.approx(1.5)
    assert y[0] == pytest.approx(100 * np.linspace(1, 0, 200)[:4].mean())


def keys(figure):
    (legend,) = [ax.get_legend() for ax in figure.axes if ax.get_legend()]
    return [text.get_text() for text in legend.get_texts()], legend


@pytest.mark.parametrize("methods", [1, 3, 8, 13, 14])
def test_panels_are_equal_and_the_key_covers_none(methods):
    curves = {name: np.full((3, 6), 0.5) for name in ("softmax", *"abcdefghijklmn"[:methods])}
    figure = plotting.accuracy_by_class_rank(curves, COUNTS, note="digits\n30 epochs")
    figure.canvas.draw()
    boxes = [ax.get_window_extent() for ax in panels(figure)]
    assert len(boxes) == methods
    assert np.ptp([box.width for box in boxes]) < 1
    assert np.ptp([box.height for box in boxes]) < 1
    labels, legend = keys(figure)
    assert labels == ["softmax", "mean of 3 seeds", "± 1 sd"]
    assert legend.get_title().get_text() == "digits\n30 epochs"
    drawn = [figure.axes[0].get_window_extent(), *boxes]
    assert not any(legend.get_window_extent().overlaps(box) for box in drawn)


def test_one_seed_and_no_baseline_are_drawn_too():
    figure = plotting.accuracy_by_class_rank({"icb": np.full(6, 0.5)}, COUNTS)
    figure.canvas.draw()
    assert keys(figure)[0] == ["one seed"]


def test_class_profile_names_the_groups_that_there_are():
    _, ax = plt.subplots()
    plotting.class_profile(ax, [500, 400, 10])
    assert [text.get_text() for text in ax.texts] == ["many", "few"]
    assert ax.get_yscale() == "log"


@pytest.mark.parametrize("small", [True, False])
def test_a_groups_name_stands_over_its_ranks_and_touches_no_other(small):
    counts = [124, 74, 44, 26, 16, 9, 5, 3, 2, 1]  # one class is many, three are medium
    figure, ax = plt.subplots(figsize=(1.5, 1.5) if small else (6, 2.4))
    plotting.class_profile(ax, counts, small=small)
    figure.canvas.draw()
    assert [text.get_position()[0] for text in ax.texts] == [0, 2, 6.5]
    boxes, inside = [Text.get_window_extent(text) for text in ax.texts], ax.get_window_extent()
    assert not any(one.overlaps(other) for one, other in pairwise(boxes))
    assert all(inside.x0 <= box.x0 and box.x1 <= inside.x1 + 1 for box in boxes)


def test_dumbbells_compare_only_what_may_be_compared():
    assert plotting.dumbbells(cells(["softmax", "icb"])) is None
    both = [cells(["softmax", "icb"], paper=60.5, factor=factor) for factor in (100.0, 10.0)]
    both.append(cells(["softmax"], factor=1.0))
    figure = plotting.dumbbells(pd.concat(both))
    figure.canvas.draw()
    assert [ax.get_title(loc="right") for ax in figure.axes] == ["factor 100", "factor 10"]


def test_group_accuracy_leaves_empty_groups_out():
    figure, ax = plt.subplots()
    plotting.group_accuracy(ax, cells(["softmax", HOSTILE]))
    figure.canvas.draw()
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["many", "few", "all classes"]
