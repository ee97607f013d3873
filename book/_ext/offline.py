"""Sphinx extension: the built book asks the network for nothing.

Things that jupyter-book 1.x leaves to the network are settled here: MathJax is copied
into the book and loaded by pages with a formula, Thebe (a service that runs cells remotely)
is dropped, and so is the style sheet that every animation of matplotlib links to. Icons come
from the theme's fonts, not from its script of 1.5 MB. Search takes its excerpts, prose without
code, cells' tables and formulas, from a script, because a browser lets no file read another.

It also hands the repository's address from _config.yml to the pages, as the link
``{{ repository }}``.
"""

import importlib.metadata
import json
import re
import shutil
import unicodedata
from pathlib import Path

MATHJAX = "django-static-mathjax"  # MathJax 3 as plain files; nothing of Django is used
FILES = ("es5/tex-chtml.js", "es5/output/chtml/fonts/woff-v2/")
#: What no excerpt shows.
UNSEEN = re.compile(
    r'<(script|style|svg|pre|summary|h1)\b.*?</\1>|<a class="headerlink.*?</a>'
    r'|<div class="math.*?</div>|<table[^>]*"lt-table.*?</table>',
    re.DOTALL,
)
FORMULA = re.compile(r'<span class="math[^>]*>\\\((.*?)\\\)</span>', re.DOTALL)
COMMAND = re.compile(r"\\([a-z]+)")
INLINE = re.compile(r"</?(?:span|a|em|strong|code|cite)\b[^>]*>")
TAGS = re.compile(r"(?:<(?!/?section)[^>]*>|\s)+")
EXCERPTS = """\
const texts = %s;
window.fetch = async (page) => new Response(`<main role="main">${texts[page]}</main>`);
"""
FONT_AWESOME = re.compile(r"<link[^>]+maxcdn\.bootstrapcdn\.com/font-awesome[^>]*>")


def copy_mathjax(app):
    """Put MathJax and its fonts where ``mathjax_path`` in _config.yml expects them."""
    if app.builder.format != "html":
        return
    for file in importlib.metadata.files(MATHJAX):
        inside = file.as_posix().partition("static/mathjax/")[2]
        if inside.startswith(FILES):
            target = Path(app.outdir, "_static/mathjax", inside.removeprefix("es5/"))
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.locate(), target)


def add_substitutions(app, config):
    config.myst_substitutions = {
        **config.myst_substitutions,
        "repository": f"<{config.html_theme_options.get('repository_url', '')}>",
    }


def drop_scripts(app, pagename, templatename, context, doctree):
    """Thebe's everywhere, MathJax's where no formula is: home gets it for the pages below it."""
    unwanted = ["thebe"] if 'class="math' in context.get("body", "") else ["thebe", "mathjax"]

    def wanted(script):
        body = getattr(script, "attributes", {}).get("body", "")
        text = f"{getattr(script, 'filename', '')} {body}".lower()
        return not any(name in text for name in unwanted)

    context["script_files"] = list(filter(wanted, context["script_files"]))


def drop_remote_styles(app, pagename, templatename, context, doctree):
    """Animations then use the theme's own copy of the icons."""
    if "body" in context:
        context["body"] = FONT_AWESOME.sub("", context["body"])


def search_excerpts(app, pagename, templatename, context, doctree):
    if pagename == "search":
        app.add_js_file("excerpts.js")


def letters(formula):
    """How a search quotes a formula inside a sentence: its letters, or a mark if it has more."""

    def written(command):
        try:
            return unicodedata.lookup(f"GREEK SMALL LETTER {command[1].removeprefix('var')}")
        except KeyError:
            return "log" if command[1] == "log" else command[0]

    text = COMMAND.sub(written, formula[1])
    return "…" if "\\" in text else re.sub("[{}]", "", text)


def trim(app, exception):
    """Empty the script of icons, drop maps for debuggers, write the texts that search quotes."""
    if exception or app.builder.format != "html":
        return
    static = Path(app.outdir, "_static")
    (static / "scripts/fontawesome.js").write_text("")
    for unused in static.glob("*/*.map"):
        unused.unlink()
    texts = {}
    for name in app.env.found_docs:
        page = Path(app.outdir, name + ".html").read_text(encoding="utf-8")
        article = page.partition("<article")[2].partition(">")[2].partition("</article>")[0]
        text = FORMULA.sub(letters, UNSEEN.sub("", article))
        texts[f"./{name}.html"] = TAGS.sub(" ", INLINE.sub("", text))
    (static / "excerpts.js").write_text(EXCERPTS % json.dumps(texts), encoding="utf-8")


def setup(app):
    app.connect("config-inited", add_substitutions)
    app.connect("builder-inited", copy_mathjax)
    app.connect("html-page-context", drop_scripts, priority=900)
    app.connect("html-page-context", drop_remote_styles, priority=900)
    app.connect("html-page-context", search_excerpts)
    app.connect("build-finished", trim)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
