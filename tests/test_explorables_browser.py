"""The explorable figures in a browser: keys, pictures, silence, and Python's numbers."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
from test_explorables import HOSTILE, KINDS, make, trackers

from lt_core.data import class_counts
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
        contexts[-1].set_default_timeout(120_000)  # a page on a loaded machine
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
    if kind == "three-classes":
        page.get_by_role("button", name="Show the answer").click()
        settle(page)
    sliders = page.get_by_role("slider").all()
    assert len(sliders) == {"bins": 1, "gradients": 2, "three-classes": 2}[kind]
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


def test_boundaries_are_drawn_once_and_without_the_frame(opened):
    """What is dashed twice looks solid, and the edge of the picture is no boundary."""
    page = opened(make("three-classes")._repr_html_())
    page.get_by_role("button", name="Show the answer").click()
    settle(page)
    for line in ("lt-baseline", "lt-ink"):
        paths = page.locator(f".lt-drawing path.{line}[stroke-width]").all()
        edges = [edge for path in paths for edge in path.get_attribute("d")[1:].split("M")]
        ends = [[tuple(end.split()) for end in edge.split("L")] for edge in edges]
        assert 2 <= len(ends) == len({frozenset(edge) for edge in ends})
        for one, other in ends:
            inner = {float(x) for x, same in zip(one, other, strict=True) if x == same}
            assert 0.0 not in inner, "an edge of the frame"


@pytest.mark.parametrize("kind", KINDS)
def test_every_control_has_a_name_and_can_be_reached(opened, kind):
    page = opened(make(kind)._repr_html_())
    controls = page.locator("input, button")
    reached = set()
    for _ in range(controls.count()):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "() => document.activeElement.ariaLabel || document.activeElement.innerText "
                "|| document.activeElement.labels[0].innerText.trim()"
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


TAIL = re.compile(r"Of the tail ([\d.]+)\s%")


def three_classes(opened, remedy="prior", **options):
    page = opened(explorables.decision_boundaries(remedy)._repr_html_(), **options)
    settle(page)
    return page


def tail_found(page):
    settle(page)
    return float(TAIL.search(page.locator(".lt-status").inner_text())[1]) / 100


@pytest.mark.parametrize("remedy", ["softmax", "prior"])
def test_a_guess_comes_before_the_answer(opened, remedy):
    page = three_classes(opened, remedy)
    before = model.train("softmax", factor=1 if remedy == "softmax" else model.FACTOR)
    assert f"{100 * before['recall'][2]:.1f}" in page.locator(".lt-guess").inner_text()
    assert not TAIL.search(page.locator(".lt-status").inner_text())
    shares = page.locator(".lt-shares tbody").inner_text()
    assert f"{100 * model.train(remedy)['recall'][0]:.1f}" not in shares
    guess = page.get_by_label("your guess")
    guess.focus()
    page.keyboard.press("ArrowRight")
    page.get_by_role("button", name="Show the answer").click()
    assert tail_found(page) == pytest.approx(model.train(remedy)["recall"][2])
    assert "You guessed 55" in page.locator(".lt-status").inner_text()
    assert not page.locator(".lt-guess").is_visible()


def test_a_chapters_own_question_stands_in_the_place_of_the_guess(opened):
    figure = explorables.decision_boundaries("prior", question=HOSTILE)._repr_html_()
    page = opened(figure, java_script_enabled=False)
    assert HOSTILE in page.locator(".lt-question").inner_text()
    page = opened(figure)
    settle(page)
    assert HOSTILE in page.locator(".lt-guess").inner_text()
    assert not page.get_by_label("your guess").count()
    page.get_by_role("button", name="Show the answer").click()
    assert tail_found(page) == pytest.approx(model.train("prior")["recall"][2])
    assert "You guessed" not in page.locator(".lt-status").inner_text()
    assert not page.locator(".lt-question").is_visible()


@pytest.mark.parametrize("kind", ["bins", "gradients"])
def test_the_address_holds_the_sliders_and_reset_puts_them_back(opened, kind):
    page = opened(make(kind)._repr_html_())
    settle(page)
    moment = page.get_by_label("Moment")
    start = moment.input_value()
    assert "#" not in page.url  # until something is moved
    moment.press("Home")
    settle(page)
    assert f"#{kind}=0," in page.url
    page.reload()
    settle(page)
    assert moment.input_value() == "0"
    page.get_by_role("button", name="Reset").click()
    settle(page)
    assert moment.input_value() == start
    assert "#" not in page.url
    for broken in ("0", "0,99", "0.5,0", "%"):
        page.goto(page.url.partition("#")[0] + f"#{kind}=" + broken)
        page.reload()
        settle(page)
        assert moment.input_value() == start


def test_the_chosen_preset_is_pressed_and_reset_goes_back(opened):
    page = three_classes(opened)

    def pressed():
        return page.locator("button[aria-pressed=true]").all_inner_texts()

    assert pressed() == ["prior"]
    for name in model.REMEDIES:
        page.get_by_role("button", name=name, exact=True).click()
        assert pressed() == [name]
        assert tail_found(page) == pytest.approx(model.train(name)["recall"][2])
    page.get_by_role("button", name="Reset").click()
    assert pressed() == ["prior"]
    assert "#" not in page.url


def test_the_address_holds_the_state(opened):
    page = three_classes(opened)
    page.get_by_role("button", name="margin").click()
    page.get_by_role("slider", name="imbalance factor").press("End")
    handle = page.get_by_role("button", name="tail, centre")
    handle.press("ArrowLeft")
    centers = [*model.CENTERS[:2], (0.0, 1.0)]
    wanted = model.train("margin", factor=50, centers=centers)["recall"][2]
    assert tail_found(page) == pytest.approx(wanted)
    assert page.url.endswith("#three-classes=margin,0.8,50,400,-0.9,-0.6,1,-0.7,0,1")
    page.reload()
    assert tail_found(page) == pytest.approx(wanted)
    assert page.locator("button[aria-pressed=true]").inner_text() == "margin"
    for broken in ("mixup,1,50,400,0,0,1,1,2,2", "prior,1,50,400,0,0,1,1,2,9", "prior", "%"):
        page.goto(page.url.partition("#")[0] + "#three-classes=" + broken)
        page.reload()
        settle(page)
        assert page.locator(".lt-guess").is_visible()  # as it opens


def test_a_class_can_be_dragged(opened):
    page = three_classes(opened)
    box = page.get_by_role("button", name="tail, centre").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 40, y + 40, steps=3)
    page.mouse.up()
    place = [float(v) for v in page.url.split(",")[-2:]]
    assert place[0] > 0.2
    assert place[1] < 0.9
    found = model.train("prior", centers=[*model.CENTERS[:2], place])["recall"][2]
    assert tail_found(page) == pytest.approx(found)


def test_controls_stay_in_view_on_a_phone(opened):
    """Also inside the book's outputs, which the theme lets scroll sideways."""
    figure = explorables.decision_boundaries("prior")._repr_html_()
    page = opened(
        '<div class="bd-content"><div class="cell_output" style="height: auto">'
        "<style>.cell_output { overflow: auto }</style>"
        f'{figure}</div></div><div style="height: 2000px"></div>',
        viewport={"width": 390, "height": 700},
    )
    page.get_by_role("button", name="Show the answer").click()
    settle(page)
    row = page.get_by_role("row", name="tail").bounding_box()["y"]
    page.evaluate(f"() => window.scrollTo(0, {row - 350})")
    settle(page)
    assert 0 < page.get_by_role("slider", name="strength of prior").bounding_box()["y"] < 350


@pytest.mark.parametrize("remedy", model.REMEDIES)
def test_the_page_computes_what_the_losses_compute(opened, remedy):
    """Weights, pull, push and recall, at every strength: those of lt_core's loss to 1e-9."""
    scripts = page_file("common.js") + page_file("three_classes_model.js")
    chosen, page = model.REMEDIES[remedy], opened("")
    settings = [(value, 10, 30, 0) for value in chosen.values]
    settings += [(chosen.preset, factor, 400, 0.3) for factor in (1, 10, 50)]
    for strength, factor, steps, moved in settings:
        centers = np.array(model.CENTERS) + np.array([moved, -moved])
        training, held_out = (each.tolist() for each in model.points(centers))
        counts = class_counts(3, model.HEAD, factor)
        given = [[own[:n] for own, n in zip(training, counts, strict=True)], held_out]
        given += [remedy, strength, steps]
        descent = {"first": model.FIRST, "rate": model.RATE, "decay": model.DECAY}
        found = page.evaluate(
            f"""([points, heldOut, remedy, strength, steps, descent]) => {{
              {scripts}
              const found = train(points, remedy, strength, steps, descent);
              const regions = points.map((_, k) => region(found.weights, k, {model.LIMIT}));
              return {{ ...found, regions, recall: recall(found.weights, heldOut) }};
            }}""",
            [*given, descent],
        )
        wanted = model.train(remedy, strength, factor, steps, centers)
        for name, values in wanted.items():
            np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-9, err_msg=name)
        areas = [area(corners) for corners in found["regions"] if corners]
        assert sum(areas) == pytest.approx((2 * model.LIMIT) ** 2)  # the regions tile the square


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
