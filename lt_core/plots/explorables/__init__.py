"""Figures with sliders, for the book and for Jupyter: Python computes, the page draws.

Each function returns an :class:`Explorable`, which a notebook shows by itself. The page
needs no network and no library, and works from ``file://``. Where scripts do not run, in
a notebook that is not trusted for example, one chosen frame stands as a picture.

- :func:`density_bins`: the density of gradient norms under equal and adaptive bins
- :func:`logit_forces`: who pulls and who pushes which logit, by class, over training
- :func:`decision_boundaries`: three classes to drag, trained in the page under each loss
"""

from lt_core.plots.explorables.adaptive_bins import density_bins
from lt_core.plots.explorables.figure import Explorable
from lt_core.plots.explorables.pull_and_push import logit_forces
from lt_core.plots.explorables.three_classes import decision_boundaries

__all__ = ["Explorable", "decision_boundaries", "density_bins", "logit_forces"]
