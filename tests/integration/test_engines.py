"""An audit whose steps are worked on elsewhere comes to the same bytes as one that did them all."""

import importlib.util
import os
import signal
import sys
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path

import pytest

from auditor.pipeline import engines, worker
from auditor.report import load
from tests import worlds

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed"
)
ATTACKS = {"identity_lda": {}, "linkage": {}}
DEFENSES = {"retrain": worlds.QUICK_DEFENSES["retrain"], "dp_gallery": {"epsilon": 300.0}}


def contents(out):
    """What a run has left, but for when and in how long."""
    skipped = {"run.json", "progress.json", "manifest.json"}
    found = {p.relative_to(out).as_posix(): p for p in out.rglob("*") if p.is_file()}
    return {
        name: path.read_bytes()
        for name, path in found.items()
        if name not in skipped and not name.startswith("steps/")
    }


@pytest.fixture
def same_as_local(audit, write_config, tmp_path):
    """Run an audit with an engine and without; the journals name the same steps."""

    def compare(*options):
        path = write_config(attacks=ATTACKS, defenses=DEFENSES)
        local, fanned = tmp_path / "local", tmp_path / "fanned"
        assert audit("run", "--config", path, "--out", local)[0] in (0, 4)
        code, _, stderr = audit("run", "--config", path, "--out", fanned, *options)
        assert code in (0, 4), stderr
        assert contents(fanned) == contents(local)
        steps = [sorted(p.name for p in (out / "steps").iterdir()) for out in (local, fanned)]
        assert steps[0] == steps[1]
        return stderr

    return compare


class Here:
    """An engine whose one worker is this process."""

    workers = 1

    def submit(self, job, step, learned):
        outcome = Future()
        outcome.set_result(worker.work_on(job, step, learned))
        return outcome

    def close(self):
        _, world = worker._OPEN.popitem()
        assert not world.ctx.workdir.exists()


def test_a_worker_sends_back_what_the_run_would_have_made_itself(same_as_local, monkeypatch):
    monkeypatch.setattr(engines, "open_engine", lambda *options: Here())
    said = same_as_local("--engine", "processes")
    assert "[16/16]" in said
    assert "kept" not in said


@pytest.mark.slow
def test_processes_give_the_same_bytes(same_as_local):
    assert "[16/16]" in same_as_local("--engine", "processes", "--workers", "2")


@pytest.mark.slow
@needs_ray
def test_two_machines_of_a_ray_cluster_give_the_same_bytes(same_as_local):
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        cluster.add_node(num_cpus=1)
        said = same_as_local("--engine", "ray", "--address", cluster.address)
    finally:
        cluster.shutdown()
    assert "[16/16]" in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "title", "reason"),
    [
        ("processes", b"spawn_main", "its process was ended"),
        pytest.param("ray", b"ray::work_on", "WorkerCrashedError", marks=needs_ray),
    ],
)
def test_a_killed_worker_costs_a_line_and_nothing_else(
    audit_process, write_config, tmp_path, engine, title, reason
):
    path, out = write_config(attacks=ATTACKS, defenses={}), tmp_path / "out"
    options = ("--engine", engine, "--workers", "1")
    process = audit_process("run", "--config", path, "--out", out, *options)
    killer = threading.Thread(target=kill_first_worker, args=(process, title))
    killer.start()
    _, stderr = process.communicate(timeout=500)
    killer.join()
    assert process.returncode in (0, 4), stderr
    lost = [line for line in stderr.splitlines() if "worker was lost" in line]
    assert lost == [f"a worker was lost at none/utility ({reason}); it is tried again"]
    record = load(out / "report.json")
    assert record.complete
    assert {finding.status for finding in record.scenarios[0].findings} == {"done"}


def kill_first_worker(run, title):
    """Kill the first process below ``run`` whose command contains ``title``."""
    while run.poll() is None:
        if found := [pid for pid in below(run.pid) if title in command(pid)]:
            os.kill(found[0], signal.SIGKILL)
            return
        time.sleep(0.05)


def below(top):
    parents = {}
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            stat = (place / "stat").read_text()
            parents[int(place.name)] = int(stat.rpartition(")")[2].split()[1])
    family = {top}
    for _ in range(5):
        family |= {pid for pid, parent in parents.items() if parent in family}
    return sorted(family - {top})


def command(pid):
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def test_without_ray_the_way_out_is_told(audit, write_config, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    path, out = write_config(), tmp_path / "out"
    for command in ("run", "plan"):
        code, _, stderr = audit(command, "--config", path, "--out", out, "--engine", "ray")
        assert code == 6
        assert stderr == (
            "audit: --engine ray: Ray is not installed; pip install "
            "'reid-privacy-auditor[cluster]', or pass --engine processes\n"
        )


@pytest.mark.parametrize(
    "options",
    [
        ("--workers", "2"),
        ("--address", "auto"),
        ("--gpus-per-step", "0.5"),
        ("--engine", "processes", "--address", "auto"),
        ("--engine", "processes", "--gpus-per-step", "0.5"),
        ("--engine", "threads"),
    ],
)
def test_options_that_do_not_go_together(audit, write_config, tmp_path, options):
    path, out = write_config(), tmp_path / "out"
    for command in ("run", "plan"):
        code, _, stderr = audit(command, "--config", path, "--out", out, *options)
        assert code == 2
        assert "--engine" in stderr
