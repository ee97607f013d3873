"""Figures with sliders, for the book and for Jupyter: Python computes, the page draws.

Each function returns an :class:`Explorable`, which a notebook shows by itself. The page
needs no network and no library, and works from ``file://``. Where scripts do not run, in
a notebook that is not trusted for example, one chosen frame stands as a picture.

- :func:`bins`: the density of gradient norms under uniform and adaptive bins, over training
- :func:`gradients`: who pulls and who pushes which logit, class by class, over training
- :func:`boundaries`: a small problem trained in the page while margins are moved
"""

from lt_core.explorables.adaptive_bins import bins
from lt_core.explorables.figure import Explorable
from lt_core.explorables.pull_and_push import gradients
from lt_core.explorables.three_classes import boundaries

__all__ = ["Explorable", "bins", "boundaries", "gradients"]
