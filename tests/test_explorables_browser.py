"""The explorable figures in a browser: keys, pictures, silence, and Python's numbers."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from test_explorables import HOSTILE, KINDS, make, trackers

from lt_core.plots import explorables
from lt_core.plots.explorables import three_classes as model
from lt_core.plots.explorables.figure import page_file

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--no-sandbox",  # CI is root
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PAGE = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>figure</title>'
    "<body><main>{}</main></body></html>"
)


@pytest.fixture(scope="module")
def browser():
    if "LT_CI" not in os.environ:
        pytest.importorskip(
            "playwright", reason="playwright is not installed: pip install -e .[all]"
        )
        if not CHROMIUM.exists():
            pytest.skip(f"no browser at {CHROMIUM}: apt install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser, tmp_path):
    """``open(html, ...)`` gives a page; at the end, nothing was asked for and nothing failed."""
    contexts, requests, complaints = [], [], []

    def open_page(html, **options):
        file = tmp_path / f"{len(contexts)}.html"
        file.write_text(PAGE.format(html), encoding="utf-8")
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text))
        page.goto(file.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [url for url in requests if not re.match(r"file://.*/\d\.html$|data:image", url)] == []
    assert complaints == []


def settle(page):
    """Wait until what a key asked for is drawn."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")


def drawing(page):
    settle(page)
    return page.locator(".lt-drawing").inner_html()


@pytest.mark.parametrize("kind", KINDS)
def test_every_slider_answers_the_keyboard(opened, kind):
    page = opened(make(kind)._repr_html_())
    assert page.locator(".lt-static").count() == 0
    assert page.locator(".lt-drawing").is_visible()
    sliders = page.get_by_role("slider").all()
    assert len(sliders) == {"bins": 1, "gradients": 2, "boundaries": 5}[kind]
    for slider in sliders:
        before, said = drawing(page), page.locator(".lt-status").inner_text()
        value = slider.get_attribute("aria-valuetext")
        slider.focus()
        page.keyboard.press("ArrowLeft")
        if slider.get_attribute("aria-valuetext") == value:  # it stood at its left end
            for _ in range(10):
                page.keyboard.press("ArrowRight")
        assert drawing(page) != before
        assert page.locator(".lt-status").inner_text() != said
        assert slider.get_attribute("aria-valuetext") != value


@pytest.mark.parametrize("kind", KINDS)
def test_every_control_has_a_name_and_can_be_reached(opened, kind):
    page = opened(make(kind)._repr_html_())
    controls = page.locator("input, button")
    reached = set()
    for _ in range(controls.count()):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "() => document.activeElement.labels?.[0]?.innerText.trim() "
                "|| document.activeElement.innerText"
            )
        )
    assert "" not in reached
    assert len(reached) == controls.count()
    assert page.locator(".lt-status").get_attribute("aria-live") == "polite"
    assert page.locator(".lt-drawing").get_attribute("aria-label")


@pytest.mark.parametrize("kind", KINDS)
def test_without_scripts_the_picture_shows(opened, kind):
    page = opened(make(kind)._repr_html_(), java_script_enabled=False)
    picture = page.locator(".lt-static")
    assert picture.is_visible()
    assert picture.bounding_box()["width"] > 300
    assert page.locator(".lt-drawing").count() == 0
    assert page.locator("noscript p").is_visible()


def test_play_stops_at_the_end(opened):
    page = opened(explorables.logit_forces(trackers(), start=1)._repr_html_())
    page.get_by_role("button", name="Play").click()
    assert page.locator(".lt-status").get_attribute("aria-live") == "off"
    page.get_by_role("button", name="Play").wait_for()
    assert page.get_by_label("Moment").get_attribute("aria-valuetext") == "epoch 3"
    assert page.locator(".lt-status").get_attribute("aria-live") == "polite"


def test_hostile_names_stay_text(opened):
    figure = explorables.logit_forces(trackers(), title=HOSTILE, class_names=[HOSTILE] * 4)
    page = opened(figure._repr_html_())
    settle(page)
    assert page.locator("figcaption").inner_text() == HOSTILE
    assert page.locator("img").count() == 0
    assert "</script>" in page.locator(".lt-status").inner_text()


def test_a_figure_may_stand_twice_beside_others(opened):
    page = opened("".join(make(kind)._repr_html_() for kind in (*KINDS, "bins")))
    settle(page)
    assert page.locator(".lt-drawing").count() == 4
    assert page.evaluate("() => document.querySelectorAll('[id]').length") == 0


@pytest.mark.parametrize("kind", KINDS)
def test_follows_the_theme(opened, kind):
    page = opened(make(kind)._repr_html_())
    paper = "() => getComputedStyle(document.querySelector('.lt-explorable')).backgroundColor"
    seen = {}
    for theme in ("light", "dark"):
        page.evaluate(f"() => {{ document.documentElement.dataset.theme = '{theme}'; }}")
        seen[theme] = page.evaluate(paper)
    assert seen == {"light": "rgb(255, 255, 255)", "dark": "rgb(23, 28, 35)"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [400, 760])
def test_nothing_runs_over(opened, kind, width):
    page = opened(make(kind)._repr_html_(), viewport={"width": width, "height": 800})
    settle(page)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    # No text beyond the drawing's own edges.
    beyond = page.evaluate(
        """() => {
          const box = document.querySelector('.lt-drawing').getBoundingClientRect();
          return [...document.querySelectorAll('.lt-drawing text')].filter((text) => {
            const own = text.getBoundingClientRect();
            return own.left < box.left - 1 || own.right > box.right + 1 ||
              own.top < box.top - 1 || own.bottom > box.bottom + 1;
          }).map((text) => text.textContent);
        }"""
    )
    assert beyond == []


def test_a_click_chooses_the_nearest_sample(opened):
    page = opened(make("boundaries")._repr_html_())
    slider = page.get_by_label("Sample", exact=True)
    assert slider.get_attribute("aria-valuetext") != "head 1"
    page.locator(".lt-drawing .lt-point").first.click(force=True)
    assert slider.get_attribute("aria-valuetext") == "head 1"


@pytest.mark.parametrize("factor", [1, 10, 50])
@pytest.mark.parametrize(
    "strengths",
    [{}, {"gamma": 0.8}, {"lambda": 1.5}, {"tau": 1.0}, {"gamma": 0.3, "lambda": 0.5, "tau": 0.4}],
    ids=str,
)
def test_the_page_computes_what_python_computes(opened, factor, strengths):
    """Same weights, theta, margin and recall, and gradients of every point, to 1e-9."""
    strengths = {"gamma": 0, "lambda": 0, "tau": 0} | strengths
    data = explorables.decision_boundaries().data
    counts = data["counts"][data["factors"].index(factor)]
    arguments = json.dumps([data["training"], data["heldOut"], counts, strengths, data["descent"]])
    page = opened("")
    found = page.evaluate(
        f"""() => {{
          {page_file("boundaries_model.js")}
          const [training, heldOut, counts, strengths, descent] = {arguments};
          const {{ weights, theta, margin }} = train(training, counts, strengths, descent);
          const gradient = counts.flatMap((count, y) => training[y].slice(0, count)
            .map((point) => gradientAt(weights, point, y, margin)));
          const regions = counts.map((_, k) => region(weights, k, {model.LIMIT}));
          return {{ weights, theta, margin, gradient, regions,
                   recall: recall(weights, heldOut) }};
        }}"""
    )
    gamma, lambda_, tau = strengths.values()
    wanted = model.train(factor, gamma, lambda_, tau)
    for name in ("weights", "theta", "margin", "recall"):
        np.testing.assert_allclose(found[name], wanted[name], rtol=1e-9, atol=1e-9, err_msg=name)
    own = [each[:count] for each, count in zip(model.points()[0], counts, strict=True)]
    inputs = np.c_[np.concatenate(own), np.ones(sum(counts))]
    target = np.repeat(np.arange(3), counts)
    gradient = model.logit_gradient(wanted["weights"], inputs, target, wanted["margin"])
    np.testing.assert_allclose(found["gradient"], gradient, rtol=0, atol=1e-9)
    areas = [area(corners) for corners in found["regions"]]
    assert sum(areas) == pytest.approx((2 * model.LIMIT) ** 2)  # the regions tile the square
    for k, corners in enumerate(found["regions"]):
        middle = np.mean(corners, axis=0)
        assert (wanted["weights"] @ [*middle, 1]).argmax() == k


def area(corners):
    x, y = np.array(corners).T
    return abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def test_numbers_in_words_are_those_of_the_data(opened):
    """What a screen reader hears: pull, push and their ratio at the moment chosen."""
    made = trackers()
    page = opened(explorables.logit_forces(made, start=1)._repr_html_())
    settle(page)
    said = page.locator(".lt-status").inner_text()
    pulled, pushed, ratio = map(
        float,
        re.search(
            r"up by ([\d.]+), pushed down by ([\d.]+), pull / push ([\d.]+\d)", said
        ).groups(),
    )
    assert pulled == pytest.approx(made[1].positive[-1].item(), rel=1e-2)
    assert pushed == pytest.approx(made[1].received[-1].item(), rel=1e-2)
    assert ratio == pytest.approx(made[1].ratio[-1].item(), rel=2e-2)
