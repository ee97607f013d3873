"""What every figure shares: the style sheet, the colours, and labels that can be read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import resources

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from scipy.optimize import isotonic_regression

#: The baseline has a colour that no class rank has, with a contrast of 3:1 on white.
BASELINE_COLOR, METHOD_COLOR = "#d55e00", "0.15"
MARKERS = "osD^vP<X>*hp"
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (4, 1.5, 1, 1.5)), (0, (7, 2, 1, 2, 1, 2)))
#: Lines and points stop here on cividis, to keep a contrast of 3:1 on white.
LIGHTEST = 0.6


def style() -> None:
    """Use the book's style for every figure from here on; in a notebook, figures are SVG."""
    with resources.as_file(resources.files("lt_core.plots") / "lt_core.mplstyle") as path:
        plt.style.use(path)
    if "inline" in str(matplotlib.get_backend(auto_select=False)):
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        set_matplotlib_formats("svg")


def rank_colors(num_classes: int, lightest: float = LIGHTEST) -> np.ndarray:
    """One colour per class rank, ``(C, 4)``, head first. Dark-edged bars may take .9."""
    return plt.get_cmap("cividis")(np.linspace(0, lightest, num_classes))


def plain(text: object, longest: int = 40) -> str:
    """Text that a figure shows as it is: no formula, only characters its font has."""
    known = font_manager.get_font(font_manager.findfont("DejaVu Sans")).get_charmap()
    shown = "".join(c if c.isprintable() and ord(c) in known else "?" for c in str(text))
    shown = shown if len(shown) <= longest else shown[: longest - 1] + "…"
    return shown.replace("$", r"\$")


def moved_apart(positions: Sequence[float], gap: float) -> np.ndarray:
    """Positions in [0, 1], moved as little as can be so that all lie ``gap`` apart there.

    Least squares under that constraint is an isotonic regression. Where the range is too
    small for all, the gap shrinks to what fits.
    """
    positions = np.asarray(positions, dtype=float)
    gap = min(gap, 1 / max(len(positions) - 1, 1))
    order, steps = np.argsort(positions, kind="stable"), gap * np.arange(len(positions))
    moved = np.empty_like(positions)
    fitted = isotonic_regression(positions[order] - steps).x if len(positions) else steps
    moved[order] = np.clip(fitted, 0, 1 - steps[-1:].sum()) + steps
    return moved


def end_labels(ax: Axes, x: float, heights: Mapping[str, float]) -> None:
    """A label right of the axes for each line that ends at ``(x, height)``, moved apart.

    Set limits and scales of the axes first. A height that is not finite gets no label.
    """
    heights = {label: height for label, height in heights.items() if np.isfinite(height)}
    if not heights:
        return
    ax.get_xlim(), ax.get_ylim()  # settles the limits
    at = ax.transData.transform([(x, height) for height in heights.values()])
    size = plt.rcParams["legend.fontsize"]
    inches = ax.get_position().height * ax.figure.get_figheight()
    text = size / 72 / inches  # a line's height, as a share of the axes
    edge = 0.3 * text  # or a label at the border would reach far beyond it
    ends = (ax.transAxes.inverted().transform(at)[:, 1] - edge) / (1 - 2 * edge)
    places = edge + (1 - 2 * edge) * moved_apart(ends, 1.25 * text / (1 - 2 * edge))
    for (label, height), place in zip(heights.items(), places, strict=True):
        ax.annotate(
            plain(label),
            (x, height),
            (1.03, place),
            textcoords="axes fraction",
            va="center",
            fontsize=size,
            arrowprops={"arrowstyle": "-", "color": "0.62", "linewidth": 0.5, "shrinkB": 2},
            annotation_clip=False,
        )


def label_rows(ax: Axes, labels: Iterable[object]) -> None:
    """Name the rows at heights 0, 1, ... from the top; a label may have several lines."""
    names = ["\n".join(plain(line) for line in str(label).split("\n")) for label in labels]
    ax.set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.5, -0.5))
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
