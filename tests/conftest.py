"""Settings of the whole suite."""

import os
import signal
import warnings

# Tests run side by side, and so do the processes they start: one thread each. Equality of
# two runs is promised for equal numbers of threads only.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

from lt_core import cli

torch.set_num_threads(1)

#: Files that take minutes. They begin first, so that no worker ends long before the other.
LONGEST = ("test_reproduce_on_cifar.py", "test_book.py", "test_notebooks.py")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture
def book_style():
    """Figures are drawn in the book's style, and closed."""
    from matplotlib import pyplot as plt

    from lt_core import plots

    plt.switch_backend("Agg")
    with plt.rc_context():
        plots.style()
        yield
        plt.close("all")


@pytest.fixture
def call(monkeypatch, capsys):
    """Call the command in this process: exit code, standard output, error lines."""

    def called(arguments, *more):
        handlers = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}
        monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
        try:
            with pytest.raises(SystemExit) as end:
                cli.main([*arguments.split(), *map(str, more)])
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        captured = capsys.readouterr()
        return end.value.code, captured.out, captured.err.splitlines()

    return called
