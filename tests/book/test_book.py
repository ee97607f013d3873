"""The built book, opened page by page in a browser that must not reach the network."""

import os
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import ci_book
import pytest

pytestmark = pytest.mark.slow

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--no-sandbox",  # CI is root
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
TOC = re.findall(r"(?:root|file): (\S+)", (ci_book.ROOT / "_toc.yml").read_text())
every_page = pytest.mark.parametrize("name", TOC)


@pytest.fixture(scope="module")
def html():
    return ci_book.built()


@pytest.fixture(scope="module")
def browser():
    ci_book.need("playwright")
    if not CHROMIUM.exists() and "LT_CI" not in os.environ:
        pytest.skip(f"no browser at {CHROMIUM}: apt install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield chromium
        chromium.close()


class Opened:
    """A page in the browser, and what it asked for and complained about."""

    def __init__(self, browser, address, **context):
        self.requests, self.complaints = [], []
        self.context = browser.new_context(**context)
        self.context.set_default_timeout(120_000)  # a page on a loaded machine
        self.page = self.context.new_page()
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._said)
        self.page.goto(address, wait_until="load")
        self.page.wait_for_function("!window.MathJax || MathJax.startup?.promise !== undefined")
        self.page.evaluate("window.MathJax?.startup?.promise")

    def _said(self, message):
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    @property
    def external(self):
        return [url for url in self.requests if not url.startswith(("file:", "data:", "blob:"))]


@pytest.fixture
def opened(browser, html):
    pages = []

    def open_page(name, **context):
        pages.append(Opened(browser, (html / f"{name}.html").as_uri(), **context))
        return pages[-1]

    yield open_page
    for page in pages:
        page.context.close()


@every_page
def test_a_page_asks_the_network_for_nothing_and_complains_of_nothing(opened, name):
    shown = opened(name)
    assert shown.external == []
    assert shown.complaints == []
    assert shown.page.locator("article h1").first.inner_text().strip()


@every_page
def test_formulas_are_rendered(opened, name):
    page = opened(name).page
    formulas = page.locator("article .math").count()
    assert page.locator("article mjx-container").count() >= formulas
    assert page.locator("mjx-merror, [data-mjx-error]").count() == 0
    assert "\\frac" not in page.locator("article").inner_text()
    if name.endswith(("notation", "softmax_gradient")):
        assert formulas > 5


@every_page
def test_pictures_are_there_and_described(opened, name):
    page = opened(name).page
    pictures = page.eval_on_selector_all(
        "article img", "all => all.map(i => [i.src, i.naturalWidth, i.alt, i.complete])"
    )
    for source, width, description, _ in pictures:
        assert width > 100, source
        assert len(description) > 20, source
    notebook = ci_book.ROOT / f"{name}.ipynb"
    if name.endswith("index") or (notebook.exists() and "plt.show()" in notebook.read_text()):
        assert pictures


#: Names of data sets that are broken at their hyphen, outside links and code.
BROKEN = """() => {
  const walker = document.createTreeWalker(document.querySelector("article"), NodeFilter.SHOW_TEXT);
  const broken = [], range = document.createRange();
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (node.parentElement.closest("a, pre, code, script, style, h1, h2, h3")) continue;
    for (const { index, 0: name } of node.data.matchAll(/\\b[A-Z]\\w*-(\\d+|LT)\\b/g)) {
      range.setStart(node, index), range.setEnd(node, index + name.length);
      if (range.getClientRects().length > 1) broken.push(name + ": " + node.data.slice(0, 60));
    }
  }
  return broken;
}"""


@pytest.mark.parametrize("name", [*TOC, "search", "genindex"])
def test_a_narrow_screen_scrolls_tables_and_not_the_page(opened, name):
    page = opened(name, viewport={"width": 390, "height": 800}).page
    widths = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert widths[0] <= widths[1]
    assert name not in TOC or page.evaluate(BROKEN) == []
    drawings = "[...document.querySelectorAll('article img[src$=\".svg\"]')]"
    reach = page.evaluate(f"{drawings}.map(e => e.getBoundingClientRect().right)")
    assert max(reach, default=0) <= 390  # no figure has to be scrolled


def test_the_dark_theme_is_dark_and_legible(opened):
    page = opened("book/index", color_scheme="dark").page
    background, text = page.evaluate(
        "['backgroundColor', 'color'].map(k => getComputedStyle(document.body)[k])"
    )
    brightness = [sum(map(int, re.findall(r"\d+", c)[:3])) / 3 for c in (background, text)]
    assert brightness[0] < 60
    assert brightness[1] > 180
    page.evaluate("dispatchEvent(new Event('beforeprint'))")  # on paper it is light
    assert page.evaluate("document.documentElement.dataset.theme") == "light"


#: What reaches beyond the edge of the paper, or is cut by what holds it.
CUT = """[...document.querySelectorAll(
    "article :is(p, li, figure, img, table, pre, .lt-explorable, .lt-explorable *)")]
  .filter(e => e.getBoundingClientRect().right > innerWidth + 1
    || (e.clientWidth && e.scrollWidth > e.clientWidth + 1
        && getComputedStyle(e).overflowX !== "visible"))
  .map(e => e.outerHTML.slice(0, 120))"""


@every_page
def test_a_page_on_paper_is_whole(opened, name):
    """At the width of A4 between its margins nothing is cut, pressed or folded away."""
    page = opened(name, viewport={"width": 718, "height": 1000}).page
    page.emulate_media(media="print")
    assert page.evaluate(CUT) == []
    pressed = ".lt-explorable :is(button:not(.lt-handle), input, select):visible"
    assert page.locator(pressed).count() == 0
    handles = page.locator(".lt-handle")  # they name the classes of the picture
    assert page.locator(".lt-handle:visible").count() == handles.count()
    for solution in page.locator("article details:not(.hide)").all():
        assert solution.evaluate("e => e.getBoundingClientRect().height") > 40


def test_the_book_is_also_one_page_to_be_printed(opened, html):
    shown = opened("book/whole", viewport={"width": 718, "height": 1000})
    shown.page.emulate_media(media="print")
    assert shown.external == shown.complaints == []
    assert shown.page.locator("h1").count() == len(TOC)
    formulas = sum(len(re.findall('class="math', (html / f"{n}.html").read_text())) for n in TOC)
    assert shown.page.locator("mjx-container").count() >= formulas > 100
    assert shown.page.locator("mjx-merror").count() == 0
    assert shown.page.evaluate(CUT) == []
    assert shown.page.evaluate(
        "new Set([...document.querySelectorAll('[id]')].map(e => e.id)).size"
        " === document.querySelectorAll('[id]').length"
    )


@every_page
def test_a_page_is_light(opened, name):
    """In bytes, with all that it asks for."""
    asked = {url.partition("?")[0] for url in opened(name).requests if url.startswith("file:")}
    files = [Path(unquote(url.removeprefix("file://"))) for url in asked]
    assert sum(path.stat().st_size for path in files) < 3.5e6


#: What is no prose: code and what it prints, tables of cells, figures and their captions, the
#: docstrings of the losses, and the list of references.
NO_PROSE = (
    ".cell_input, .highlight, pre, script, style, .cell_output table, .lt-explorable,"
    " .headerlink, details.hide > summary, dl.py, figcaption, div.citation"
)


def prose(page, *others):
    from bs4 import BeautifulSoup

    article = BeautifulSoup(page.read_text("utf-8"), "html.parser").find("article")
    for part in article.select(", ".join([NO_PROSE, *others])):
        part.decompose()
    for formula in article.select(".math"):
        formula.replace_with("formula")
    return article.get_text(" ")


def test_the_book_has_at_most_40_000_words(html):
    """The sentences that cells compute are counted with those that were written."""
    found = {name: len(prose(html / f"{name}.html").split()) for name in TOC}
    assert 20_000 < sum(found.values()) <= 40_000, found


@every_page
def test_sentences_write_numbers_with_a_true_minus_and_a_space_before_percent(html, name):
    plain = re.compile(r".{0,40}(?:(?<![\w.\-])-\.?\d|\d%).{0,20}")
    assert plain.findall(prose(html / f"{name}.html", "code")) == []


def test_search_works_from_a_file(opened):
    shown = opened("search")
    shown.page.goto(shown.page.url + "?q=seesaw")
    shown.page.wait_for_selector("#search-results li a")
    excerpt = shown.page.wait_for_selector("#search-results p.context").inner_text()
    assert "seesaw" in excerpt.lower()
    assert shown.external == []


def test_figures_hold_a_picture(html):
    figures = list((html / "_images").rglob("*.svg"))
    assert len(figures) >= 30
    for path in figures:
        assert path.read_text().count("<use ") > 10, f"{path.name} is blank"
    assert not list((html / "_images").rglob("*.png"))


#: Words of a drawing of matplotlib that reach beyond it, and pairs that lie on one another.
ILL_PLACED = """() => {
  const box = e => e.getBoundingClientRect(), all = box(document.querySelector("svg"));
  const words = [...document.querySelectorAll("g[id^=text_]")].map(g => [box(g),
    [...g.childNodes].find(n => n.nodeType === Node.COMMENT_NODE)?.data.trim() ?? g.id]);
  const shared = (a, b, from, to) => Math.min(a[to], b[to]) - Math.max(a[from], b[from]);
  const both = (a, b) => Math.min(shared(a, b, "left", "right"), shared(a, b, "top", "bottom"));
  const cut = words.filter(([b]) => b.width && (b.left < all.left - 1 || b.right > all.right + 1
    || b.top < all.top - 1 || b.bottom > all.bottom + 1)).map(([, word]) => word);
  const pairs = words.flatMap(([a, one], i) => words.slice(i + 1)
    .filter(([b]) => both(a, b) > 1).map(([, other]) => one + " | " + other));
  return [...cut, ...pairs];
}"""


def test_words_in_figures_are_not_cut_and_not_on_one_another(browser, html):
    page = browser.new_page()
    found = {}
    for path in (html / "_images").rglob("*.svg"):
        page.set_content("<body>" + path.read_text().partition("?>")[2])
        if wrong := page.evaluate(ILL_PLACED):
            found[path.name] = wrong
    page.close()
    assert found == {}


class Links(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.targets, self.anchors = [], {""}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        self.anchors |= {named[key] for key in ("id", "name") if named.get(key)}
        self.targets += [named[key] for key in ("href", "src") if named.get(key)]


def test_no_link_or_anchor_is_broken(html):
    files = [path for path in html.rglob("*.html") if "_static" not in path.parts]
    pages = {path: Links(path.read_text("utf-8")) for path in files}
    broken = []
    for path, links in pages.items():
        for target in links.targets:
            if re.match(r"(https?|mailto|data|javascript):", target):
                continue
            address, anchor = urldefrag(target)
            address = unquote(address.partition("?")[0])
            there = (path.parent / address).resolve() if address else path
            known = pages[there].anchors if there in pages else {"", anchor}
            if not there.exists() or unquote(anchor) not in known:
                broken.append(f"{path.relative_to(html)} -> {target}")
    assert broken == []


SECRETS = re.compile(
    r"ghp_\w{20,}|github_pat_\w{20,}|AKIA[0-9A-Z]{16}|sk-[A-Za-z0-9]{20,}|hf_[A-Za-z]{20,}"
    r"|BEGIN (RSA |OPENSSH )?PRIVATE KEY"
)
PLACES = re.compile(r"(?<![\w.:/])/(home|root|Users|tmp|work|var/folders)/[\w.-]+")


def test_nothing_of_this_machine_is_in_the_pages(html):
    found = []
    for path in html.rglob("*"):
        if (
            path.suffix in (".html", ".ipynb", ".md", ".txt", ".json")
            or path.name == "searchindex.js"
        ):
            text = path.read_text("utf-8")
            hits = [match[0] for match in (*SECRETS.finditer(text), *PLACES.finditer(text))]
            hits += [str(ci_book.ROOT)] * (str(ci_book.ROOT) in text)
            found += [f"{path.relative_to(html)}: {hit}" for hit in hits]
    assert found == []


def test_no_formula_is_left_as_text(html):
    verbatim = re.compile(r"<(script|style|pre|code)\b.*?</\1>", re.DOTALL)
    found = []
    for path in html.rglob("*.html"):
        text = re.sub(r"<[^>]+>", "", verbatim.sub("", path.read_text("utf-8")))
        found += [f"{path.relative_to(html)}: {hit}" for hit in re.findall(r"\$[^$\n]+\$", text)]
    assert found == []


def test_no_output_is_the_name_of_an_object(html):
    """As an empty text is shown: ``<IPython.core.display.Markdown object>``."""
    named = re.compile(r"&lt;[\w.]+ object(?: at 0x\w+)?&gt;")
    found = {page: named.findall((html / f"{page}.html").read_text("utf-8")) for page in TOC}
    assert {page: hits for page, hits in found.items() if hits} == {}


def test_every_page_of_the_contents_is_there(html):
    assert [name for name in TOC if not (html / f"{name}.html").exists()] == []
    assert (html / "index.html").exists()
    assert sum(p.stat().st_size for p in html.rglob("*") if p.is_file()) < 40e6


@pytest.mark.parametrize("name", [name for name in TOC if name.startswith("notebooks/")])
def test_colab_opens_the_notebook_of_the_page(html, name):
    links = Links((html / f"{name}.html").read_text("utf-8")).targets
    slug, branch = ci_book.REPOSITORY.partition("github.com")[2], "main"
    wanted = f"https://colab.research.google.com/github{slug}/blob/{branch}/{name}.ipynb"
    assert wanted in links


def test_the_address_of_the_repository_stands_in_one_place():
    """And in the notebooks' first cells, which Colab opens without the rest of the book."""
    written = [
        path.relative_to(ci_book.ROOT).as_posix()
        for pattern in ("*.*", "book/**/*.*", "lt_core/**/*.py", ".ci/*", "tests/**/*.py")
        for path in ci_book.ROOT.glob(pattern)
        if path.is_file() and ci_book.REPOSITORY.encode() in path.read_bytes()
    ]
    assert written == ["CITATION.cff", "_config.yml"]  # who cites needs it too


#: What axe finds in the theme's own elements, and where alone it may find it.
THEIRS = {
    "label-content-name-mismatch": ".search-button-field",  # named "Search", shows keys as well
    "region": ".navbar-brand",  # the book's title lies outside of the landmarks
}


@pytest.mark.parametrize("name", [*TOC, "search", "genindex"])
def test_axe_finds_nothing_that_is_ours(opened, name):
    ci_book.need("axe_playwright_python")
    from axe_playwright_python.sync_playwright import Axe

    page = opened(name).page
    found = Axe().run(page, options={"preload": False}).response["violations"]
    ours = []
    for rule in found:
        for node in rule["nodes"]:
            allowed = THEIRS.get(rule["id"])
            where = page.locator(node["target"][0]).first
            if not allowed or not where.evaluate(
                "(e, allowed) => !!(e.matches(allowed) || e.querySelector(allowed))", allowed
            ):
                ours.append((rule["id"], node["html"][:120]))
    assert ours == []
