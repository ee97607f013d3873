"""Sphinx extension: what a page says to the eye it says to a screen reader too."""

import re

#: The label of a folded cell, the same for all of them, hides what the cell's text says.
LABEL = '<summary aria-label="Toggle hidden content">'
#: A corner of a table of pandas, which heads nothing.
CORNER = re.compile(r"<th([^>]*)>(?:\s|&nbsp;)*</th>")


def mend(app, pagename, templatename, context, doctree):
    if "body" in context:
        context["body"] = CORNER.sub(r"<td\1></td>", context["body"].replace(LABEL, "<summary>"))


def setup(app):
    app.connect("html-page-context", mend, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
