"""Sphinx extension: what a page says to the eye it says to a screen reader too."""

#: What the page holds -> what it holds instead. The label of a folded cell says the same
#: for all of them and hides what its text says; the corner of a table of pandas heads nothing.
MENDED = {
    '<summary aria-label="Toggle hidden content">': "<summary>",
    "<th></th>": "<td></td>",
}


def mend(app, pagename, templatename, context, doctree):
    for found, instead in MENDED.items() if "body" in context else ():
        context["body"] = context["body"].replace(found, instead)


def setup(app):
    app.connect("html-page-context", mend, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
