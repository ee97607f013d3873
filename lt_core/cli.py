"""The command line, ``lt-core``: every command is one call into the package."""

from __future__ import annotations

import json
import math
import os
import signal
import statistics
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from lt_core.errors import ConfigError, DataError, LtError, StoreError, unknown

INTERRUPTED, TERMINATED = 130, 143

app = typer.Typer(
    name="lt-core",
    help="Long-tailed image classification: train, reproduce the papers' tables, build the book.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

# Numbers arrive as text, and lt_core.parameters converts or refuses them. Each command imports
# what it needs, so that --help and a refused name answer without waiting for torch.
StorePath = Annotated[Path, typer.Option("--store", help="directory of runs")]
DataRoot = Annotated[
    Path | None,
    typer.Option("--data-root", envvar="LT_DATA_ROOT", help="folder that holds cifar10/, ..."),
]
Download = Annotated[
    bool, typer.Option("--download", help="fetch the data set from its publisher if it is missing")
]
Device = Annotated[str | None, typer.Option(help="cpu or cuda; default: cuda where there is any")]
TimeBudget = Annotated[
    str | None,
    typer.Option(
        metavar="SECONDS",
        help="then stop at a checkpoint with exit code 75; call again to continue",
    ),
]
Precision = Annotated[str, typer.Option(help="float32, or bfloat16 for the convolutions")]
Workers = Annotated[
    str | None,
    typer.Option(
        metavar="N",
        help="processes that decode images; default: for a GPU one per core up to 16, else 0",
    ),
]
Damaged = Annotated[
    str, typer.Option(metavar="stop|skip", help="at a damaged training image on disk")
]
Holdout = Annotated[
    str | None,
    typer.Option(
        metavar="N",
        help="for choosing parameters: evaluate on N training images per class, kept from training",
    ),
]
Deterministic = Annotated[
    bool, typer.Option("--deterministic", help="a GPU repeats a run bit for bit, but slower")
]


@app.command()
def run(
    dataset: Annotated[
        str, typer.Option(help="digits, cifar10, cifar100, ..., or folder:DIR, your own images")
    ],
    method: Annotated[str, typer.Option(help="softmax, icb, gala, ...")],
    imbalance_factor: Annotated[
        str,
        typer.Option(metavar="NUMBER", help="images of the largest class over the smallest"),
    ] = "1",
    param: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE, a parameter of the loss; repeatable")
    ] = None,
    recipe: Annotated[str | None, typer.Option(help="default: the data set's")] = None,
    override: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE, a field of the recipe; repeatable")
    ] = None,
    model: Annotated[str | None, typer.Option(help="default: the data set's")] = None,
    epochs: Annotated[str | None, typer.Option(metavar="N", help="default: the recipe's")] = None,
    seed: Annotated[str, typer.Option(metavar="N", help="weights, order and augmentation")] = "0",
    subset_seed: Annotated[
        str, typer.Option(metavar="N", help="which images the long tail keeps")
    ] = "0",
    holdout: Holdout = "0",
    precision: Precision = "float32",
    store: StorePath = Path("runs"),
    data_root: DataRoot = None,
    download: Download = False,
    device: Device = None,
    time_budget: TimeBudget = None,
    deterministic: Deterministic = False,
    workers: Workers = None,
    damaged: Damaged = "stop",
) -> None:
    """Train one run, or resume it, or show it if it is finished.

    Example: lt-core run --dataset digits --method icb --imbalance-factor 100
    """
    from lt_core import runs
    from lt_core.training import config as checks

    config = checks.RunConfig(
        dataset=dataset,
        method=method,
        imbalance_factor=imbalance_factor,
        params=_pairs("param", param),
        recipe=recipe,
        overrides=_pairs("override", override),
        model=model,
        epochs=epochs,
        seed=seed,
        subset_seed=subset_seed,
        holdout=holdout,
        precision=precision,
    )
    checks.check_device(device)
    loader = checks.loading(workers, damaged)
    budget = checks.seconds("time_budget", time_budget)
    if os.environ.get("WORLD_SIZE", "1") == "1" and runs.Store(store).is_finished(config.key):
        finished = runs.open(store, config.key)
    else:
        from lt_core.training import train
        from lt_core.training.batch import EpochLines

        finished = train(
            config,
            store,
            data_root=data_root,
            download=download,
            device=device,
            deadline=None if budget is None else time.monotonic() + budget,
            deterministic=deterministic,
            **loader,
            report=EpochLines(sys.stderr),
        )
    if finished is not None:  # torchrun: the first process reports
        print(json.dumps({"key": finished.key, **finished.record}, indent=1))


@app.command()
def reproduce(
    context: typer.Context,
    table: Annotated[
        str,
        typer.Argument(
            help="table1, table2, table3, gala, grid, or all: those on CIFAR and TinyImageNet-32"
        ),
    ],
    dataset: Annotated[
        str | None,
        typer.Option(
            help="default: digits (for table `all`: all of its sets); folder:DIR for your images"
        ),
    ] = None,
    imbalance_factor: Annotated[
        str | None,
        typer.Option(
            help="default: the table's on its data, 100,10,1 on digits, 1 on yours; comma-separated"
        ),
    ] = None,
    methods: Annotated[str | None, typer.Option(help="comma-separated, default: all")] = None,
    epochs: Annotated[
        str | None,
        typer.Option(metavar="N", help="default: the recipe's; with others the table says REDUCED"),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="default: the table's or the data set's; with another no published number is shown"
        ),
    ] = None,
    override: Annotated[
        list[str] | None,
        typer.Option(help="NAME=VALUE, a field of the recipe; repeatable, the table says REDUCED"),
    ] = None,
    seeds: Annotated[str | None, typer.Option(metavar="N", help="seeds 0 to N - 1")] = None,
    holdout: Holdout = None,
    precision: Precision = "float32",
    store: StorePath = Path("runs"),
    data_root: DataRoot = None,
    download: Download = False,
    device: Device = None,
    processes: Annotated[str, typer.Option(metavar="N", help="processes that share a CPU")] = "2",
    pack: Annotated[str, typer.Option(metavar="N", help="runs that share a GPU, or auto")] = "auto",
    engine: Annotated[
        str, typer.Option(metavar="local|ray", help="ray: on the nodes of a Ray cluster")
    ] = "local",
    gpus_per_run: Annotated[
        str | None, typer.Option(metavar="SHARE", help="with --engine ray; default: a GPU")
    ] = None,
    time_budget: TimeBudget = None,
    deterministic: Deterministic = False,
    workers: Workers = None,
    damaged: Damaged = "stop",
    direct: Annotated[
        bool, typer.Option("--direct", help="the same runs without papermill; prints the table")
    ] = False,
    shard: Annotated[str | None, typer.Option(help="I/N: every N-th run from the I-th")] = None,
    output: Annotated[
        Path | None, typer.Option(help="executed notebook, default: STORE/reproduce_TABLE.ipynb")
    ] = None,
) -> None:
    """Train the missing runs of a table, in a notebook that then shows it.

    Example: lt-core reproduce table1 --dataset digits --seeds 3
    """
    from lt_core.training import config as checks

    checks.check_device(device)
    request = {
        "dataset": dataset,
        "imbalance_factors": imbalance_factor,
        "methods": methods,
        "seeds": seeds,
        "epochs": epochs,
        "model": model,
        "precision": precision,
        "overrides": _pairs("override", override) or None,
        "holdout": holdout,
    }
    request = {name: value for name, value in request.items() if value is not None}
    if engine == "ray" and context.get_parameter_source("data_root").name == "ENVIRONMENT":
        data_root = None  # each node has its own
    resources = {
        "data_root": data_root,
        "download": download,
        "device": device,
        "engine": engine,
        "gpus_per_run": checks.shares(engine, gpus_per_run),
        "processes": checks.in_range("processes", processes, 1, 1024),
        "pack": checks.pack_of(pack) or "auto",
        "time_budget": checks.seconds("time_budget", time_budget),
        "deterministic": deterministic,
        **checks.loading(workers, damaged),
    }
    from lt_core.book import reproducing

    table = "all" if table == "wanted" else table  # the former name, in scripts
    if direct:
        if output is not None:
            raise ConfigError(f"output: --direct executes no notebook, leave out {str(output)!r}")
        print(reproducing.directly(table, request, store, shard=shard, **resources))
    elif shard is not None:
        raise ConfigError(f"shard {shard!r}: only with --direct, the notebook shows a whole table")
    else:
        print(reproducing.through_notebook(table, request, store, output=output, **resources))


@app.command()
def look(
    folder: Annotated[
        str, typer.Argument(metavar="DIR", help="your own images, or a listed set: places_lt, ...")
    ],
    open_each: Annotated[
        bool, typer.Option("--open", help="also decode every image: minutes for 100,000")
    ] = False,
    data_root: DataRoot = None,
) -> None:
    """Images on disk: counts per class, factor, groups, and what cannot be used.

    Example: lt-core look pets
    """
    from lt_core.data import looking

    report, problems = looking.look(folder, open_each, data_root)
    print(report)
    if problems:
        raise DataError(f"{folder}: not all of it can be used, problems above: {problems}")


@app.command()
def status(store: StorePath = Path("runs")) -> None:
    """What a store holds: finished and unfinished runs, and what was set aside.

    Example: lt-core status --store runs
    """
    from lt_core import data, runs

    if reason := runs.missing_store(store):
        raise StoreError(
            f"{store}: {reason}; expected a store, which lt-core run, reproduce or merge has made"
        )
    found, set_aside = runs.scan(store)
    unfinished = runs.Store(store).unfinished()
    print(f"{len(found)} finished, {len(unfinished)} unfinished runs in {store}")
    # Everything but the seeds: a mean over different experiments would mean nothing.
    names = ["dataset", "imbalance_factor", "recipe", "overrides", "epochs", "precision"]
    names += ["model", "classifier", "holdout", "method", "variant"]
    told = [{name: _word(run.record.get(name)) for name in names} for run in found]
    for row, run in zip(told, found, strict=True):
        where = data.at(run.record["dataset"], run.record["imbalance_factor"])
        row["imbalance_factor"] = where.partition(" ")[2].removeprefix("factor ")
    names = [name for name in names if len({row[name] for row in told}) > 1] or ["method"]
    groups: dict[tuple[str, ...], list[float]] = {}
    for run, row in zip(found, told, strict=True):
        groups.setdefault(tuple(row[name] for name in names), []).append(run.record["top1"])
    lines = [[*names, "mean", "std", "count"]] if groups else []
    for place, values in sorted(groups.items(), key=lambda group: list(map(_order, group[0]))):
        spread = f"{statistics.stdev(values):.2f}" if len(values) > 1 else "–"
        lines.append([*place, f"{statistics.fmean(values):.2f}", spread, str(len(values))])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(map(str.ljust, line, widths)).rstrip())
    for reason in set_aside:
        print(f"set aside: {reason}")


@app.command()
def merge(
    sources: Annotated[list[Path], typer.Argument(help="stores from other machines")],
    store: StorePath = Path("runs"),
    records: Annotated[
        Path | None, typer.Option(help="then also write the records of all runs to this CSV file")
    ] = None,
) -> None:
    """Copy the runs of other stores into one; where two results contradict, nothing is written.

    Example: lt-core merge from-gpu/runs --store runs --records results/table1.csv
    """
    from lt_core import runs
    from lt_core.runs import merging
    from lt_core.runs import records as record_files

    if records is not None:
        record_files.check(records, (*sources, store))  # before anything is copied
    added, known = merging.merge(sources, store)
    print(f"{added} runs added to {store}, {known} were there already")
    if records is not None:
        rows = record_files.write(store, records)
        print(f"{rows} records in {records}")
        for reason in runs.load(store).attrs["set_aside"]:
            print(f"set aside: {reason}")


@app.command()
def book(
    quick: Annotated[bool, typer.Option("--quick", help="notebooks at CI size")] = False,
    store: StorePath = Path("runs"),
    jobs: Annotated[str, typer.Option(metavar="N", help="notebooks executed at once")] = "2",
    out: Annotated[Path, typer.Option(help="folder that the book is built into")] = Path("_build"),
    only: Annotated[
        str | None,
        typer.Option(
            help="notebooks to execute, comma-separated; others show output that is fresh, or code"
        ),
    ] = None,
) -> None:
    """Execute the notebooks that changed and build the book.

    Example: lt-core book
    """
    from lt_core.parameters import listed
    from lt_core.training.config import in_range

    jobs, names = in_range("jobs", jobs, 1, 1024), None if only is None else listed(only)
    if names == []:
        raise ConfigError(f"only: expected names separated by commas, got {only!r}")
    from lt_core import book as the_book

    page = the_book.build(Path(), out, quick=quick, jobs=jobs, store=store, only=names)
    print(f"open {page}")


@app.command()
def doctor(device: Device = None) -> None:
    """Versions, hardware, and how fast this machine trains.

    Example: lt-core doctor
    """
    from lt_core.training.config import check_device

    check_device(device)
    from lt_core import doctor as the_doctor

    for name, value in the_doctor.report(device).items():
        print(f"{name:<28} {value}")


def main(arguments: list[str] | None = None) -> None:
    """Entry point: errors become one line and an exit code."""
    signal.signal(signal.SIGTERM, _terminated)
    signal.signal(signal.SIGINT, _interrupted)
    warnings.showwarning = _warned
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        _check_words(arguments)
        code = app(args=arguments, standalone_mode=False)
    except LtError as error:
        print(f"lt-core: {error}", file=sys.stderr)
        code = error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        message, option = error.format_message(), getattr(error, "option_name", None)
        if option and message.startswith("No such option") and (way := _other_way(option)):
            message = f"No such option: {option}; {way}"
        if word := next((w for w in arguments if option and w.startswith(f"{option}=")), None):
            message = f"{message.rstrip('.')}, got {word!r}"
        print(f"lt-core: {message}", file=sys.stderr)
        code = getattr(error, "exit_code", ConfigError.exit_code)
    if code == INTERRUPTED:  # also typer's own answer to an interrupt
        print("lt-core: interrupted; call again to go on", file=sys.stderr)
    sys.exit(code or 0)


def _word(value: object) -> str:
    return "–" if value in (None, "") else f"{value:g}" if isinstance(value, float) else str(value)


def _order(word: str) -> tuple[float, str]:
    """Numbers by their size, before words."""
    return (float(word), "") if word.replace(".", "", 1).isdecimal() else (math.inf, word)


def _interrupted(number: int, frame: object) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one would interrupt the tidying up
    raise KeyboardInterrupt


def _terminated(number: int, frame: object) -> None:
    print("lt-core: stopped; call again to go on", file=sys.stderr)
    sys.exit(TERMINATED)


def _warned(message: Warning | str, *where: object) -> None:
    print(f"lt-core: warning: {message}", file=sys.stderr)


def _check_words(words: Sequence[str]) -> None:
    """Refuse an unknown command, with the nearest one, and values that are empty."""
    if words and not words[0].startswith("-"):
        commands = [command.callback.__name__ for command in app.registered_commands]
        if words[0] not in commands:
            raise unknown("command", words[0], commands)
    for before, word in zip(["the first word", *words], words, strict=False):
        option, equals, value = word.partition("=")
        if not word.strip():
            raise ConfigError(f"{before}: expected a value, got {word!r}")
        if option.startswith("--") and equals and not value.strip():
            raise ConfigError(f"{option}: expected a value, got {value!r}")


#: How other programs call what a recipe has under another name.
ALSO_CALLED = {
    **dict.fromkeys(("lr", "base_lr", "learningrate"), "learning_rate"),
    **dict.fromkeys(("batch", "bs", "batchsize"), "batch_size"),
    **dict.fromkeys(("wd", "decay"), "weight_decay"),
    **dict.fromkeys(("img_size", "imgsz", "size", "resolution"), "image_size"),
    **dict.fromkeys(("pretrained", "pretrain"), "weights"),
    **dict.fromkeys(("freeze",), "frozen"),
    **dict.fromkeys(("warmup",), "warmup_epochs"),
    **dict.fromkeys(("mixup",), "mixup_alpha"),
}


def _other_way(option: str) -> str:
    """How the value is given that somebody took for an option of its own."""
    from lt_core import losses
    from lt_core.training import recipes

    name = option.lstrip("-").replace("-", "_").lower()
    name = ALSO_CALLED.get(name, name)
    if name in recipes.get("digits").numbers():
        return f"it is a field of the recipe: --override {name}=VALUE"
    if name in {param for loss in losses.names() for param in losses.defaults(loss)}:
        return f"it is a parameter of losses: lt-core run … --param {name}=VALUE"
    return ""


def _pairs(option: str, entries: list[str] | None) -> dict[str, str]:
    pairs = {}
    for entry in entries or []:
        name, equals, value = entry.partition("=")
        if not equals or not name.strip():
            raise ConfigError(f"{option}: expected NAME=VALUE, got {entry!r}")
        if name.strip() in pairs:
            raise ConfigError(f"{option}: {name.strip()} is given twice, the second time {value!r}")
        pairs[name.strip()] = value.strip()
    return pairs
