"""Statistics against hand computation, and against simulations that a wrong formula fails."""

from __future__ import annotations

import gc

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lt_core import tables
from lt_core.errors import ConfigError
from lt_core.tables import statistics
from lt_core.tables.statistics import Noise


def test_pooled_sd_by_hand():
    # deviations -1 0 1 (sum 2) and -2 2 (sum 8), degrees 2 + 1; the single run adds nothing
    spread = statistics.pooled_sd([[1, 2, 3], [10, 14], [99]])
    assert spread == (pytest.approx(np.sqrt(10 / 3)), 3)


@pytest.mark.parametrize("groups", [[], [[1.0]], [[1.0], []]])
def test_pooled_sd_without_repetition_is_unknown(groups):
    sd, df = statistics.pooled_sd(groups)
    assert np.isnan(sd)
    assert df == 0


def test_paired_sd_by_hand():
    # differences 2, -4: (4 + 16) / 2 / 2 = 5
    assert statistics.paired_sd([3, 1], [1, 5]) == (pytest.approx(np.sqrt(5)), 2)


def test_paired_sd_recovers_the_noise_of_one_run():
    rng = np.random.default_rng(0)
    mean = rng.normal(50, 20, 4000)
    runs = mean + 0.5 * rng.normal(size=(2, 4000))
    assert statistics.paired_sd(*runs).sd == pytest.approx(0.5, rel=0.05)


def test_prediction_interval_by_hand():
    low, high = statistics.prediction_interval(70.0, 4, Noise(2.0, 8))
    half = 2.306004135 * 2.0 * np.sqrt(1.25)  # t of 8 degrees at 97.5 %
    assert (low, high) == (pytest.approx(70 - half), pytest.approx(70 + half))


def test_prediction_interval_covers_a_new_run_as_often_as_it_says():
    # Without the 1 under the root this covers 67 %, with the normal's 1.96 about 92 %.
    rng = np.random.default_rng(1)
    runs = rng.normal(60, 1.5, (4000, 3, 3))  # three methods of three seeds
    new = rng.normal(60, 1.5, 4000)
    covered = 0
    for block, value in zip(runs, new, strict=True):
        spread = statistics.pooled_sd(block)
        low, high = statistics.prediction_interval(block[0].mean(), 3, spread)
        covered += low <= value <= high
    assert covered / 4000 == pytest.approx(0.95, abs=0.011)  # three standard errors


def test_interval_of_the_standard_deviation_covers():
    rng = np.random.default_rng(2)
    runs = rng.normal(0, 3.0, (4000, 5))
    intervals = [statistics.pooled_sd([row]).interval() for row in runs]
    covered = np.mean([low <= 3.0 <= high for low, high in intervals])
    assert covered == pytest.approx(0.95, abs=0.011)


def test_verdict_at_the_border_and_without_grounds():
    spread = Noise(1.0, 10)
    _, high = statistics.prediction_interval(70.0, 3, spread)
    assert statistics.verdict(high - 1e-6, 70.0, 3, spread) == "agrees"
    assert statistics.verdict(high + 1e-6, 70.0, 3, spread) == "differs"
    assert statistics.verdict(70.0, 70.0, 1, spread) == "no verdict (n = 1)"
    assert statistics.verdict(70.0, 70.0, 3, Noise(float("nan"), 0)).startswith("no verdict")


def test_least_difference_by_hand():
    assert statistics.least_difference(Noise(0.5, 10**6)) == pytest.approx(
        1.959964 * 0.5 * np.sqrt(2), rel=1e-4
    )


def test_runs_needed_by_hand():
    # 2 runs each: t of 2 degrees 4.303 times sd, 4.3; 3 each: 2.776 * sqrt(2/3) = 2.27
    assert statistics.runs_needed(2.3, 1.0) == 3
    assert statistics.runs_needed(-2.2, 1.0) == 4
    assert statistics.runs_needed(9, 1.0) == 2
    assert statistics.runs_needed(0.01, 1.0) == pytest.approx(2 * 195.9964**2, abs=2)


@pytest.mark.parametrize(
    "known",
    [(0, 1.0), (np.nan, 1.0), (1.0, np.nan), (np.inf, 1.0), (1.0, np.inf), (1e-12, 1.0), ("a", 1)],
)
def test_runs_needed_asks_for_a_difference_and_a_spread(known):
    with pytest.raises(ConfigError, match="difference"):
        statistics.runs_needed(*known)


def test_runs_needed_finds_every_second_difference_of_that_size():
    rng = np.random.default_rng(6)
    n = statistics.runs_needed(1.0, 1.0)
    runs = rng.normal(0, 1.0, (2, 4000, n)) + np.array([[[0.0]], [[1.0]]])
    spread = np.sqrt(runs.var(axis=2, ddof=1).mean(axis=0))
    least = np.array([statistics.least_difference(Noise(sd, 2 * (n - 1)), n, n) for sd in spread])
    found = np.mean(runs[1].mean(axis=1) - runs[0].mean(axis=1) > least)
    assert found == pytest.approx(0.5, abs=0.06)


def two_way(effects: dict[str, float], seeds: int, sd: float, seed_sd: float, rng) -> pd.DataFrame:
    shift = rng.normal(0, seed_sd, seeds)
    return pd.DataFrame(
        [
            {"method": method, "seed": seed, "top1": 50 + effect + shift[seed] + rng.normal(0, sd)}
            for method, effect in effects.items()
            for seed in range(seeds)
        ]
    )


def test_compare_methods_by_hand():
    # a: 1 3, b: 4 8. Means 2 and 6, seed means 2.5 and 5.5, grand mean 4; residuals all
    # +-.5, so ssr 1 on 1 degree; standard error of the difference sqrt(1 * 2 / 2) = 1.
    runs = pd.DataFrame({"method": list("aabb"), "seed": [0, 1, 0, 1], "top1": [1, 3, 4, 8.0]})
    row = statistics.compare_methods(runs, "a").loc["b"]
    assert row["difference"] == pytest.approx(4)
    assert row["df"] == 1
    assert row["p"] == pytest.approx(2 * stats.t.sf(4, 1))
    assert row["high"] - 4 == pytest.approx(stats.t.ppf(0.975, 1))


def test_compare_methods_takes_seed_effects_out():
    rng = np.random.default_rng(3)
    runs = two_way({"softmax": 0, "icb": 2.0, "ghm": -5.0}, 5, 0.3, 10.0, rng)
    result = statistics.compare_methods(runs, "softmax")
    assert list(result.index) == ["icb", "ghm"]  # best first
    # a one-way comparison, blind to the seeds, has a standard error of 6 here
    assert result["p_holm"].max() < 0.01
    assert (result["low"] < [2.0, -5.0]).all()
    assert (result["high"] > [2.0, -5.0]).all()


def test_holm_keeps_the_family_at_five_percent(monkeypatch):
    # statsmodels collects garbage at every call, a quarter of a second with torch loaded
    monkeypatch.setattr(gc, "collect", lambda: 0)
    # Without the correction about a quarter of these families hold a false finding.
    rng = np.random.default_rng(4)
    false = 0
    for _ in range(400):
        result = statistics.compare_methods(
            two_way(dict.fromkeys("abcdefgh", 0.0), 3, 1.0, 2.0, rng), "a"
        )
        false += (result["p_holm"] < 0.05).any()
    assert false / 400 < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)
    assert false > 0  # nor does it suppress everything


def test_compare_methods_with_a_run_missing():
    rng = np.random.default_rng(5)
    runs = two_way({"softmax": 0, "icb": 3.0}, 6, 0.1, 5.0, rng).drop(index=3)
    result = statistics.compare_methods(runs, "softmax")
    assert result.loc["icb", "n"] == 6
    assert result.loc["icb", "difference"] == pytest.approx(3.0, abs=0.3)


def test_compare_methods_without_anything_to_test_by():
    runs = pd.DataFrame({"method": ["a", "b"], "seed": [0, 0], "top1": [1.0, 2.0]})
    result = statistics.compare_methods(runs, "a")
    assert result.loc["b", "difference"] == pytest.approx(1)
    assert np.isnan(result.loc["b", "p_holm"])
    assert statistics.compare_methods(runs, "absent").empty
    same = pd.DataFrame({"method": list("aabb"), "seed": [0, 1, 0, 1], "top1": [1, 2, 1, 2.0]})
    assert np.isnan(statistics.compare_methods(same, "a").loc["b", "p"])


def uneven() -> pd.DataFrame:
    """Five methods: b and c share seeds with a, d with b only, and e with none."""
    rng = np.random.default_rng(7)
    runs = [("a", seed) for seed in (0, 1, 2)] + [("b", seed) for seed in (1, 2, 3, 4)]
    runs += [("c", seed) for seed in (0, 2)] + [("d", seed) for seed in (3, 4, 5)]
    runs += [("e", seed) for seed in (7, 8)]
    frame = pd.DataFrame(runs, columns=["method", "seed"])
    return frame.assign(top1=50 + frame["seed"] + rng.normal(size=len(frame)))


def test_a_contrast_that_the_seeds_cannot_tell_is_left_out_by_name():
    found = statistics.compare_methods(uneven(), "a")
    assert set(found.index) == {"b", "c", "d"}
    assert found.attrs["no_shared_seed"] == ("e",)
    without = uneven().query("method != 'e'")
    pd.testing.assert_frame_equal(found, statistics.compare_methods(without, "a"), check_like=True)
    # Estimable means: the contrast is a combination of the design's rows, whichever they are.
    runs = uneven()
    design = pd.get_dummies(runs.astype({"seed": str}), dtype=float).drop(columns="top1")
    for name in "bcde":
        contrast = (design.columns == f"method_{name}") * 1.0 - (design.columns == "method_a")
        residual = contrast - design.to_numpy().T @ np.linalg.lstsq(
            design.to_numpy().T, contrast, rcond=None
        )[0]  # fmt: skip
        assert (abs(residual).max() < 1e-9) == (name in found.index)


def test_differences_by_hand_over_a_chain_of_seeds():
    # d meets a only through b: d - b on seed 1, b - a on seed 0
    runs = pd.DataFrame(
        {"method": list("aabbdd"), "seed": [0, 9, 0, 1, 1, 2], "top1": [1, 5, 4, 3, 8, 0.0]}
    )
    found = statistics.compare_methods(runs, "a")
    assert found["difference"].round(9).to_dict() == {"d": 8.0, "b": 3.0}
    assert (found["df"] == 0).all()
    assert found[["low", "high", "p", "p_holm"]].isna().all(axis=None)


def test_the_order_of_rows_changes_nothing():
    found = statistics.compare_methods(uneven(), "a")
    for seed in range(5):
        shuffled = uneven().sample(frac=1, random_state=seed)
        again = statistics.compare_methods(shuffled, "a")
        pd.testing.assert_frame_equal(found, again, check_exact=True)
        assert again.attrs == found.attrs


def test_holm_counts_the_rows_that_are_left():
    found = statistics.compare_methods(uneven(), "a")
    p = found["p"].sort_values()
    by_hand = np.maximum.accumulate(p.to_numpy() * [3, 2, 1]).clip(max=1)
    assert found.loc[p.index, "p_holm"].to_numpy() == pytest.approx(by_hand)


def test_runs_without_a_value_are_missing_and_without_a_seed_are_refused():
    runs = uneven()
    gone = runs["method"].eq("b") & runs["seed"].ge(3)
    missing = statistics.compare_methods(runs.assign(top1=runs["top1"].mask(gone)), "a")
    pd.testing.assert_frame_equal(missing, statistics.compare_methods(runs[~gone], "a"))
    assert set(missing.attrs["no_shared_seed"]) == {"d", "e"}  # b was d's chain
    with pytest.raises(ConfigError, match="expected a seed for each run"):
        statistics.compare_methods(runs.assign(seed=runs["seed"].mask(gone)), "a")
    with pytest.raises(ConfigError, match="seed is missing"):
        statistics.compare_methods(runs.drop(columns="seed"), "a")


@pytest.mark.parametrize("value", ["x", np.inf])
def test_a_run_whose_value_is_no_number_is_named(value):
    runs = uneven().astype({"top1": object})
    runs.loc[runs.index[5], "top1"] = value
    with pytest.raises(ConfigError, match=f"as top1, b with seed 3 has '?{value}"):
        statistics.compare_methods(runs, "a")


def test_a_run_that_stands_there_twice_is_refused():
    runs = uneven()
    with pytest.raises(ConfigError, match="b with seed 3 stands there twice"):
        statistics.compare_methods(pd.concat([runs, runs[5:6]]), "a")


def test_without_the_baseline_nothing_is_compared():
    found = statistics.compare_methods(uneven(), "absent")
    assert found.empty
    assert list(found) == ["difference", "low", "high", "p", "p_holm", "n", "df"]
    assert statistics.compare_methods(uneven()[:0], "a").empty


@pytest.mark.parametrize("spread", [Noise(float("nan"), 0), Noise(0.0, 4), Noise(1e-15, 4)])
def test_a_spread_of_nothing_judges_nothing(spread):
    """Neither without repeated runs nor where all of them came out equal."""
    assert not spread.is_known
    assert np.isnan(statistics.prediction_interval(70.0, 3, spread)).all()
    assert np.isnan(statistics.least_difference(spread, 3, 3))
    assert np.isnan(spread.interval()).all()
    assert statistics.verdict(71.0, 70.0, 3, spread) == "no verdict (noise unknown)"
    assert Noise(1e-3, 4).is_known


def test_what_is_not_a_number_is_missing_and_never_judged():
    nan = float("nan")
    assert statistics.pooled_sd([[1, nan, 3], [nan]]) == (pytest.approx(np.sqrt(2)), 1)
    assert statistics.paired_sd([3, nan, 1], [1, 4, 5]) == (pytest.approx(np.sqrt(5)), 2)
    assert statistics.paired_sd([], []).df == 0
    for paper, mean in ((nan, 70.0), (70.0, nan)):
        assert statistics.verdict(paper, mean, 3, Noise(1.0, 9)).startswith("no verdict")


def test_noise_of_the_published_table():
    """Findings 4 and 5 of the design, by hand from the printed digits."""
    noise = statistics.published_noise(tables.published("table1")).set_index(
        ["dataset", "estimate"]
    )
    tail = noise.loc[("cifar100", "long tail")]
    assert tail["sd"] == pytest.approx(np.sqrt((0.83**2 + 0.20**2 + 0.92**2) / 6))
    assert tail["sd"] == pytest.approx(0.5, abs=0.02)
    assert noise.loc[("tinyimagenet", "long tail"), "copied"] == 3
    assert np.isnan(noise.loc[("tinyimagenet", "long tail"), "sd"])
    balanced = noise.loc[("cifar10", "balanced")]
    assert balanced["sd"] == pytest.approx(np.std([93.00, 92.71, 92.98, 93.04], ddof=1))
    assert balanced["sd"] < tail["sd"]
