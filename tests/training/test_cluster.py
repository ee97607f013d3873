"""A plan on a simulated cluster: two nodes of one CPU each, a worker killed, data of their own."""

import os
import shutil
import signal
import socket
import threading
import time
from pathlib import Path

import pytest
from own_images import write_own_images
from tiny import numbers, tiny, trained

from lt_core import runs
from lt_core.data.own import FOLDERS
from lt_core.errors import ConfigError, Unfinished
from lt_core.runs.store import LOCKS
from lt_core.training import RunConfig, cluster, reproduce, train

PORTS = (
    "metrics_agent_port",
    "metrics_export_port",
    "runtime_env_agent_port",
    "dashboard_agent_listen_port",
)
FEW_PROCESSES = {"include_dashboard": False, "include_log_monitor": False, "no_monitor": True}


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    """The data roots of the two nodes."""
    roots = [tmp_path_factory.mktemp(f"node-{number}") for number in range(2)]
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAY_USAGE_STATS_ENABLED", "0")
        environment.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        environment.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        environment.delenv(FOLDERS, raising=False)
        own = Path(cluster.__file__).parents[2]
        tests = Path(__file__).parents[1]
        paths = [own, tests, tests / "training", *filter(None, [os.environ.get("PYTHONPATH")])]
        environment.setenv("PYTHONPATH", os.pathsep.join(map(str, paths)))
        import ray  # here, and below: it takes seconds

        for attempt in range(3):  # on a busy machine Ray's agents may start too late
            try:
                simulated = started(roots)
                ray.init(simulated.address, logging_level="warning")
                break
            except Exception:
                ray.shutdown()
                if attempt == 2:
                    raise
        yield roots
        ray.shutdown()
        simulated.shutdown()


def started(roots):
    """A Ray cluster of two nodes."""
    from ray._private.node import Node
    from ray.cluster_utils import Cluster

    real, simulated = Node.start_ray_processes, Cluster()

    def start(self):
        """Say beforehand which ports a node's agents have: Ray waits 15 s for them, no more."""
        for name in PORTS:
            with socket.socket() as found:
                found.bind(("", 0))
                setattr(self._ray_params, name, found.getsockname()[1])
        told = Path(self._session_dir) / f"{PORTS[-1]}_{self._node_id}"
        told.write_text(str(getattr(self._ray_params, PORTS[-1])))
        real(self)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Node, "start_ray_processes", start)
        for root in roots:
            environment = {"LT_DATA_ROOT": str(root), FOLDERS: str(root / "pets")}
            simulated.add_node(num_cpus=1, env_vars=environment, **FEW_PROCESSES)
    return simulated


def make(plan, store, **options):
    reproduce(plan, store, **{"engine": "ray", "progress": False, **options})


def holder(lock):
    """The process that has this file open, other than ours."""
    for entry in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if entry.readlink() == lock and entry.parts[2] != str(os.getpid()):
                return int(entry.parts[2])
        except OSError:
            continue
    return None


def test_a_killed_worker_loses_nothing_and_counts_nothing_twice(nodes, tmp_path, capfd):
    plan = [tiny(seed=seed, epochs=60 if seed == 0 else 2) for seed in range(4)]
    store, killed = tmp_path / "store", []
    with pytest.raises(Unfinished):  # so there is a checkpoint to go on from
        train(plan[0], store, device="cpu", deadline=0.0)

    def kill():
        while (worker := holder(store / LOCKS / plan[0].key)) is None:
            time.sleep(0.05)
        time.sleep(0.5)
        killed.append(worker)
        os.kill(worker, signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    make(plan, store, progress=True)
    killer.join(timeout=0)
    assert killed, "it was too quick for us"
    frame = runs.load(store)
    assert sorted(frame["key"]) == sorted(config.key for config in plan)
    assert frame.attrs["set_aside"] == []
    for config in plan:
        assert numbers(runs.open(store, config.key)) == numbers(trained(config, tmp_path / "alone"))
    lines = capfd.readouterr().out.splitlines()
    assert [sum(f"[{n}/4] digits" in line for line in lines) for n in range(1, 6)] == [1] * 4 + [0]


def test_each_node_reads_its_own_images(nodes, tmp_path):
    """One of the nodes has a damaged image, which its runs count."""
    own = write_own_images(tmp_path / "pets")
    for root in nodes:
        shutil.copytree(own, root / "pets")
    (nodes[1] / "pets/train/ant/7.jpg").write_bytes(b"damaged")
    plan = [
        RunConfig(
            dataset=f"folder:{own}",
            method="softmax",
            model="resnet_rehearsal",
            epochs=2,
            seed=seed,
            overrides={"image_size": 32, "batch_size": 8, "warmup_epochs": 0},
        )
        for seed in range(4)
    ]
    make(plan, tmp_path / "store", damaged="skip")
    skipped = [runs.open(tmp_path / "store", c.key).history["skipped"].max() for c in plan]
    assert set(skipped) == {0, 1}


def test_missing_data_are_named_as_the_node_looks_for_them(nodes, tmp_path, call, monkeypatch):
    monkeypatch.setenv("LT_DATA_ROOT", str(tmp_path / "of the caller"))
    words = "reproduce table1 --dataset cifar10 --methods softmax --seeds 1 --imbalance-factor 100"
    code, _, lines = call(f"{words} --engine ray --direct --store", tmp_path / "store")
    assert code == 4, lines
    assert "1 of 1 runs failed" in lines[-1]
    assert any(f"cifar10: no train images in {root}" in lines[-1] for root in nodes)


def test_a_time_budget_stops_at_checkpoints(nodes, tmp_path):
    with pytest.raises(Unfinished, match="2 of 2 runs remain; call again"):
        make([tiny(seed=s, epochs=50) for s in range(2)], tmp_path, time_budget=0.01)


def test_a_share_that_no_node_has_is_refused(nodes, tmp_path):
    with pytest.raises(ConfigError, match=r"no node of the cluster has 1 CPUs and 0\.5 GPUs"):
        make([tiny()], tmp_path, gpus_per_run=0.5)
    with pytest.raises(ConfigError, match="'cuda' does not go with 0 GPUs"):
        make([tiny()], tmp_path, device="cuda")


def test_a_cluster_that_does_not_see_the_store_says_so(tmp_path):
    config = tiny()
    how = {"store": str(tmp_path / "none"), "folders": "", "pause": None, "until": None}
    (reason,) = cluster.make(config.key, config.to_dict(), how)["failed"].values()
    assert reason[0] == 6
    assert "none: not there; expected a folder that all nodes share" in reason[1]
