"""The explorable figures: their numbers, their words, and what a reader can do with them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import beta

from lt_core import losses
from lt_core.errors import ConfigError
from lt_core.gradients import GradientTracker
from lt_core.plots import explorables
from lt_core.plots.explorables import adaptive_bins
from lt_core.plots.explorables import three_classes as model
from lt_core.plots.explorables.figure import MOST_DATA, page_file, rounded

CHAPTERS = Path(__file__).parents[1] / "notebooks"
CLASSES = 4
HOSTILE = "</script><img src=x onerror=alert(1)>\"'&"


def recorded(moments=3, per_class=40, seed=0):
    """Gradients that approach 0 from moment to moment, and their targets."""
    rng = np.random.default_rng(seed)
    gradients = [rng.beta(1.0 / (1 + t), 1 + 3 * t, CLASSES * per_class) for t in range(moments)]
    return gradients, [rng.permutation(np.repeat(np.arange(CLASSES), per_class))] * moments


def trackers(moments=3):
    generator = torch.Generator().manual_seed(0)
    made = []
    for t in range(moments):
        tracker = GradientTracker(CLASSES)
        target = torch.randint(CLASSES, (200,), generator=generator)
        logits = torch.randn(200, CLASSES, generator=generator)
        logits[torch.arange(200), target] += 2.0 * t
        tracker.update(logits, target)
        made.append(tracker)
    return made


KINDS = {
    "bins": explorables.density_bins,
    "gradients": explorables.logit_forces,
    "three-classes": explorables.decision_boundaries,
}


def make(kind):
    arguments = {"bins": (*recorded(), CLASSES, (0, CLASSES - 1)), "gradients": (trackers(),)}
    return KINDS[kind](*arguments.get(kind, ()))


@pytest.mark.parametrize("kind", KINDS)
def test_html_stands_alone(kind):
    figure = make(kind)
    html = figure._repr_html_()
    assert html == make(kind)._repr_html_()  # the same data make the same page
    assert not re.search(
        r"(https?:)?//(?!www\.w3\.org/2000/svg)[\w.]+\.\w", html.split("</style>")[1]
    )
    assert not re.search(r"\b(fetch|XMLHttpRequest|import|eval|innerHTML)\b", html)
    assert "@import" not in html
    assert "url(" not in html
    assert len(html) < 300_000
    assert repr(figure).startswith(f"Explorable('{kind}'")


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_stands_where_scripts_do_not_run(kind):
    figure = make(kind)
    html = figure._repr_html_()
    assert figure.picture.startswith(b"\x89PNG")
    assert len(figure.alt) > 40
    # Before any script, and without one, the picture is plain content of the page.
    assert html.index('<img class="lt-static"') < html.index("<script")
    assert "<noscript>" in html


@pytest.mark.parametrize("function", [function.__name__ for function in KINDS.values()])
def test_each_stands_in_a_chapter(function):
    """A cell of some chapter ends in the figure, with the caption of a figure."""
    shown = [
        cell
        for path in sorted(CHAPTERS.glob("*.ipynb"))
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == "code"
        and re.search(rf"^{function}\(", "".join(cell["source"]), re.M)
    ]
    assert [cell["metadata"]["mystnb"]["figure"]["caption"][:1] for cell in shown] != []


@pytest.mark.parametrize(
    "name",
    [
        "address.js",
        "bins.js",
        "common.js",
        "gradients.js",
        "three_classes.js",
        "three_classes_model.js",
    ],
)
def test_scripts_are_short(name):
    assert page_file(name).count("\n") < 230


def test_text_is_escaped():
    figure = explorables.logit_forces(trackers(), title=HOSTILE, class_names=[HOSTILE] * CLASSES)
    html = figure._repr_html_()
    assert html.count("</script>") == 2
    assert "<img src=x" not in html
    stored = re.search(r'application/json">(.*?)</script>', html).group(1)
    assert json.loads(stored) == json.loads(json.dumps(figure.data))


def test_rounded():
    assert rounded([[1.0, 0.123456], [np.nan, 1e-9]]) == [[1, 0.1235], [None, 1e-9]]


def test_large_data_is_refused():
    with pytest.raises(ConfigError, match=f"at most {MOST_DATA // 1000} kB"):
        explorables.logit_forces([np.ones((200, 200)) / 3 - np.eye(200) / 3])


# bins


def test_frames_are_those_of_the_loss():
    gradients, targets = recorded()
    figure = explorables.density_bins(gradients, targets, CLASSES, (0, CLASSES - 1), memory=30)
    frames = figure.data["frames"]
    loss = losses.create("icb", [40] * CLASSES, inter=False, normalize="none", memory=30)
    for gradient, target in zip(gradients, targets, strict=True):
        for g, y in zip(
            torch.as_tensor(gradient).split(128), torch.as_tensor(target).split(128), strict=True
        ):
            loss.density(g, y, torch.ones(len(y), dtype=torch.bool), True)
    edges = loss.density.edges()
    for shown, rank in zip(frames[-1], (0, CLASSES - 1), strict=True):
        np.testing.assert_allclose(shown["adaptiveEdges"], edges[rank], rtol=1e-3, atol=1e-9)
        mass = np.array(shown["adaptive"]) * np.diff(shown["adaptiveEdges"])
        np.testing.assert_allclose(mass, 1 / 12, rtol=2e-2)  # equal, and 1 in all
        mass = np.array(shown["uniform"]) * np.diff(shown["uniformEdges"])
        assert (mass >= 0).all()


def test_reference_finds_a_known_density():
    rng = np.random.default_rng(1)
    samples = rng.beta(0.3, 6, 2000)
    at = rng.beta(0.3, 6, 300).clip(1e-9)
    density = adaptive_bins.reference_density(samples, at)
    assert np.abs(np.log(density) - beta.logpdf(at, 0.3, 6)).mean() < 0.15


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gradients": []}, "as many of one"),
        ({"gradients": [np.array([1.5])] * 3}, r"gradients\[0\]"),
        ({"targets": [np.array([0.0])] * 3}, "whole targets"),
        ({"class_ranks": (0, 9)}, "class_ranks"),
        ({"class_ranks": (0, 1, 2)}, "class_ranks: expected two"),
        ({"class_names": ["a"]}, "class_names: expected 2"),
    ],
)
def test_bins_refuses(change, message):
    gradients, targets = recorded()
    arguments = {"gradients": gradients, "targets": targets, "class_ranks": (0, 3)} | change
    with pytest.raises(ConfigError, match=message):
        explorables.density_bins(num_classes=CLASSES, **arguments)


def test_bins_of_a_class_not_seen_yet_are_refused():
    gradients, targets = recorded()
    targets = [np.minimum(each, 2) for each in targets]
    with pytest.raises(ConfigError, match=r"class_ranks.*\(0, 3\).*are \[0, 1, 2\]"):
        explorables.density_bins(gradients, targets, CLASSES, (0, 3))


def test_bins_at_the_ends():
    """g exactly 0 and 1, and one sample only: every number stays finite."""
    frames = adaptive_bins.density_frames(
        [(np.array([0.0, 1.0, 1.0]), np.array([0, 1, 1]))], 2, (0, 1), number=12, memory=5
    )
    for frame in frames[0]:
        assert all(np.isfinite(value).all() for value in frame.values())


# gradients


def test_gradients_take_trackers_or_arrays():
    arrays = [tracker.negative.numpy() for tracker in trackers()]
    assert explorables.logit_forces(arrays).data == explorables.logit_forces(trackers()).data
    np.testing.assert_allclose(
        explorables.logit_forces(arrays).data["negative"], arrays, rtol=6e-3, atol=0
    )


def test_a_moment_that_there_is_not_is_refused():
    assert explorables.logit_forces(trackers(), start=0).data["start"] == 0
    for start in (3, -4):
        with pytest.raises(ConfigError, match=f"start: expected a moment from 0 to 2, got {start}"):
            explorables.logit_forces(trackers(), start=start)


@pytest.mark.parametrize(
    ("snapshots", "message"),
    [
        ([], "at least one"),
        ([np.ones((2, 3))], "of one shape"),
        ([np.ones((2, 2))], "diagonal"),
        ([-np.ones((2, 2))], "at least 0"),
        ([np.full((2, 2), np.nan)], "finite"),
    ],
)
def test_gradients_refuses(snapshots, message):
    with pytest.raises(ConfigError, match=message):
        explorables.logit_forces(snapshots)


# boundaries


@pytest.mark.parametrize(("name", "given"), [("remedy", "mixup"), ("steps", 7)])
def test_boundaries_refuses(name, given):
    with pytest.raises(ConfigError, match=f"{name}: expected one of .*, got {given!r}"):
        explorables.decision_boundaries(**{name: given})


def test_what_the_chapters_say_of_the_three_classes():
    tail = {name: model.train(name)["recall"][2] for name in model.REMEDIES}
    mean = {name: model.train(name)["recall"].mean() for name in ("softmax", "prior")}
    assert tail["softmax"] < tail["margin"] < tail["prior"]
    assert mean["prior"] > mean["softmax"] + 0.03
    assert max(tail["focal"], tail["ICB"]) < tail["softmax"]
    early, late = (model.train("softmax", steps=steps) for steps in (10, 400))
    assert early["pull"][2] / early["push"][2] < 0.7
    assert late["pull"][2] / late["push"][2] == pytest.approx(1, abs=0.05)
    weight = [model.train("weight", factor=50, steps=steps)["recall"][0] for steps in (10, 400)]
    assert weight[0] < weight[1] - 0.02  # the boundary returns towards softmax's


@pytest.mark.parametrize("remedy", model.REMEDIES)
def test_a_preset_is_a_value_of_its_slider(remedy):
    chosen = model.REMEDIES[remedy]
    assert chosen.preset in chosen.values
    assert ("{strength}" in chosen.words) == (len(chosen.values) > 1)
    assert losses.create(chosen.loss(chosen.preset)[0], [5, 2, 1], **chosen.loss(chosen.preset)[1])
