"""Sphinx extension: pages say to a screen reader what they say to the eye, tables in one look."""

import html
import re

from bs4 import BeautifulSoup
from docutils import nodes

#: The label of a folded cell, the same for all of them, hides what the cell's text says.
LABEL = '<summary aria-label="Toggle hidden content">'
#: Roles of a list of references that browsers have given up, and a list without list items.
ROLES = re.compile(r' role="(?:doc-biblioentry|doc-backlink|list)"')
#: A corner of a table, which heads nothing.
CORNER = re.compile(r"<th([^>]*)>(?:\s|&nbsp;|<p></p>)*</th>")
STYLE = re.compile(r"<style scoped>.*?</style>", re.DOTALL)  # that of pandas, for all tables
TABLE = re.compile(r'<table[^>]*class="(?:dataframe|lt-table)\b.*?</table>', re.DOTALL)
NUMBER = re.compile(r"(?:< |[-\u2212+])?(?:\.?\d|\u221e)")  # how a number begins
HASH = re.compile(r"[0-9a-f]{12,}$")  # the key of a run
ALONE = re.compile(r"(?:< |[-\u2212+])?[\d.,]*\d(?: ?%)?$")  # a number and nothing else
LIGHT_ON_PAPER = """{ const page = document.documentElement.dataset; let theme;
addEventListener("beforeprint", () => { theme = page.theme; page.theme = "light"; });
addEventListener("afterprint", () => { page.theme = theme; }); }"""
NAME = re.compile(r"\b(?:[A-Z]\w*-(?:\d+|LT)|top-1|τ-\w+)\b")  # CIFAR-10, ImageNet-LT
SUMMARY = re.compile(r"(?<=<summary>)[^<]+(?=</summary>)")
NOTHING = ("\N{EN DASH}", "NaN", "None", "")


def table(match):
    """A table of a cell: columns of numbers marked, a true minus, one header row if it can be."""
    tree = BeautifulSoup(match[0], "html.parser").table
    del tree["border"]
    for caption in tree.find_all("caption", string=True):
        caption.string = re.sub(r"(?<=\d) (?=%)|(?<=±) |(?<=factor) ", "\xa0", caption.string)
    tree["class"] = ["lt-table", "tex2jax_ignore", "mathjax_ignore"]
    head = tree.thead.find_all("tr")
    rows = [row.find_all("td") for row in tree.tbody.find_all("tr")]
    width = len(rows[0]) if rows else 0
    for row in head:
        del row["style"]
    if len(head) > 1:  # the last row of pandas names the index, above it corners are empty
        above, names = (row.find_all("th") for row in head[-2:])
        index = len(names) - width
        if not any(cell.get_text() for cell in above[:index] + names[index:]):
            for cell, name in zip(above, names[:index], strict=False):
                cell.string = name.get_text()
            head.pop().decompose()
    for cell in tree.thead.find_all("th", string=True):
        cell.string = re.sub(r" ([/=]) ", "\xa0\\1\xa0", cell.string)
    for cell in tree.tbody.find_all(["th", "td"], string=re.compile(r"^\+ ")):
        cell.string = f"+\xa0{cell.string[2:]}"
    last = head[-1].find_all("th")
    for cells in zip(*rows, strict=True):
        if max(len(cell.get_text()) for cell in cells) > 40:
            for cell in cells:
                cell["class"] = "sentence"
    columns = list(zip(last[-width:], zip(*rows, strict=True), strict=True)) if width else []
    firsts = tree.tbody.find_all("th")
    if len(firsts) == len(rows) and len(last) == width + 1:  # one heads each row
        columns.append((last[0], firsts))
    for heading, cells in columns:
        kind = ALONE if cells is firsts else NUMBER
        texts = [cell.get_text() for cell in cells if cell.get_text() not in NOTHING]
        if texts and all(map(kind.match, texts)) and not all(map(HASH.match, texts)):
            heading["class"] = "number"
            for cell in cells:
                cell["class"] = "number"
                cell.string = re.sub(r"^-(?=[.\d])", "\N{MINUS SIGN}", cell.get_text())
    for text in tree.find_all(string=NAME):
        text.replace_with(BeautifulSoup(unbroken(html.escape(text)), "html.parser"))
    return str(tree)


def unbroken(text):
    """HTML of a text in which names with a hyphen stay on one line."""
    return NAME.sub(r'<span class="together">\g<0></span>', text)


def mend(app, pagename, templatename, context, doctree):
    if "body" in context:
        body = STYLE.sub("", context["body"].replace(LABEL, "<summary>"))
        body = SUMMARY.sub(lambda text: unbroken(text[0]), TABLE.sub(table, body))
        context["body"] = CORNER.sub(r"<td\1></td>", ROLES.sub("", body))


#: Text that is shown as it is.
VERBATIM = (nodes.FixedTextElement, nodes.literal, nodes.math, nodes.math_block, nodes.raw)


def numbers(app, doctree, docname):
    """Of numbers in sentences: a true minus, and no break beside %, ± and the = of a letter."""
    for text in list(doctree.findall(nodes.Text)):
        shown, above = re.sub(r"(?<=\d) ?%", "\N{NO-BREAK SPACE}%", text), text.parent
        shown = re.sub(r"(?<![^\s(\[])-(?=\.?\d)", "\N{MINUS SIGN}", shown)
        shown = re.sub(
            r" ± |(?<=\b\w) = (?=[.\d\u2212])", lambda tie: f"\xa0{tie[0].strip()}\xa0", shown
        )
        while above and not isinstance(above, VERBATIM):
            above = above.parent
        if not above and shown != text:
            text.parent.replace(text, nodes.Text(shown))


def names(app, doctree, docname):
    """A name with a hyphen stays on one line."""
    for text in list(doctree.findall(nodes.Text)):
        above, parts = text.parent, NAME.split(text)
        while above and not isinstance(above, (*VERBATIM, nodes.title, nodes.reference)):
            above = above.parent
        if not above and len(parts) > 1:
            found = [nodes.inline("", name, classes=["together"]) for name in NAME.findall(text)]
            new = [nodes.Text(parts[0])]
            for name, part in zip(found, parts[1:], strict=True):
                new += [name, nodes.Text(part)]
            text.parent.replace(text, new)


def marks(app, doctree, docname):
    """A formula and the mark behind it stay on one line."""
    for formula in list(doctree.findall(nodes.math)):
        place = formula.parent.index(formula)
        after = formula.parent[place + 1 : place + 2]
        if (
            after
            and isinstance(after[0], nodes.Text)
            and (mark := re.match(r"[.,;:?)]+", after[0]))
        ):
            both = nodes.inline(
                "", "", formula.deepcopy(), nodes.Text(mark[0]), classes=["together"]
            )
            formula.parent[place : place + 2] = [both, nodes.Text(after[0][mark.end() :])]


def setup(app):
    app.add_js_file(None, body=LIGHT_ON_PAPER)
    app.connect("doctree-resolved", numbers)
    app.connect("doctree-resolved", names)
    app.connect("doctree-resolved", marks)
    app.connect("html-page-context", mend, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
