"""start.py, without a network: what it decides, what it says, what it does not do twice."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def start(tmp_path, monkeypatch):
    """start.py as it would run in a fresh checkout in ``tmp_path``; commands are recorded."""
    spec = importlib.util.spec_from_file_location("start", ROOT / "start.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(module, "STAMP", tmp_path / ".venv" / "ready")
    module.calls = []

    def call(command, **environment):
        module.calls.append(list(map(str, command)))
        if "-m" in command and "venv" in command:  # an environment without pip: quick
            subprocess.run([sys.executable, "-m", "venv", "--without-pip", command[-1]], check=True)
        return 0

    monkeypatch.setattr(module, "call", call)
    return module


def installs(start):
    return [command for command in start.calls if "install" in command]


def test_the_environment_is_made_once(start):
    start.set_up()
    assert len(installs(start)) == 1
    assert installs(start)[0][-2:] == ["--editable", ".[all]"]
    start.set_up()
    assert len(installs(start)) == 1


def test_a_changed_pyproject_brings_it_up_to_date_and_a_broken_one_is_made_again(start):
    start.set_up()
    with (start.ROOT / "pyproject.toml").open("a") as file:
        file.write("# changed\n")
    start.set_up()
    assert len(installs(start)) == 2
    made = [command for command in start.calls if "venv" in command]
    assert len(made) == 1
    start.venv_python().unlink()
    start.set_up()
    assert len(installs(start)) == 3


def test_an_interrupted_installation_does_not_count(start, monkeypatch, capsys):
    recorded = start.call
    monkeypatch.setattr(start, "call", lambda c, **e: recorded(c) or int("install" in c))
    with pytest.raises(SystemExit):
        start.set_up()
    assert "Calling this again goes on from here" in capsys.readouterr().err
    monkeypatch.setattr(start, "call", recorded)
    start.set_up()
    assert len(installs(start)) == 2


def test_a_missing_venv_module_is_named_with_its_package(start, monkeypatch, capsys):
    monkeypatch.setattr(start, "call", lambda command, **_: int("import ensurepip" in command[-1]))
    with pytest.raises(SystemExit):
        start.set_up()
    assert "apt install python3-venv" in capsys.readouterr().err


def test_an_old_python_looks_for_a_newer_one(start, monkeypatch, capsys):
    monkeypatch.setattr(start, "OLDEST", (99, 0))
    monkeypatch.setattr(start.shutil, "which", lambda name: None)
    with pytest.raises(SystemExit):
        start.set_up()
    assert "Python 3.11 or newer is needed" in capsys.readouterr().err
    monkeypatch.setattr(start.shutil, "which", lambda name: sys.executable)
    assert start.suitable_python() == sys.executable


def test_a_torch_that_is_there_is_used(start):
    """The tests' own Python has torch, so the new environment sees it."""
    start.set_up()
    link = next(start.VENV.rglob("found_torch.pth"))
    assert (Path(link.read_text().strip()) / "torch").is_dir()
    found = subprocess.run(
        [start.venv_python(), "-c", "from importlib import metadata as m; m.version('torch')"]
    )
    assert found.returncode == 0


@pytest.fixture
def without_torch(start, monkeypatch):
    monkeypatch.setattr(start, "reuse_torch", lambda python: False)
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return start


def test_uv_installs_where_nothing_is_there_yet(without_torch):
    without_torch.set_up()
    fetched, installed = installs(without_torch)
    assert fetched[-1] == "uv"
    assert installed[1:4] == ["-m", "uv", "pip"]
    assert installed[-2:] == ["--editable", ".[all]"]


@pytest.mark.parametrize("failing", ["-qq", "--quiet"])
def test_pip_installs_what_uv_cannot_get(without_torch, monkeypatch, failing):
    recorded = without_torch.call
    refused = lambda c, **e: recorded(c) or int(failing in c and ("uv" in c))  # noqa: E731
    monkeypatch.setattr(without_torch, "call", refused)
    without_torch.set_up()
    assert "uv" not in installs(without_torch)[-1]
    assert without_torch.STAMP.exists()


def test_an_index_that_pip_was_told_of_is_left_to_pip(without_torch, monkeypatch):
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://packages.invalid/simple")
    without_torch.set_up()
    (installed,) = installs(without_torch)
    assert "uv" not in installed


@pytest.mark.parametrize("arguments", [["tests"], ["setup", "twice"], ["--verbose"]])
def test_an_unknown_command_shows_what_there_is(start, capsys, arguments):
    assert start.main(arguments) == 2
    assert "python3 start.py test" in capsys.readouterr().out
    assert start.calls == []


def test_the_main_job_reproduces_and_builds_and_says_where(start, capsys):
    assert start.main([]) == 0
    ours = [command[3:] for command in start.calls if "lt_core" in command]
    assert ours[0][:2] == ["reproduce", "table1"]
    assert ours[1][0] == "book"
    assert "_build/html/index.html" in capsys.readouterr().out


def test_the_readme_names_the_commands_that_exist():
    readme = (ROOT / "README.md").read_text()
    assert "python3 start.py test" in readme
    assert (ROOT / "book/front.svg").stat().st_size < 300_000
    for path in ("LICENSE", "book/how_to_read.md", "results/rehearsal_classes.csv"):
        assert path in readme
        assert (ROOT / path).exists()


def test_bytecode_is_kept_where_python_is_told_not_to(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("start", ROOT / "start.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    assert module.call([sys.executable, "-c", "import sys; sys.exit(sys.dont_write_bytecode)"]) == 0
