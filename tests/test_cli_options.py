"""Every option of every command, with a usual value and with values that mean nothing.

The options come from the command line itself: one that is new and not listed here fails.
"""

import re

import pytest
import typer

from lt_core import book, doctor, losses
from lt_core.cli import app
from lt_core.errors import ConfigError
from lt_core.training import RunConfig, recipes

#: A run of one step, or a table of one such run.
RUN = {
    "--dataset": "digits",
    "--method": "softmax",
    "--imbalance-factor": "100",
    "--epochs": "1",
    "--override": "batch_size=304",
    "--device": "cpu",
}
TABLE = {
    **{"table": "table1", "--direct": None, "--methods": "softmax", "--seeds": "1"},
    **{"--imbalance-factor": "100", "--epochs": "1", "--processes": "1", "--device": "cpu"},
}
BASE = {
    "run": RUN,
    "reproduce": TABLE,
    "look": {"folder": "pets"},
    "status": {},
    "merge": {"sources": "there"},
    "book": {},
    "doctor": {},
}
#: A usual value of each option; None for a flag.
USUAL = {
    "run": {
        **RUN,
        **{"--param": "reduction=weighted_mean", "--recipe": "digits", "--model": "resnet_digits"},
        **{"--seed": "1", "--subset-seed": "1", "--precision": "bfloat16", "--store": "runs"},
        **{"--data-root": "data", "--download": None, "--time-budget": "600"},
        **{"--deterministic": None, "--workers": "2", "--damaged": "skip", "--holdout": "0"},
    },
    "reproduce": {
        **TABLE,
        **{"--dataset": "digits", "--model": "resnet_digits", "--precision": "float32"},
        **{"--store": "runs", "--data-root": "data", "--download": None, "--pack": "auto"},
        **{"--time-budget": "600", "--deterministic": None, "--shard": "1/2", "--output": None},
        **{"--workers": "2", "--damaged": "skip", "--override": "batch_size=304"},
        **{"--engine": "local", "--gpus-per-run": "0.5", "--holdout": "5"},
    },
    "look": {"folder": "pets", "--open": None, "--data-root": "data"},
    "status": {"--store": "runs"},
    "merge": {"sources": "there", "--store": "runs", "--records": "records.csv"},
    "book": {
        **{"--quick": None, "--store": "runs", "--jobs": "1", "--out": "_build"},
        **{"--only": "notebooks/a"},
    },
    "doctor": {"--device": "cpu"},
}
NONSENSE = (
    *("", " ", ",", "nan", "inf", "-inf", "1e400", "-5", "−5", "1.5", "2h", "²", "²/4", "=", "=1"),
    *("1000000000000", "No Such Thing", "x" * 300, "[1", "None=None", "[]", "0/0", "--epochs"),
)


def options():
    for name, command in typer.main.get_command(app).commands.items():
        for parameter in command.params:
            word = parameter.name if parameter.param_type_name == "argument" else parameter.opts[-1]
            yield name, word


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder to work in; what takes minutes is left out."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(book, "build", lambda *arguments, **options: "a page")
    monkeypatch.setattr(doctor, "report", lambda device: {})
    from own_images import write_own_images
    from stores import add_run

    add_run(tmp_path / "runs", "a")
    add_run(tmp_path / "there", "b")
    write_own_images(tmp_path / "pets")


def test_every_option_has_a_usual_value():
    assert sorted(options()) == sorted((name, word) for name in USUAL for word in USUAL[name])


@pytest.mark.parametrize(("command", "word"), [*options()])
def test_an_option_is_taken_or_refused_in_one_line_that_names_it_and_the_value(
    call, place, command, word
):
    usual = USUAL[command][word]
    # --direct executes no notebook, and only a cluster shares GPUs out.
    if word not in ("--output", "--gpus-per-run"):
        code, _, lines = call("", *words(command, word, usual))
        assert code == 0, lines
    for value in [] if usual is None else NONSENSE:
        if value.startswith("-") and not word.startswith("--"):
            continue  # that is an option
        code, _, lines = call("", *words(command, word, value))
        if code == 0:
            continue
        lines = [line for line in lines if "epoch 1 of 1" not in line]
        assert len(lines) == 1, (value, lines)
        assert lines[0].startswith("lt-core: ")
        assert names(lines[0], word, value), (value, lines[0])


def words(command, word, value):
    """The words of a call in which ``word`` has ``value``."""
    line = [command]
    for option, text in (BASE[command] | {word: value}).items():
        line += [option] if option.startswith("--") else []
        line += [] if text is None else [text]
    return line


def names(line, word, value):
    plain = re.sub("[^a-z]", "", line.lower())
    named = re.sub("[^a-z]", "", word).removesuffix("s") in plain
    # A command's one argument needs no name; a path, or the name in NAME=VALUE, is enough.
    named |= not word.startswith("--") or word in ("--store", "--data-root")
    named |= word in ("--param", "--override") and value.partition("=")[0] in line
    said = {repr(value), *value.split("="), value.strip("[]")} - {""}
    if re.fullmatch(r"-?[\de.]+", value):
        said.add(f"{float(value):g}")
    return named and any(part in line for part in said)


# -- what NAME=VALUE may say ---------------------------------------------------------------


def parameters():
    for method in losses.names():
        for name in (*losses.defaults(method), "reduction"):
            yield method, name


@pytest.mark.parametrize("value", NONSENSE)
def test_a_parameter_is_taken_or_refused_by_name(value):
    for method, name in parameters():
        refused_by_name(name, value, method=method, params={name: value})


@pytest.mark.parametrize("value", NONSENSE)
def test_a_field_of_a_recipe_is_taken_or_refused_by_name(value):
    for name in recipes.get("ldam_drw").numbers():
        overrides = {name: value}
        refused_by_name(name, value, method="softmax", recipe="ldam_drw", overrides=overrides)


def refused_by_name(name, value, **configuration):
    refusal = None
    try:
        RunConfig("digits", imbalance_factor=100, **configuration)
    except ConfigError as error:
        refusal = str(error)
    if refusal is not None:
        assert "\n" not in refusal
        assert names(refusal, f"--{name}", value), (configuration, refusal)
