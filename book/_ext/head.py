"""Sphinx extension: what a page says of itself, in its head to other sites and at its foot.

Other sites want absolute addresses, which only who publishes the book knows: the environment
variable ``LT_BOOK_URL`` holds that of its folder. Without it no page names an address.
"""

import html
import os
import time

from docutils import nodes

from lt_core.runs import environment

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
    if base := app.config.html_baseurl:
        tags['property="og:url"'] = context["pageurl"]
        tags['property="og:image"'] = f"{base}_static/front.png"
        tags['name="twitter:card"'] = "summary_large_image"
    context["metatags"] = context.get("metatags", "") + "".join(
        f'\n<meta {name} content="{html.escape(content)}" />' for name, content in tags.items()
    )


def settle(app, config):
    """The address of the site, and the licence and origin of the pages."""
    if address := os.environ.get("LT_BOOK_URL"):
        config.html_baseurl = address.rstrip("/") + "/"
    options = config.html_theme_options
    licence = f"{options.get('repository_url', '')}/blob/{options.get('repository_branch')}/LICENSE"
    commit = environment.commit()
    options["extra_footer"] = (
        f'Text and code: <a href="{licence}">MIT licence</a>. Built on '
        f"{time.strftime('%Y-%m-%d')}{f' from commit {commit}' if commit else ''}."
    )


def setup(app):
    app.connect("config-inited", settle)
    app.connect("html-page-context", describe)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
