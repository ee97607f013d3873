"""What no line of the package may do (S1, S2, D9)."""

import re
import subprocess
import sys
from pathlib import Path

import lt_core

SOURCES = sorted(Path(lt_core.__file__).parent.rglob("*.py"))
FORBIDDEN = (
    r"\bpickle\.loads?\(",
    r"\byaml\.load\(",
    r"(?<![\w.`])eval\(",
    r"(?<![\w.`])exec\(",
    r"shell=True",
    r"\bextractall\(",
    r"except\s*:",
    r"LOAD_TRUNCATED_IMAGES\s*=",
)


def test_nothing_from_a_file_is_executed():
    found = [
        f"{path.name}: {line.strip()}"
        for path in SOURCES
        for line in path.read_text(encoding="utf-8").splitlines()
        if any(re.search(pattern, line) for pattern in FORBIDDEN) and "# safe:" not in line
    ]
    assert found == []


def test_import_and_loading_leave_the_generators_alone():
    code = (
        "import random, numpy, torch; torch.manual_seed(1); numpy.random.seed(1); random.seed(1); "
        "before = torch.get_rng_state(), numpy.random.get_state()[1].copy(), random.getstate(); "
        "from lt_core import data; assert before[2] == random.getstate(); "
        "data.load('digits', 'train', 10); "  # scikit-learn's import draws from `random`
        "assert torch.equal(before[0], torch.get_rng_state()); "
        "assert (before[1] == numpy.random.get_state()[1]).all()"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
