"""environment.yml and pyproject.toml say the same, and what is imported is declared."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# The name to import where it differs from the name to install.
IMPORTED_AS = {"scikit-learn": "sklearn", "pillow": "PIL", "pyyaml": "yaml"}


@pytest.fixture(scope="module")
def environment():
    yaml = pytest.importorskip("yaml", reason="needs the book extra")
    return yaml.safe_load((ROOT / "environment.yml").read_text())


def names(requirements):
    return {re.match(r"[\w.-]+", entry)[0].lower() for entry in requirements}


def test_conda_brings_python_and_pip_only(environment):
    conda = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    assert names(conda) == {"python", "pip"}


def test_python_of_the_environment_is_one_we_support(environment):
    (python,) = (e for e in environment["dependencies"] if str(e).startswith("python="))
    version = tuple(map(int, python.partition("=")[2].split(".")))
    least = tuple(map(int, PROJECT["requires-python"].removeprefix(">=").split(".")))
    assert version >= least


def test_pip_installs_this_project_with_extras_that_exist(environment):
    (pip,) = (entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert len(pip) == 1
    extras = re.fullmatch(r"-e \.\[([\w,]+)\]", pip[0])[1].split(",")
    assert set(extras) <= PROJECT["optional-dependencies"].keys()


def test_extras_name_only_extras_that_exist():
    extras = PROJECT["optional-dependencies"]
    for entry in (e for group in extras.values() for e in group if e.startswith("lt_core[")):
        assert set(entry[len("lt_core[") : -1].split(",")) <= extras.keys()


def test_the_extra_all_holds_every_other():
    inside = set(PROJECT["optional-dependencies"]["all"][0][len("lt_core[") : -1].split(","))
    assert inside == PROJECT["optional-dependencies"].keys() - {"all"}


def test_every_dependency_says_why():
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    listed = [line for line in lines if re.match(r'\s{4}"[\w-]+[><=]', line)]
    assert len(listed) > 20
    assert [line for line in listed if "#" not in line] == []


IMPORTS = (ast.Import, ast.ImportFrom)


def modules(node):
    if isinstance(node, ast.Import):
        return {alias.name.partition(".")[0] for alias in node.names}
    return set() if node.level else {node.module.partition(".")[0]}


def declared(*groups):
    return {IMPORTED_AS.get(name, name).replace("-", "_") for group in groups for name in group}


def test_everything_that_lt_core_imports_is_declared():
    extras = PROJECT["optional-dependencies"]
    known = declared(names(PROJECT["dependencies"]), *map(names, extras.values()))
    for path in (ROOT / "lt_core").rglob("*.py"):
        nodes = [n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, IMPORTS)]
        foreign = {name for node in nodes for name in modules(node)}
        assert foreign - set(sys.stdlib_module_names) - {"lt_core"} <= known, path


def test_jupyter_is_imported_only_where_it_is_used():
    """A GPU machine without Jupyter can train: only functions import what it brings."""
    allowed = declared(names(PROJECT["dependencies"])) | {"lt_core", "matplotlib", "seaborn"}
    for path in (ROOT / "lt_core").rglob("*.py"):
        top = [n for n in ast.parse(path.read_text("utf-8")).body if isinstance(n, IMPORTS)]
        foreign = {name for node in top for name in modules(node)} - set(sys.stdlib_module_names)
        assert foreign <= allowed, path


def test_the_package_carries_every_file_that_is_no_module():
    """Recipes, tables, the catalogue and figures are data: an installed package reads them too."""
    setup = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    carried = set()
    for package, patterns in setup["package-data"].items():
        folder = ROOT / package.replace(".", "/")
        carried |= {path for pattern in patterns for path in folder.glob(pattern)}
    data = {path for path in (ROOT / "lt_core").rglob("*.*") if path.is_file()}
    assert {path for path in data if path.suffix not in (".py", ".pyc")} <= carried


def test_the_package_carries_what_its_pages_read():
    """An installed package has no checkout beside it: records, figures and reports ship."""
    shipped = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {"results": ROOT / "results", "benchmarks": ROOT / "benchmarks"}
    for name, folder in folders.items():
        patterns = shipped["package-data"][f"lt_core.{name}"]
        carried = {path for pattern in patterns for path in folder.glob(pattern)}
        data = {
            p
            for p in folder.rglob("*")
            if p.is_file() and p.suffix in (".csv", ".json", ".gz", ".md")
        }
        assert data - {folder / "README.md"} <= carried, name
