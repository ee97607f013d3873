"""What a difference between two numbers of a table is worth.

Accuracies are in percent throughout; every interval is at 95 % unless told.
Textbook formulas after Montgomery, *Design and Analysis of Experiments*
(intervals, additive model) and Holm 1979 (several comparisons at once).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from lt_core.errors import ConfigError
from lt_core.parameters import convert

#: Weights by class size, equalization's threshold and a shift by the log prior do nothing
#: where all classes are equally large: these methods then are softmax, run once more.
SOFTMAX_WHEN_BALANCED = (
    *("class_balanced", "effective_number", "equalization"),
    *("balanced_softmax", "logit_adjustment"),
)


class Noise(NamedTuple):
    """Standard deviation of one run, in percent, and its degrees of freedom."""

    sd: float
    df: int

    @property
    def is_known(self) -> bool:
        """Whether repeated runs differed: from none, or equal ones, nothing can be judged."""
        return bool(self.df > 0 and self.df * self.sd**2 > 1e-12)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        r"""Confidence interval of the standard deviation.

        .. math:: s \sqrt{\nu / \chi^2_{\nu, (1 \pm level) / 2}}
        """
        if not self.is_known:
            return float("nan"), float("nan")
        upper, lower = stats.chi2.ppf([(1 + level) / 2, (1 - level) / 2], self.df)
        return self.sd * float(np.sqrt(self.df / upper)), self.sd * float(np.sqrt(self.df / lower))


def pooled_sd(groups: Iterable[Sequence[float]]) -> Noise:
    r"""One standard deviation for groups that differ in their means only.

    .. math:: s^2 = \sum_i \sum_j (x_{ij} - \bar x_i)^2 / \sum_i (n_i - 1)

    Groups of one run add nothing, nor does a NaN. Without any larger group: NaN with 0 degrees.
    """
    groups = [np.asarray(group, dtype=float) for group in groups]
    groups = [group[~np.isnan(group)] for group in groups]
    squares = sum(float(((group - group.mean()) ** 2).sum()) for group in groups if len(group))
    df = sum(len(group) - 1 for group in groups if len(group))
    return Noise(float(np.sqrt(squares / df)) if df else float("nan"), df)


def paired_sd(first: Sequence[float], second: Sequence[float]) -> Noise:
    r"""Standard deviation of one run, from pairs of runs of the same thing.

    The two of a pair share their unknown mean, so their difference has none:

    .. math:: s^2 = \sum_i (x_i - y_i)^2 / 2k, \qquad \nu = k

    A pair with a NaN adds nothing. Without any pair: NaN with 0 degrees.
    """
    difference = np.asarray(first, dtype=float) - np.asarray(second, dtype=float)
    difference = difference[~np.isnan(difference)]
    k = len(difference)
    return Noise(float(np.sqrt((difference**2).sum() / (2 * k))) if k else float("nan"), k)


def prediction_interval(
    mean: float, n: int, noise: Noise, level: float = 0.95
) -> tuple[float, float]:
    r"""Where one new run falls, given the mean of ``n`` runs.

    .. math:: \bar x \pm t_{\nu, (1 + level) / 2} \; s \sqrt{1 + 1 / n}

    Wider than a confidence interval of the mean: a published number is one run, and
    scatters as one. NaN where there is no noise to go by.
    """
    if not noise.is_known or n < 1:
        return float("nan"), float("nan")
    half = stats.t.ppf((1 + level) / 2, noise.df) * noise.sd * np.sqrt(1 + 1 / n)
    return float(mean - half), float(mean + half)


def verdict(paper: float, mean: float, n: int, noise: Noise) -> str:
    """``agrees`` if the published run lies in the prediction interval, else ``differs``.

    One run of ours gives no verdict, however well the noise is known from others, and
    neither do runs that came out equal, or a number that is not known.
    """
    if n < 2:
        return f"no verdict (n = {n})"
    if not noise.is_known:
        return "no verdict (noise unknown)"
    if np.isnan([paper, mean]).any():
        return "no verdict (a number is not known)"
    low, high = prediction_interval(mean, n, noise)
    return "agrees" if low <= paper <= high else "differs"


def least_difference(noise: Noise, n1: int = 1, n2: int = 1, level: float = 0.95) -> float:
    r"""The smallest difference of two means that the noise does not explain.

    .. math:: t_{\nu, (1 + level) / 2} \; s \sqrt{1 / n_1 + 1 / n_2}
    """
    if not noise.is_known:
        return float("nan")
    return float(stats.t.ppf((1 + level) / 2, noise.df) * noise.sd * np.sqrt(1 / n1 + 1 / n2))


def runs_needed(difference: float, sd: float, level: float = 0.95) -> int:
    r"""Runs a method, of two methods, until ``difference`` exceeds :func:`least_difference`.

    The smallest n with

    .. math:: t_{2(n-1), (1 + level) / 2} \; s \sqrt{2 / n} < |difference| .

    A difference just as large is then found in every second experiment. Raises
    ConfigError for a difference of zero, and for an ``sd`` that is not known.
    """
    difference, sd = convert("difference", difference, float), convert("sd", sd, float)
    if not (0 < abs(difference) < np.inf and 0 <= sd <= 1e4 * abs(difference)):
        raise ConfigError(
            "difference, sd: expected not 0 and known, the first at least 1e-4 of the second, got "
            f"{difference:g}, {sd:g}"
        )
    z = stats.norm.ppf((1 + level) / 2)  # less than any t, so it starts low
    n = max(2, int(2 * (z * sd / difference) ** 2))
    while least_difference(Noise(sd, 2 * (n - 1)), n, n, level) >= abs(difference):
        n += 1
    return n


def compare_methods(runs: pd.DataFrame, baseline: str, value: str = "top1") -> pd.DataFrame:
    r"""Each method against ``baseline``, seed effects taken out.

    .. math:: \text{acc} = \mu_\text{method} + \rho_\text{seed} + \varepsilon

    fitted by least squares with one residual for all methods; the :math:`\mu` of a method less
    that of ``baseline`` is its ``difference``, with a 95 % interval ``low``, ``high`` for it alone,
    a two-sided ``p`` and ``p_holm``, adjusted for the number of methods (Holm 1979). Runs may be
    missing. ``runs`` has the columns ``method``, ``seed`` and ``value``, a row per run.

    Returns a frame indexed by method, best first; empty without a run of ``baseline``.
    A difference can be estimated only if a chain of shared seeds leads from the method to
    the baseline; methods without one, and their runs, are left out, and named by
    ``attrs["no_shared_seed"]`` of the result. Where the residual has no degree of freedom
    (one seed), or is zero, interval and p are NaN: there is nothing to test by. Raises
    ConfigError for a missing column, a run without method or seed, and for two runs of
    one method and seed.
    """
    import statsmodels.api as sm  # here, because importing it takes a second
    from statsmodels.stats.multitest import multipletests

    runs = _one_run_each(runs, value)
    connected = _connected(runs, baseline)
    apart = tuple(pd.unique(runs["method"][~connected]))
    runs = runs[connected]
    others = [method for method in pd.unique(runs["method"]) if method != baseline]
    columns = ["difference", "low", "high", "p", "p_holm", "n", "df"]
    table = pd.DataFrame(columns=columns, index=pd.Index(others, name="method"), dtype=float)
    if others:
        methods, seeds = (pd.get_dummies(runs[name]) for name in ("method", "seed"))
        effects = pd.concat([methods[others], seeds.iloc[:, 1:]], axis=1)
        design = sm.add_constant(effects.to_numpy(float))
        fit = sm.OLS(runs[value].to_numpy(float), design).fit()
        terms = slice(1, 1 + len(others))
        table["difference"] = fit.params[terms]
        df = len(runs) - design.shape[1]  # the design has full rank: its runs are connected
        if df > 0 and Noise(float(np.sqrt(fit.ssr / df)), df).is_known:
            table[["low", "high"]] = fit.conf_int()[terms]
            table["p"] = fit.pvalues[terms]
            table["p_holm"] = multipletests(fit.pvalues[terms], method="holm")[1]
        table["n"] = runs.groupby("method").size()
        table["df"] = df
        table = table.sort_values("difference", ascending=False, kind="stable")
    table.attrs["no_shared_seed"] = apart if baseline in set(runs["method"]) else ()
    return table


def _one_run_each(runs: pd.DataFrame, value: str) -> pd.DataFrame:
    """The runs that have a ``value``, in an order of their own, whatever order they came in."""
    names = ["method", "seed", value]
    if missing := [name for name in names if name not in runs]:
        raise ConfigError(f"runs: expected the columns {', '.join(names)}; {missing[0]} is missing")
    runs = runs[names].dropna(subset=[value])
    for name in names[:2]:
        if runs[name].isna().any():
            raise ConfigError(f"runs: expected a {name} for each run, one has none")
    numbers = pd.to_numeric(runs[value], errors="coerce").astype(float)
    for name, seed, given in runs[~np.isfinite(numbers)].itertuples(index=False):
        raise ConfigError(
            f"runs: expected finite numbers as {value}, {name} with seed {seed} has {given!r}"
        )
    runs = runs.assign(**{value: numbers})
    runs = runs.sort_values(["method", "seed"], key=lambda column: column.astype(str))
    if (twice := runs[runs.duplicated(["method", "seed"])]).size:
        method, seed = twice[["method", "seed"]].iloc[0]
        raise ConfigError(
            f"runs: {method} with seed {seed} stands there twice; expected one run for each "
            "method and seed, of one experiment"
        )
    return runs


def _connected(runs: pd.DataFrame, baseline: str) -> pd.Series:
    """Which runs a chain of shared methods and seeds connects with a run of ``baseline``."""
    reached = runs["method"] == baseline
    while True:
        seeds = runs["seed"].isin(runs["seed"][reached])
        further = runs["method"].isin(runs["method"][seeds])
        if further.sum() == reached.sum():
            return reached
        reached = further


def published_noise(table: pd.DataFrame) -> pd.DataFrame:
    """The noise of the published Table 1, from cells that ought to be equal.

    ``table`` as :func:`lt_core.tables.published` gives it. Two estimates a data set:

    - *long tail*: class_balanced against effective_number at factors above 1, two
      weightings that agree within 2.5 % while no class has more than 500 images;
    - *balanced*: the methods that are softmax at factor 1, as repeated runs.

    Columns ``dataset``, ``estimate``, ``cells`` (pairs, or methods), ``copied`` (of
    the pairs, or pairs of methods, how many are equal to the last digit, which two
    runs hardly are), ``sd``, ``df`` and its interval ``low``, ``high``. A data set
    whose long-tail cells are all copied says nothing: its sd is NaN.
    """
    rows = []
    wide = table[table["group"] == "all"].pivot_table(
        index=["dataset", "imbalance_factor"], columns="method", values="top1", sort=False
    )
    for dataset, block in wide.groupby(level="dataset", sort=False):
        tail = block[block.index.get_level_values("imbalance_factor") > 1]
        first, second = tail["class_balanced"], tail["effective_number"]
        copied = int((first == second).sum())
        noise = paired_sd(first, second) if copied < len(tail) else Noise(float("nan"), 0)
        rows.append((dataset, "long tail", len(tail), copied, *noise, *noise.interval()))
        balanced = block[block.index.get_level_values("imbalance_factor") == 1]
        values = balanced.filter(["softmax", *SOFTMAX_WHEN_BALANCED]).to_numpy().ravel()
        values = values[~np.isnan(values)]
        noise = pooled_sd([values])
        copied = len(values) - len(np.unique(values))
        rows.append((dataset, "balanced", len(values), copied, *noise, *noise.interval()))
    names = ["dataset", "estimate", "cells", "copied", "sd", "df", "low", "high"]
    return pd.DataFrame(rows, columns=names)
