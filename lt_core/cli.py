"""The command line, ``lt-core``: thin, every command one call into the package."""

from __future__ import annotations

import json
import signal
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

from lt_core.errors import ConfigError, LtError, StoreError

INTERRUPTED, TERMINATED = 130, 143

app = typer.Typer(
    name="lt-core",
    help="Long-tailed image classification: train, reproduce the papers' tables, build the book.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

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
    float | None,
    typer.Option(help="seconds, then stop at a checkpoint with exit code 75; call again to go on"),
]
Precision = Annotated[str, typer.Option(help="float32, or bfloat16 for the convolutions")]
Deterministic = Annotated[
    bool, typer.Option("--deterministic", help="a GPU repeats itself bit for bit, more slowly")
]


@app.command()
def run(
    dataset: Annotated[str, typer.Option(help="digits, cifar10, cifar100, ...")],
    method: Annotated[str, typer.Option(help="softmax, icb, gala, ...")],
    imbalance_factor: Annotated[float, typer.Option(help="largest / smallest class, from 1")] = 1,
    param: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE, a parameter of the loss; repeatable")
    ] = None,
    recipe: Annotated[str | None, typer.Option(help="default: the data set's")] = None,
    override: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE, a field of the recipe; repeatable")
    ] = None,
    model: Annotated[str | None, typer.Option(help="default: the data set's")] = None,
    epochs: Annotated[int | None, typer.Option(help="default: the recipe's")] = None,
    seed: Annotated[int, typer.Option(help="weights, order and augmentation")] = 0,
    subset_seed: Annotated[int, typer.Option(help="which images the long tail keeps")] = 0,
    precision: Precision = "float32",
    store: StorePath = Path("runs"),
    data_root: DataRoot = None,
    download: Download = False,
    device: Device = None,
    time_budget: TimeBudget = None,
    deterministic: Deterministic = False,
) -> None:
    """Train one run, or resume it, or show it if it is finished.

    Example: lt-core run --dataset digits --method icb --imbalance-factor 100
    """
    import time

    from lt_core.training import RunConfig, train

    config = RunConfig(
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
        precision=precision,
    )
    finished = train(
        config,
        store,
        data_root=data_root,
        download=download,
        device=device,
        deadline=None if time_budget is None else time.monotonic() + time_budget,
        deterministic=deterministic,
        report=_epoch_line if sys.stdout.isatty() else None,
    )
    print(json.dumps({"key": finished.key, **finished.record}, indent=1))


@app.command()
def reproduce(
    table: Annotated[
        str, typer.Argument(help="table1, gala, table3, grid, or wanted: what all of them lack")
    ],
    dataset: Annotated[
        str | None, typer.Option(help="one of the table's data sets; default: digits")
    ] = None,
    imbalance_factor: Annotated[
        str | None, typer.Option(help="comma-separated, default: the table's")
    ] = None,
    methods: Annotated[str | None, typer.Option(help="comma-separated, default: all")] = None,
    epochs: Annotated[int | None, typer.Option(help="fewer than the recipe's: reduced")] = None,
    model: Annotated[str | None, typer.Option(help="another network: reduced")] = None,
    seeds: Annotated[int | None, typer.Option(help="number of seeds, from 0")] = None,
    precision: Precision = "float32",
    store: StorePath = Path("runs"),
    data_root: DataRoot = None,
    download: Download = False,
    device: Device = None,
    processes: Annotated[int, typer.Option(help="processes that share a CPU")] = 2,
    pack: Annotated[str, typer.Option(help="runs that share a GPU, or auto")] = "auto",
    time_budget: TimeBudget = None,
    deterministic: Deterministic = False,
    direct: Annotated[
        bool, typer.Option("--direct", help="the same runs without papermill; prints the table")
    ] = False,
    shard: Annotated[str | None, typer.Option(help="I/N: every N-th run from the I-th")] = None,
    output: Annotated[
        Path | None, typer.Option(help="executed notebook, default: STORE/reproduce_TABLE.ipynb")
    ] = None,
) -> None:
    """Make the runs of a table that are missing, and fill its notebook.

    Example: lt-core reproduce table1 --dataset digits --seeds 3
    """
    from lt_core import reproduction

    request = {
        "dataset": dataset,
        "imbalance_factors": _list("imbalance-factor", imbalance_factor, float),
        "methods": methods,
        "seeds": seeds,
        "epochs": epochs,
        "model": model,
        "precision": precision,
    }
    request = {name: value for name, value in request.items() if value is not None}
    resources = {
        "data_root": data_root,
        "download": download,
        "device": device,
        "processes": processes,
        "pack": pack,
        "time_budget": time_budget,
        "deterministic": deterministic,
    }
    if direct:
        print(reproduction.direct(table, request, store, shard=shard, **resources))
    elif shard is not None:
        raise ConfigError("shard: only with --direct, the notebook needs the whole table")
    else:
        print(reproduction.notebook(table, request, store, output=output, **resources))


@app.command()
def status(store: StorePath = Path("runs")) -> None:
    """What a store holds: finished and unfinished runs, and what was set aside.

    Example: lt-core status --store runs
    """
    from lt_core import runs

    if reason := runs.missing_store(store):
        raise StoreError(
            f"{store}: {reason}; expected a store, which lt-core run, reproduce or merge has made"
        )
    frame = runs.load(store)
    unfinished = runs.Store(store).unfinished()
    print(f"{len(frame)} finished, {len(unfinished)} unfinished runs in {store}")
    if "top1" in frame:
        # Everything but the seeds: a mean over different experiments would mean nothing.
        names = ["dataset", "imbalance_factor", "recipe", "overrides", "epochs", "precision"]
        names += ["model", "classifier", "holdout", "method", "variant"]
        names = [name for name in names if name in frame and frame[name].nunique() > 1]
        groups = frame.groupby(names or ["method"], dropna=False)
        print(groups["top1"].agg(["mean", "std", "count"]).round(2).to_string(na_rep="–"))
    for reason in frame.attrs["set_aside"]:
        print(f"set aside: {reason}")


@app.command()
def merge(
    sources: Annotated[list[Path], typer.Argument(help="stores from other machines")],
    store: StorePath = Path("runs"),
    records: Annotated[
        Path | None, typer.Option(help="also write the records of all runs to this CSV file")
    ] = None,
) -> None:
    """Join stores from other machines; contradictions are refused and nothing is written.

    Example: lt-core merge from-gpu/runs --store runs --records results/table1.csv
    """
    from lt_core import merging, runs
    from lt_core import records as record_files

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
    jobs: Annotated[int, typer.Option(help="notebooks executed at once")] = 2,
    out: Annotated[Path, typer.Option(help="where the book is built")] = Path("_build"),
    only: Annotated[
        str | None,
        typer.Option(help="notebooks to execute, comma-separated; others show code without output"),
    ] = None,
) -> None:
    """Execute the notebooks that changed and build the book.

    Example: lt-core book
    """
    from lt_core import book as the_book

    page = the_book.build(
        Path(), out, quick=quick, jobs=jobs, store=store, only=_list("only", only, str)
    )
    print(f"open {page}")


@app.command()
def doctor(device: Device = None) -> None:
    """Versions, hardware, and what of the hardware's speed the engine can use.

    Example: lt-core doctor
    """
    from lt_core import doctor as the_doctor

    print(the_doctor.text(the_doctor.report(device)))


def main(arguments: list[str] | None = None) -> None:
    """Entry point: errors become one line and an exit code."""
    signal.signal(signal.SIGTERM, _terminated)
    signal.signal(signal.SIGINT, _interrupted)
    warnings.showwarning = _warned
    try:
        code = app(args=arguments, standalone_mode=False)
    except LtError as error:
        print(f"lt-core: {error}", file=sys.stderr)
        code = error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        print(f"lt-core: {error.format_message()}", file=sys.stderr)
        code = getattr(error, "exit_code", ConfigError.exit_code)
    if code == INTERRUPTED:  # also typer's own answer to an interrupt
        print("lt-core: interrupted; call again to go on", file=sys.stderr)
    sys.exit(code or 0)


def _interrupted(number: int, frame: object) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # once is enough, and tidying up is quick
    raise KeyboardInterrupt


def _terminated(number: int, frame: object) -> None:
    print("lt-core: stopped; call again to go on", file=sys.stderr)
    sys.exit(TERMINATED)


def _warned(message: Warning | str, *where: object) -> None:
    print(f"lt-core: warning: {message}", file=sys.stderr)


def _pairs(option: str, entries: list[str] | None) -> dict[str, str]:
    pairs = {}
    for entry in entries or []:
        name, equals, value = entry.partition("=")
        if not equals:
            raise ConfigError(f"{option}: expected NAME=VALUE, got {entry!r}")
        pairs[name.strip()] = value.strip()
    return pairs


def _list(option: str, text: str | None, kind: type) -> list | None:
    if text is None:
        return None
    try:
        return [kind(part.strip()) for part in text.split(",") if part.strip()]
    except ValueError:
        raise ConfigError(f"{option}: expected numbers separated by commas, got {text!r}") from None


def _epoch_line(config: object, epoch: int, numbers: dict) -> None:
    print(
        f"epoch {epoch}/{config.epochs}  loss {numbers['train_loss']:.4f}"
        f"  top1 {numbers['top1']:.2f} %",
        flush=True,
    )
