"""What a command imports: a refusal must not wait for torch, nor a run for what it does not use."""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from lt_core import losses, parameters
from lt_core.data import digits

HEAVY = (
    "torch",
    "torchvision",
    "pandas",
    "numpy",
    "sklearn",
    "scipy",
    "matplotlib",
    "statsmodels",
    "ray",
)
RUN = "run --dataset digits --method softmax --epochs 1 --override batch_size=1240 --device cpu"


def imported(code, cwd):
    """Which of the heavy packages, and torch's compiler, are imported after ``code``."""
    watched = (*HEAVY, "torch._dynamo")
    code += f"\nimport sys; print('now:', *(n for n in {watched} if n in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split()[1:])


def calling(words):
    return f"from lt_core import cli\ntry: cli.main({words.split()})\nexcept SystemExit: pass"


@pytest.mark.parametrize(
    "words",
    [
        "--help",
        "run --help",
        "stauts",
        "run --dataset digit --method softmax",
        "run --dataset digits --method LDAM",
        "run --dataset digits --method softmax --model resnet",
        "run --dataset digits --method softmax --precision half",
        "reproduce table1 --device gpu",
        "reproduce tabel1",
        "reproduce table1 --methods sotfmax --direct",
        "reproduce table1 --dataset digit --direct",
        "doctor --device gpu",
    ],
)
def test_help_and_refused_names_import_nothing_heavy(tmp_path, words):
    assert imported(calling(words), tmp_path) == set()


@pytest.mark.parametrize(
    "words",
    [
        "run --dataset digits --method icb --param gama=1",
        "run --dataset digits --method icb --param gamma=x",
        "run --dataset digits --method softmax --epochs 0",
        "run --dataset digits --method softmax --imbalance-factor 0.01",
        "run --dataset digits --method softmax --override lr=1",
        "run --dataset digits --method softmax --device gpu",
        "run --dataset digits --method softmax --time-budget 2h",
    ],
)
def test_refused_values_need_numpy_at_most(tmp_path, words):
    assert imported(calling(words), tmp_path) <= {"numpy"}


def test_a_run_imports_no_more_than_torch_and_a_finished_one_is_shown_without(tmp_path):
    assert imported(calling(RUN), tmp_path) == {"torch", "numpy"}
    assert imported(calling(RUN), tmp_path) <= {"numpy"}
    assert imported(calling("status"), tmp_path) <= {"numpy"}


def test_the_losses_need_torch_alone(tmp_path):
    code = "from lt_core import losses\nfor n in losses.names(): losses.create(n, [5, 3, 2])"
    assert imported(code, tmp_path) == {"torch", "numpy"}  # torch imports numpy itself


@pytest.mark.parametrize("method", losses.names())
def test_what_is_read_from_the_source_of_a_loss_is_what_its_class_declares(method):
    found = losses.loss_class(method)
    assert losses.declared(method) == parameters.declared(found)
    assert losses.takes_cosines(method) == found.takes_cosines


def test_the_digits_are_those_of_scikit_learn():
    bunch = load_digits()
    expected = np.column_stack([bunch.data, bunch.target])
    assert np.array_equal(digits._bundled(), expected)


#: The rooms of the package, from the lowest; a room imports from lower lines only.
ROOMS = [
    ("errors",),
    ("parameters",),
    ("data", "losses", "models"),
    ("gradients", "margins", "rebalancing", "testing", "runs"),
    ("training",),
    ("tables", "doctor"),
    ("plots",),
    ("book",),
    ("cli",),
    ("__main__",),
]


def rooms_imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in getattr(node, "names", []) if hasattr(alias, "name")]
        if isinstance(node, ast.ImportFrom):
            names = [node.module] if node.module != "lt_core" else [f"lt_core.{n}" for n in names]
        elif not isinstance(node, ast.Import):
            continue
        yield from (n.split(".")[1] for n in names if n.startswith("lt_core."))


def test_imports_go_downwards_only():
    level = {room: number for number, rooms in enumerate(ROOMS) for room in rooms}
    package = Path(losses.__file__).parents[1]
    upwards = []
    for path in package.rglob("*.py"):
        room = path.relative_to(package).with_suffix("").parts[0]
        for other in set(rooms_imported(path)) & level.keys() - {room}:
            if room != "__init__" and level[other] >= level[room]:
                upwards.append(f"{path.relative_to(package)} imports {other}")
    assert upwards == []
