"""Settings of the whole suite."""

import os

# Tests run side by side, and so do the processes they start: one thread each. Equality of
# two runs is promised for equal numbers of threads only.
os.environ.setdefault("OMP_NUM_THREADS", "1")

os.environ.setdefault("MPLBACKEND", "Agg")

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture
def book_style():
    """Figures are drawn in the book's style, and closed."""
    from matplotlib import pyplot as plt

    from lt_core import plotting

    with plt.rc_context():
        plotting.style()
        yield
        plt.close("all")
