"""Which commit a run records: that of this project's checkout, and of no other."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import lt_core

PACKAGE = Path(lt_core.__file__).parent
GIT = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}


def git(folder, *arguments):
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    done = subprocess.run(
        ["git", *who, *arguments], cwd=folder, env=os.environ | GIT, capture_output=True, check=True
    )
    return done.stdout.decode().strip()


def repository(folder, name):
    """A repository with one commit and a pyproject.toml that names ``name``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(f'[project]\nname = "{name}"\n')
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "first")
    return git(folder, "rev-parse", "--short=12", "HEAD")


def told_from(folder):
    """What a copy of the package in ``folder`` says its commit and its checkout are."""
    ignored = shutil.ignore_patterns("__pycache__", "explorables")
    shutil.copytree(PACKAGE, folder / "lt_core", ignore=ignored)
    environment = {k: v for k, v in os.environ.items() if k != "LT_COMMIT"}
    environment |= GIT | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    code = "from lt_core.runs import environment as e; print(e.commit() or None, e.checkout())"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=folder, capture_output=True, check=True
    )
    return done.stdout.decode().split()


def test_a_checkout_of_this_project_tells_its_commit(tmp_path):
    commit = repository(tmp_path / "book", "lt_core")
    assert told_from(tmp_path / "book") == [commit, str(tmp_path / "book")]


@pytest.mark.parametrize(
    "place",
    [
        ".venv/lib/python3/site-packages",  # an environment inside another project
        "vendored",
        ".",  # beside another project's pyproject.toml
    ],
)
def test_a_copy_inside_another_repository_has_no_commit(tmp_path, place):
    repository(tmp_path / "other", "their_project")
    folder = tmp_path / "other" / place
    folder.mkdir(parents=True, exist_ok=True)
    assert told_from(folder) == ["None", "None"]


def test_an_unpacked_archive_inside_another_repository_has_no_commit(tmp_path):
    repository(tmp_path / "other", "their_project")
    archive = tmp_path / "other" / "long-tail-book"
    archive.mkdir()
    (archive / "pyproject.toml").write_text('[project]\nname = "lt_core"\n')
    assert told_from(archive) == ["None", str(archive)]
