"""Sphinx extension: the built book asks the network for nothing.

Things that jupyter-book 1.x leaves to the network are settled here: MathJax is copied
into the book, Thebe (a service that runs cells remotely) is dropped, and so is the style
sheet that every animation of matplotlib links to. Icons come from the theme's fonts, not
from its script of 1.5 MB, and where the book is opened as files, search takes its excerpts
from a script, because a browser lets no file read another.

It also hands the repository's address from _config.yml to the pages, as the link
``{{ repository }}``.
"""

import importlib.metadata
import json
import re
import shutil
from pathlib import Path

MATHJAX = "django-static-mathjax"  # MathJax 3 as plain files; nothing of Django is used
FILES = ("es5/tex-chtml.js", "es5/output/chtml/fonts/woff-v2/")
UNSEEN = re.compile(r'<(script|style|svg)\b.*?</\1>|<a class="headerlink.*?</a>', re.DOTALL)
INLINE = re.compile(r"</?(?:span|a|em|strong|code|cite)\b[^>]*>")
TAGS = re.compile(r"(?:<(?!/?section)[^>]*>|\s)+")
EXCERPTS = """\
const texts = %s;
window.fetch = async (page) => new Response(`<main role="main">${texts[page]}</main>`);
"""
FROM_FILES = """if (location.protocol === "file:")
  document.write('<script src="_static/excerpts.js"><\\/script>');"""
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


def drop_thebe(app, pagename, templatename, context, doctree):
    def mentions_thebe(script):
        body = str(getattr(script, "attributes", {}).get("body", ""))
        return "thebe" in f"{getattr(script, 'filename', '')} {body}".lower()

    context["script_files"] = [s for s in context["script_files"] if not mentions_thebe(s)]


def drop_remote_styles(app, pagename, templatename, context, doctree):
    """Animations then use the theme's own copy of the icons."""
    if "body" in context:
        context["body"] = FONT_AWESOME.sub("", context["body"])


def search_excerpts(app, pagename, templatename, context, doctree):
    if pagename == "search":
        app.add_js_file(None, body=FROM_FILES)


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
        texts[f"./{name}.html"] = TAGS.sub(" ", INLINE.sub("", UNSEEN.sub("", article)))
    (static / "excerpts.js").write_text(EXCERPTS % json.dumps(texts), encoding="utf-8")


def setup(app):
    app.connect("config-inited", add_substitutions)
    app.connect("builder-inited", copy_mathjax)
    app.connect("html-page-context", drop_thebe, priority=900)
    app.connect("html-page-context", drop_remote_styles, priority=900)
    app.connect("html-page-context", search_excerpts)
    app.connect("build-finished", trim)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
