"""Steps that are worked on elsewhere: in which order, and what becomes of workers that are lost."""

import io
from collections.abc import Mapping
from concurrent.futures import Future

import pytest

from auditor.artifacts.progress import Followed, read
from auditor.config import AuditConfig
from auditor.console import Display
from auditor.errors import ModelError
from auditor.evaluation.utility import Utility
from auditor.pipeline import journal
from auditor.pipeline.fanout import TRIES, AuditJob, LostWorkerError, StepOutcome, fan_out
from auditor.pipeline.journal import Entry, Step
from auditor.report import Finding, ProbeCheck

FINDING = Finding(attack="identity", plugin="identity", summary="Who is this?", status="done")
RESULTS = {"probe": (ProbeCheck(name="finite", outcome="pass", detail="fine"),)}


class Scripted:
    """An engine that answers at once, unless it is told to lose a step or to raise."""

    workers = 2

    def __init__(self, results, lose=(), files=None):
        self.results, self.lose, self.files = results, list(lose), files or {}
        self.begun: list[str] = []

    def submit(self, job: AuditJob, step: str, learned: Mapping[str, bytes]) -> Future[StepOutcome]:
        self.begun.append(step)
        self.learned = learned
        future: Future[StepOutcome] = Future()
        result = self.results[step]
        if step in self.lose:
            self.lose.remove(step)
            future.set_exception(LostWorkerError("killed"))
        elif isinstance(result, Exception):
            future.set_exception(result)
        else:
            entry = Entry(step=step, seconds=1.0, result=result)
            future.set_result(StepOutcome(entry=entry, files=self.files.get(step, {})))
        return future


def local(progress):
    raise AssertionError("worked on here")


def plan(work=local):
    probe = Step("probe", lambda progress: RESULTS["probe"])
    steps = [probe]
    for scenario in ("none", "noise"):
        steps.append(Step(f"{scenario}/utility", work, kind="utility", scenario=scenario))
        for attack in ("a", "b"):
            name = f"{scenario}/{attack}"
            steps.append(Step(name, work, kind="attack", scenario=scenario, attack=attack))
    return steps


def results_of(steps):
    return {s.name: Utility() if s.kind == "utility" else FINDING for s in steps[1:]} | RESULTS


def play(engine, steps, out, said, after=lambda results: None):
    display = Followed(Display(len(steps), said), out, "basis", [step.name for step in steps])
    job = AuditJob(key="", config=AuditConfig(), folder="")

    def elsewhere(missing, entries):
        fan_out(engine, job, missing, out, entries, display, after)

    return journal.run(steps, out / "steps", display, after, elsewhere=elsewhere)


def test_everything_but_the_probe_is_worked_on_elsewhere_utilities_first(tmp_path):
    steps, said = plan(), io.StringIO()
    engine = Scripted(results_of(steps))
    assert play(engine, steps, tmp_path, said) == engine.results
    assert engine.begun[:2] == ["none/utility", "noise/utility"]
    assert sorted(engine.begun) == sorted(step.name for step in steps[1:])
    assert "[7/7]" in said.getvalue()
    assert "kept" not in said.getvalue()
    assert set(read(tmp_path).steps.values()) == {"done"}
    written = [path.name for path in sorted((tmp_path / "steps").iterdir())]
    assert written[1:4] == ["02-none-utility.json", "03-none-a.json", "04-none-b.json"]


def test_a_scenario_waits_for_its_defense_alone(tmp_path):
    steps = plan()
    engine = Scripted(results_of(steps), lose=["noise/utility"])
    play(engine, steps, tmp_path, io.StringIO())
    assert engine.begun.index("none/a") < engine.begun.index("noise/a")
    second = [i for i, name in enumerate(engine.begun) if name == "noise/utility"][1]
    assert second < engine.begun.index("noise/a")


def test_a_lost_worker_is_said_in_a_line_and_its_step_tried_again(tmp_path):
    steps, said = plan(), io.StringIO()
    engine = Scripted(results_of(steps), lose=["none/a"])
    assert play(engine, steps, tmp_path, said) == engine.results
    (line,) = (line for line in said.getvalue().splitlines() if "lost" in line)
    assert line == "a worker was lost at none/a (killed); it is tried again"
    assert engine.begun.count("none/a") == 2


def test_a_step_that_loses_every_worker_is_done_here(tmp_path):
    steps, said = plan(lambda progress: FINDING), io.StringIO()
    engine = Scripted(results_of(steps), lose=["none/a"] * TRIES)
    assert play(engine, steps, tmp_path, said) == engine.results
    assert engine.begun.count("none/a") == TRIES
    assert "it is left to this process" in said.getvalue()


def test_what_failed_elsewhere_is_not_tried_again_here(tmp_path):
    steps = plan()
    crashed = Finding(attack="a", plugin="a", summary="", status="failed", reason="crashed")
    engine = Scripted({**results_of(steps), "none/a": crashed})
    assert play(engine, steps, tmp_path, io.StringIO())["none/a"] == crashed


def test_files_lie_where_the_run_itself_would_have_put_them(tmp_path):
    steps = plan()
    files = {"none/utility": {"personal/retrained/x.safetensors": b"weights"}}
    engine = Scripted(results_of(steps), files=files)
    play(engine, steps, tmp_path, io.StringIO())
    kept = tmp_path / "personal" / "retrained" / "x.safetensors"
    assert kept.read_bytes() == b"weights"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert engine.learned == {"personal/retrained/x.safetensors": b"weights"}


def test_what_is_done_is_on_disk_when_a_step_ends_the_run(tmp_path):
    steps = plan()
    engine = Scripted({**results_of(steps), "none/b": ModelError("no extractor")})
    shown = []
    with pytest.raises(ModelError, match="no extractor"):
        play(engine, steps, tmp_path, io.StringIO(), lambda results: shown.append(dict(results)))
    assert "none/utility" in shown[-1]
    again = Scripted(results_of(steps))
    display = Followed(Display(7, io.StringIO()), tmp_path, "", [step.name for step in steps])
    job = AuditJob(key="", config=AuditConfig(), folder="")
    journal.run(
        steps,
        tmp_path / "steps",
        display,
        lambda results: None,
        resume=True,
        elsewhere=lambda missing, entries: fan_out(
            again, job, missing, tmp_path, entries, display, lambda results: None
        ),
    )
    assert "none/utility" not in again.begun
    assert "none/b" in again.begun
