"""The benchmarks start, mark what they promise and missed, and compare equal work."""

import gc
import importlib
import json
import re
import shutil
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
import torch

from benchmarks import data_path, engine_cpu, engine_gpu
from benchmarks.common import Bench, Report, peak_memory, run_epoch, synthetic
from lt_core import doctor
from lt_core.training.engine import Engine
from lt_core.training.loop import settings

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[1]
NAMES = (
    "data_path",
    "disk_loader",
    "engine_cpu",
    "engine_gpu",
    "gala_statistics",
    "losses",
    "scaling",
)


@pytest.fixture(scope="module")
def bench():
    return Bench(CPU, "digits", imbalance_factor=10)


@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_imports(name):
    assert callable(importlib.import_module(f"benchmarks.{name}").main)


@pytest.mark.parametrize(
    ("verdicts", "code"), [((), 0), ((True, None), 0), ((True, False), 1), ((None, False, True), 1)]
)
def test_a_missed_bar_is_marked_and_sets_the_exit_code(verdicts, code):
    report = Report("claim", CPU)
    for holds in verdicts:
        report.add("rate", 1.0, "x", ">= 1", holds)
    marked = [row["verdict"] == "DOES NOT HOLD" for row in report.rows]
    assert marked == [holds is False for holds in verdicts]
    assert report.exit_code == code


def test_rows_before_an_error_are_kept(tmp_path):
    report = Report("claim", CPU)

    def fail():
        with report.kept(tmp_path, "script"):
            report.add("rate", 1.0, "x")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert sorted("".join(path.suffixes[-2:]) for path in tmp_path.iterdir()) == [
        ".csv.partial",
        ".md.partial",
    ]


def test_a_measurement_that_fails_leaves_the_one_before_it(tmp_path):
    def measure(rate, error=None):
        report = Report("claim", CPU)
        with report.kept(tmp_path, "script"):
            report.add("rate", rate, "x")
            if error:
                raise error

    measure(1.0)
    before = {path.name: path.read_text() for path in tmp_path.iterdir()}
    with pytest.raises(KeyboardInterrupt):
        measure(2.0, KeyboardInterrupt())
    assert {name: (tmp_path / name).read_text() for name in before} == before
    assert len(list(tmp_path.glob("*.csv"))) == 1  # what a page reads


def test_no_folder_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report = Report("claim", CPU)
    with report.kept(None, "script"):
        report.add("rate", 1.0, "x")
    assert not list(tmp_path.iterdir())


def test_eager_and_engine_train_alike(bench):
    engine = bench.engine()
    batches = engine_cpu.prepared(engine, 2)
    plain = [(images.contiguous(), target) for images, target in batches]
    model, loss = engine_cpu.eager_steps(engine, plain)
    assert engine_cpu.engine_steps(engine, 2) == pytest.approx(loss, rel=1e-5)
    for mine, theirs in zip(engine.weights.master, model.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_bare_and_whole_steps_train_alike(bench, precision):
    whole, bare = bench.engine(precision=precision), bench.engine(precision=precision)
    start = [weight.detach().clone() for weight in bare.weights.master]
    loss = engine_cpu.bare_steps(bare, engine_cpu.prepared(bare, 2))
    assert engine_cpu.engine_steps(whole, 2) == pytest.approx(loss, rel=1e-5)
    for mine, theirs in zip(whole.weights.master, bare.weights.master, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)
    assert not all(map(torch.equal, start, bare.weights.master))


def test_an_epoch_counts_the_images_of_every_engine(bench):
    engine = bench.engine()
    assert run_epoch(engine, evaluate=True) == len(bench.train.targets)


def test_paths_are_checked_against_torchvision():
    images = synthetic("cifar10", 100).images[:300]
    for augmentation, check in [
        (data_path.CROP, data_path.check_crops),
        (data_path.POLICY, data_path.check_policy),
    ]:
        ours = data_path.Ours(images, augmentation, 100, CPU)
        check(ours, images)
        with pytest.raises(SystemExit, match="differs"):
            check(ours, 255 - images)


def reached(function, depth=3):
    """The tensors that a function reads through its closure and those of inner functions."""
    for cell in function.__closure__ or ():
        value = cell.cell_contents
        if isinstance(value, torch.Tensor):
            yield value
        elif callable(value) and hasattr(value, "__closure__") and depth:
            yield from reached(value, depth - 1)


def test_what_the_bare_networks_graphs_read_lives_as_long_as_they(bench, monkeypatch):
    """A graph holds addresses; what was freed would be read all the same."""
    read = []

    def captured(self, work):
        read.extend(weakref.ref(tensor) for tensor in reached(work))
        return lambda: None

    monkeypatch.setattr(Engine, "captured", captured)
    engine = bench.engine()
    for group in engine.optimizer.param_groups:
        group["lr"] = torch.tensor(0.0)  # as on a GPU
    epoch = engine_gpu.bare_epoch(bench, engine)
    gc.collect()
    assert len(read) >= 3
    assert all(reference() is not None for reference in read)
    assert epoch() == engine.images_per_epoch
    del epoch, engine
    gc.collect()
    assert all(reference() is None for reference in read)


def test_convolutions_of_the_peer_may_use_tf32_and_no_others():
    convolution = torch.backends.cudnn.conv
    with settings(torch.device("cuda"), deterministic=False):
        assert convolution.fp32_precision == "ieee"
        with engine_gpu.tf32_convolutions():
            assert convolution.fp32_precision == "tf32"
        assert convolution.fp32_precision == "ieee"


def test_the_peak_of_a_gpu_has_the_pools_of_graphs(monkeypatch):
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device=None: 2**20)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda device=None: 2**30)
    assert peak_memory(torch.device("cuda")) == 1024
    assert 10 < peak_memory(CPU) < 1e6  # of this process


@pytest.mark.parametrize("measured", [doctor.engine_rate, doctor.matrix_flops])
def test_settings_of_training_rule_where_engines_are_timed(monkeypatch, measured):
    seen = []

    class Stop(Exception):
        pass

    def settings(device, deterministic):
        seen.append((device, deterministic))
        raise Stop

    monkeypatch.setattr(doctor, "settings", settings)
    with pytest.raises(Stop):
        measured(CPU, "float32")
    assert seen == [(CPU, False)]


def test_the_block_of_table_1_has_eight_methods_at_four_factors():
    block = engine_gpu.table_block()
    pairs = {(config.method, config.imbalance_factor) for config in block}
    assert len(block) == len(pairs) == 32
    assert [config.imbalance_factor for config in block[::8]] == [100, 500, 10, 1]


def test_the_loaders_benchmark_measures_both_sides_of_one_step(tmp_path):
    options = "--model resnet_rehearsal --size 32 --images 8 --batch-size 4 --rounds 1 --workers 1"
    command = [sys.executable, "-m", "benchmarks.disk_loader", *options.split()]
    done = subprocess.run(
        [*command, "--out", tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stderr  # 1: the bar was missed
    (table,) = tmp_path.glob("disk_loader_*.csv")
    assert "from disk / lying ready" in table.read_text()
    report = table.with_suffix(".md").read_text()
    assert f"`python -m benchmarks.disk_loader {options}`" in report
    assert str(tmp_path) not in report


def test_the_page_of_costs_takes_a_second_report_of_the_loader(tmp_path):
    pytest.importorskip("IPython", reason="needs the notebooks extra")
    for path in (ROOT / "benchmarks").glob("*_20????.*"):
        shutil.copy(path, tmp_path)
    (report,) = tmp_path.glob("disk_loader_*.csv")
    for ending in (".csv", ".md"):
        text = report.with_suffix(ending).read_text().replace("0 workers", "16 workers")
        text = re.sub(r"^.*(?=; python )", "A GPU", text, flags=re.MULTILINE)
        (tmp_path / f"disk_loader_a_gpu{ending}").write_text(text)
    cases = json.dumps([["what_it_costs", {}, str(tmp_path), "text"]])
    command = [sys.executable, ROOT / "tests/notebook_cells.py", ROOT / "notebooks"]
    done = subprocess.run(command, input=cases, capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert found["error"] is None
    assert "Measured on A GPU, images a second: resnet50" in found["last"]
