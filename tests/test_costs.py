"""Costs: images counted by hand, and reports of benchmarks put into words."""

from __future__ import annotations

import pandas as pd
import pytest

from lt_core import costs, data
from lt_core.training import RunConfig

ABOUT = "# a claim\n\n`python -m benchmarks.{}`\n\n{}; python 3.11, torch 2.15.\n"


@pytest.fixture
def report(tmp_path):
    def write(script, rows, machine="A GPU"):
        frame = pd.DataFrame(rows, columns=["what", "value", "unit"])
        frame.to_csv(tmp_path / "one.csv", index=False)
        (tmp_path / "one.md").write_text(ABOUT.format(script, machine))
        (found,) = costs.reports(tmp_path)
        return found

    return write


def test_images_are_those_of_training_and_a_third_of_those_tested():
    run = RunConfig("cifar10", "softmax", 100)
    by_hand = run.epochs * (sum(data.class_counts(10, 5000, 100)) + 10_000 / 3) / 1e6
    assert costs.million_images([run, run]) == pytest.approx(2 * by_hand)


def test_an_image_of_64_pixels_counts_as_four():
    small, large = (RunConfig(name, "softmax", 1) for name in ("cifar100", "tinyimagenet"))
    tested, epochs = 10_000 / 3, small.epochs
    ratio = costs.million_images([large]) / costs.million_images([small])
    images = large.epochs * (100_000 + tested) / (epochs * (50_000 + tested))
    assert ratio == pytest.approx(4 * images, rel=0.01)


def test_memory_is_shared_for_images_and_not_for_runs():
    one, eight = costs.memory(1000, 1), costs.memory(1000, 8)
    assert one["images"] == eight["images"] == pytest.approx(2 * 1000 * 4800 / 2**20)
    assert (eight / one)[["weights", "activations"]].tolist() == [8, 8]


def test_rates_of_the_engine_are_named_in_words(report):
    rows = [
        ("peer", 1000, "images/s"),
        ("one run, bfloat16", 4000, "images/s"),
        ("8 runs packed, bfloat16", 9000, "images/s"),
        ("one run", 4000, "images/s"),  # again, beside its bar
        ("one run / peer", 4, "x"),
    ]
    found = report("engine_gpu", rows)
    assert found.machine == "A GPU"
    assert found.rates.to_dict() == {
        "a plain loop, float32": 1000,
        "ours, bfloat16": 4000,
        "8 runs at once, bfloat16": 9000,
    }


def test_other_reports_stand_with_a_line_a_case_and_units(report):
    rows = [
        ("crop, flip: PIL, DataLoader, 2 workers", 14993.8, "images/s"),
        ("crop, flip: ours", 752038.4, "images/s"),
        ("crop, flip: lowest ratio of 3 rounds", 47.2, "x"),
        ("crop, flip: ours / DataLoader", 50.16, "x"),
    ]
    found = report("data_path", rows, "A CPU, 1 threads")
    assert found.machine == "A CPU, one core"
    assert found.rates.empty
    assert found.wide.columns.tolist() == ["", "DataLoader", "ours", "ratio"]
    assert found.wide.iloc[0].tolist() == ["crop, flip", "14,994", "752,038", "50.2 times"]


def test_shipped_reports_can_be_read():
    scripts = {found.script for found in costs.reports()}
    assert {"engine_cpu", "data_path", "scaling"} <= scripts


@pytest.mark.parametrize(
    ("hours", "words"),
    [(0.53, "32 minutes"), (2, "2 hours"), (81.4, "81 hours"), (584, "24 days")],
)
def test_hours_are_said_as_a_person_would(hours, words):
    assert costs.in_words(hours) == words
