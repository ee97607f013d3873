"""What every explorable figure shares: its page, its fallback picture, its colours."""

from __future__ import annotations

import base64
import html
import io
import json
import math
from collections.abc import Sequence
from importlib import resources

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from lt_core.errors import ConfigError
from lt_core.plots.styling import rank_colors

#: Bytes of data that one figure may put into a page.
MOST_DATA = 150_000
#: CSS's ``hue-rotate(180deg)``: with ``invert`` before it, what the book does to drawings at night.
HALF_TURN = [[-0.574, 1.430, 0.144], [0.426, 0.430, 0.144], [0.426, 1.430, -0.856]]

_PAGE = """\
<figure class="lt-explorable" data-kind="{kind}"><figcaption>{title}</figcaption>{question}
<style>{style}</style>
<img class="lt-static" alt="{alt}" src="data:image/png;base64,{picture}">
<noscript><p>One frame of a figure that moves where scripts may run.</p></noscript>
<script type="application/json">{data}</script>
<script>(function () {{
"use strict";
{script}
}})();</script></figure>"""


_QUESTION = '<p class="lt-question"><b>Predict.</b> {}</p>'


class Explorable:
    """A figure that a notebook shows with sliders, and as a picture where scripts do not run.

    ``kind`` names its drawing, ``scripts`` the files of ``page/`` it is made of; ``data`` is
    plain JSON; ``picture`` is one frame, kept as a PNG, and ``alt`` its description. Text of
    the caller (``title``, ``alt``, ``question``, names in ``data``) is escaped.

    Raises :class:`~lt_core.errors.ConfigError` if the data is larger than
    :data:`MOST_DATA` bytes.
    """

    def __init__(
        self,
        kind: str,
        title: str,
        data: dict,
        picture: Figure,
        alt: str,
        scripts: Sequence[str],
        question: str = "",
    ):
        self.kind, self.title, self.alt, self.data = kind, title, alt, data
        self.question = question
        self.picture = _png(picture)
        self._scripts = ("common.js", "address.js", *scripts)
        self._json = json.dumps(data, separators=(",", ":"), allow_nan=False)
        if len(self._json) > MOST_DATA:
            raise ConfigError(
                f"{kind}: expected at most {MOST_DATA // 1000} kB of data in a page, got "
                f"{len(self._json) // 1000} kB; give fewer moments or classes"
            )

    def _repr_html_(self) -> str:
        """The figure as HTML that needs nothing else."""
        return _PAGE.format(
            kind=self.kind,
            title=html.escape(self.title),
            question=_QUESTION.format(html.escape(self.question)) if self.question else "",
            alt=html.escape(self.alt),
            style=page_file("explorable.css"),
            picture=base64.b64encode(self.picture).decode("ascii"),
            # Inside a script element only "<" could end it; JSON may write it as an escape.
            data=self._json.replace("<", "\\u003c"),
            script="\n".join(page_file(name) for name in self._scripts),
        )

    def __repr__(self) -> str:
        return f"Explorable({self.kind!r}, {self.title!r}, {len(self._json) // 1000} kB of data)"


def page_file(name: str) -> str:
    """The text of a script or style sheet of ``page/``."""
    return (resources.files(__package__) / "page" / name).read_text(encoding="utf-8")


def colors(num_classes: int) -> list[list[str]]:
    """A pair of colours per class rank, for a light and for a dark page, head first.

    On a dark page the colours are those that the book's other figures have there.
    """
    light = rank_colors(num_classes)[:, :3]
    dark = np.clip((1 - light) @ np.transpose(HALF_TURN), 0, 1)
    pairs = zip(light, dark, strict=True)
    return [[to_hex(on_light), to_hex(on_dark)] for on_light, on_dark in pairs]


def names(argument: str, given: Sequence[str] | None, default: list[str]) -> list[str]:
    """What the caller gave, or the default: as many as that, each cut at 32 characters."""
    chosen = default if given is None else [str(name) for name in given]
    if len(chosen) != len(default):
        raise ConfigError(f"{argument}: expected {len(default)} names, got {len(chosen)}")
    return [name if len(name) <= 32 else name[:31] + "…" for name in chosen]


def rounded(values: np.ndarray, digits: int = 4) -> list:
    """Nested lists with ``digits`` significant digits; null where a value is not finite."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim:
        return [rounded(each, digits) for each in values]
    value = float(values)
    if not math.isfinite(value):
        return None
    short = float(f"{value:.{digits}g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short


def _png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110, metadata={"Software": None})
    plt.close(figure)
    return stream.getvalue()
