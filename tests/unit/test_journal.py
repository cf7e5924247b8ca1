"""Results lie on disk step by step, whole or not at all."""

import io
import json
import os
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from auditor import journal
from auditor.errors import EnvironmentUnmetError
from auditor.journal import Entry, Step
from auditor.progress import Display
from auditor.report import Curve, Finding, Measurement, Power, ProbeCheck

CHECKS = (ProbeCheck(name="repeatable", outcome="pass", detail="twice the same features"),)
FINDING = Finding(
    attack="identity",
    plugin="identity",
    summary="Who is this?",
    status="done",
    measurements=(Measurement(metric="top1", value=0.5, n=3, low=0.1, high=0.9, chance=0.1),),
)
POWER = Power(metric="top1", planted=None, null=None, required=0.5, shown=False, reason="crashed")
UTILITY = journal.Utility(reason="the defense crashed")
CURVE = Curve(
    name="training", metric="top1", x="epochs", points=((4.0, 0.3, 0.2, 0.4),), log_x=True
)
BUDGET = journal.Budget(curves=(journal.PartialCurve(curve=CURVE, whole=40),), notes=("slow",))
NO_BUDGET = journal.Budget(curves=(), notes=("it crashed",))
ALL = {
    "budget/identity": BUDGET,
    "budget/other": NO_BUDGET,
    "probe": CHECKS,
    "none/utility": UTILITY,
    "power/identity": POWER,
    "none/identity": FINDING,
}


def play(results, folder, after=lambda results: None):
    steps = [
        Step(name, work if callable(work) else lambda progress, work=work: work)
        for name, work in results.items()
    ]
    return journal.run(steps, folder, Display(len(steps), io.StringIO()), after)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_each_result_is_on_disk_before_the_next_step(tmp_path):
    seen = []

    def look(progress):
        seen.append(names(tmp_path))
        return CHECKS

    play({"a": look, "b": look, "c": look}, tmp_path)
    assert seen == [[], ["01-a.json"], ["01-a.json", "02-b.json"]]


def test_every_kind_of_result_survives_the_disk(tmp_path):
    assert play(ALL, tmp_path) == ALL
    for name, result in ALL.items():
        (path,) = tmp_path.glob(f"*-{name.replace('/', '-')}.json")
        entry = TypeAdapter(Entry).validate_json(path.read_bytes())
        assert (entry.step, entry.result) == (name, result)
        assert entry.seconds >= 0


def test_results_so_far_are_shown_after_each_step(tmp_path):
    shown = []
    play(ALL, tmp_path, lambda results: shown.append(list(results)))
    assert shown == [list(ALL)[: count + 1] for count in range(len(ALL))]


def test_names_stay_inside_the_folder(tmp_path):
    play({"../../etc/pass wd é": CHECKS}, tmp_path / "deep" / "journal")
    assert names(tmp_path / "deep" / "journal") == ["01-..-..-etc-pass-wd-.json"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_an_interruption_keeps_what_was_done(tmp_path, stop):
    def interrupted(progress):
        raise stop

    shown = []
    with pytest.raises(stop):
        play({"one": FINDING, "two": interrupted, "three": CHECKS}, tmp_path, shown.append)
    assert names(tmp_path) == ["01-one.json"]
    assert json.loads((tmp_path / "01-one.json").read_text())["result"]["attack"] == "identity"
    assert len(shown) == 1


def test_steps_are_announced_with_their_progress(tmp_path):
    said = io.StringIO()

    def work(progress):
        progress(0.5, "half")
        return CHECKS

    journal.run([Step("probe", work)], tmp_path, Display(1, said), lambda results: None)
    assert said.getvalue().startswith("[1/1] probe …\n[1/1] probe done in ")


class TestWrite:
    def test_whole_files_with_folders_made_for_them(self, tmp_path):
        journal.write(tmp_path / "a" / "b.json", b"new")
        assert (tmp_path / "a" / "b.json").read_bytes() == b"new"
        assert names(tmp_path / "a") == ["b.json"]
        assert (tmp_path / "a" / "b.json").stat().st_mode & 0o777 == 0o644

    @pytest.mark.parametrize("call", ["replace", "chmod"])
    def test_a_refusal_at_the_last_moment_leaves_the_old_file(self, tmp_path, monkeypatch, call):
        path = tmp_path / "report.json"
        path.write_bytes(b"old")

        def refuse(*args, **kwargs):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Path, call, refuse)
        with pytest.raises(EnvironmentUnmetError, match=r"report\.json: No space left on device"):
            journal.write(path, b"new")
        assert path.read_bytes() == b"old"
        assert names(tmp_path) == ["report.json"]

    def test_a_full_disk_while_writing_leaves_nothing(self, tmp_path, monkeypatch):
        def refuse(descriptor):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", refuse)
        with pytest.raises(EnvironmentUnmetError, match="No space left"):
            journal.write(tmp_path / "report.json", b"new")
        assert names(tmp_path) == []

    def test_an_interruption_while_writing_leaves_nothing(self, tmp_path, monkeypatch):
        def interrupt(descriptor):
            raise KeyboardInterrupt

        monkeypatch.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            journal.write(tmp_path / "report.json", b"new")
        assert names(tmp_path) == []

    def test_a_file_where_a_folder_should_be(self, tmp_path):
        (tmp_path / "taken").write_text("a file")
        with pytest.raises(EnvironmentUnmetError, match=r"cannot write .*taken"):
            journal.write(tmp_path / "taken" / "report.json", b"new")

    def test_a_folder_where_the_file_should_be(self, tmp_path):
        (tmp_path / "report.json").mkdir()
        with pytest.raises(EnvironmentUnmetError, match="cannot write"):
            journal.write(tmp_path / "report.json", b"new")
        assert names(tmp_path) == ["report.json"]

    def test_a_step_whose_result_cannot_be_written_stops_the_run(self, tmp_path):
        (tmp_path / "journal").write_text("a file")
        with pytest.raises(EnvironmentUnmetError, match=r"01-one\.json"):
            play({"one": CHECKS, "two": CHECKS}, tmp_path / "journal")
