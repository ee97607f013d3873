"""Sphinx extension: what a page says of itself to search engines and to sites that link to it."""

import html

from docutils import nodes

LENGTH = 200  # characters of a description that is shown


def describe(app, pagename, templatename, context, doctree):
    """Description and Open Graph tags, from the title and the page's first long paragraph."""
    if doctree is None:
        return
    found = doctree.findall(nodes.paragraph)  # those in italics say how the page was executed
    prose = (p for p in found if p.children and not isinstance(p[0], nodes.emphasis))
    paragraphs = (" ".join(p.astext().split()) for p in prose)
    text = next((p for p in paragraphs if len(p) > 60), app.config.html_title)
    if len(text) > LENGTH:
        text = text[:LENGTH].rpartition(" ")[0] + " …"
    title = app.env.titles[pagename].astext()
    tags = {
        'name="description"': text,
        'property="og:title"': title,
        'property="og:description"': text,
        'property="og:type"': "article",
        'property="og:site_name"': app.config.html_title,
    }
    context["metatags"] = context.get("metatags", "") + "".join(
        f'\n<meta {name} content="{html.escape(content)}" />' for name, content in tags.items()
    )


def setup(app):
    app.connect("html-page-context", describe)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
