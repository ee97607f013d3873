"""Sphinx extension: the whole book as one more page, whole.html beside home, to be printed.

It is put together from the pages as they were written. Ids get the name of their page in front,
links from page to page stay inside, and scripts are left out but MathJax: of a figure that moves,
its picture stands there. Pages lie in folders of the same depth, so that other links keep.
"""

import posixpath
import re
from pathlib import Path

SCRIPTS = re.compile(r"<script\b.*?</script>", re.DOTALL)
HEAD = re.compile(r"<link\b[^>]*stylesheet[^>]*>|<script\b[^>]*>[^<]*MathJax[^<]*</script>")
MATHJAX = re.compile(r"<script\b[^>]*mathjax/[^>]*></script>")
NAMES = re.compile(r' (id|for|aria-labelledby|aria-describedby)="([^"]+)"')
LINKS = re.compile(r' (href|xlink:href)="([^":]*)"')
PAGE = """<!DOCTYPE html>
<html lang="en" data-theme="light"><head><meta charset="utf-8"><title>{title}</title>
{head}
<style>.lt-page + .lt-page {{ break-before: page; }}</style></head>
<body><main class="bd-main"><div class="bd-content"><div class="bd-article-container">
<article class="bd-article">{articles}</article></div></div></main></body></html>
"""


def in_order(env, name):
    """The page and those below it, as the table of contents has them."""
    yield name
    for below in env.toctree_includes.get(name, ()):
        yield from in_order(env, below)


def bind(app, exception):
    if exception or app.builder.format != "html":
        return
    root = app.config.root_doc
    names = list(in_order(app.env, root))
    key = {name: posixpath.basename(name) for name in names}

    def anchored(name, text):
        def identify(match):
            ids = " ".join(f"{key[name]}--{each}" for each in match[2].split())
            return f' {match[1]}="{ids}"'

        def link(match):
            path, _, anchor = match[2].partition("#")
            place = posixpath.normpath(posixpath.join(posixpath.dirname(name), path))
            target = place.removesuffix(".html") if path else name
            if target not in key:
                return match[0]
            return f' {match[1]}="#{key[target]}{f"--{anchor}" if anchor else ""}"'

        return LINKS.sub(link, NAMES.sub(identify, SCRIPTS.sub("", text)))

    head, articles = {}, []
    for name in names:
        page = Path(app.outdir, name + ".html").read_text(encoding="utf-8")
        before, _, rest = page.partition("<article")
        text = rest.partition(">")[2].partition("</article>")[0]
        head |= dict.fromkeys(HEAD.findall(before) + MATHJAX.findall(before))
        articles.append(f'<div class="lt-page" id="{key[name]}">{anchored(name, text)}</div>')
    whole = PAGE.format(
        title=app.config.html_title, head="\n".join(head), articles="\n".join(articles)
    )
    Path(app.outdir, root).with_name("whole.html").write_text(whole, encoding="utf-8")


def setup(app):
    app.connect("build-finished", bind)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
