"""Results lie on disk step by step, whole or not at all."""

import io
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from auditor.console import Display
from auditor.errors import EnvironmentUnmetError
from auditor.evaluation.budget import PartialCurve
from auditor.pipeline import journal
from auditor.pipeline.journal import Entry, Step
from auditor.report import Curve, Finding, Measurement, Power, ProbeCheck

CHECKS = (ProbeCheck(name="repeatable", outcome="pass", detail="twice the same features"),)
FINDING = Finding(
    attack="identity",
    plugin="identity",
    summary="Who is this?",
    status="done",
    measurements=(Measurement(metric="top1", value=0.5, n=3, low=0.1, high=0.9, chance=0.1),),
)
CRASHED = replace(FINDING, status="failed", reason="out of memory")
UTILITY_DONE = journal.Utility(measurements=FINDING.measurements)
POWER = journal.Controls(
    powers=(
        Power(
            metric="top1",
            planted=None,
            null=None,
            reference=None,
            adversary="",
            required=0.5,
            outcome="not-run",
            reason="crashed",
        ),
    )
)
UTILITY = journal.Utility(reason="the defense crashed")
CURVE = Curve(
    name="training", metric="top1", x="epochs", points=((4.0, 0.3, 0.2, 0.4),), log_x=True
)
BUDGET = journal.Budget(curves=(PartialCurve(curve=CURVE, whole=40),), notes=("slow",))
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


class TestResuming:
    def test_what_was_done_is_kept_and_the_rest_is_run(self, tmp_path):
        done = play({"one": FINDING, "two": UTILITY_DONE}, tmp_path)
        said, reports = io.StringIO(), []
        steps = [Step("one", never), Step("two", never), Step("three", lambda progress: CHECKS)]
        results = journal.run(
            steps, tmp_path, Display(3, said), lambda r: reports.append(list(r)), resume=True
        )
        assert results == {**done, "three": CHECKS}
        assert said.getvalue().startswith("[1/3] one kept\n[2/3] two kept\n[3/3] three …\n")
        assert reports == [["one", "two", "three"]]

    def test_the_record_is_written_even_if_nothing_is_left_to_do(self, tmp_path):
        play({"one": FINDING}, tmp_path)
        reports = []
        again([Step("one", never)], tmp_path, reports.append)
        assert reports == [{"one": FINDING}]

    def test_without_being_asked_everything_is_run_again(self, tmp_path):
        play({"one": FINDING}, tmp_path)
        with pytest.raises(AssertionError, match="run again"):
            play({"one": never}, tmp_path)

    @pytest.mark.parametrize(
        "failed", [CRASHED, UTILITY, POWER], ids=["attack", "defense", "power"]
    )
    def test_what_failed_is_tried_again(self, tmp_path, failed):
        play({"one": failed}, tmp_path)
        assert again([Step("one", lambda progress: FINDING)], tmp_path) == {"one": FINDING}

    def test_a_run_of_its_own_leaves_nothing_of_another_to_be_kept(self, tmp_path):
        play({"one": FINDING, "two": CRASHED, "three": FINDING}, tmp_path)
        (tmp_path / "notes.txt").write_text("not the journal's")
        play({"one": CHECKS}, tmp_path)
        assert names(tmp_path) == ["01-one.json", "notes.txt"]
        with pytest.raises(AssertionError, match="run again"):
            again([Step("one", never), Step("three", never)], tmp_path)

    def test_other_settings_are_another_step(self, tmp_path):
        first = Step("one", lambda progress: FINDING, {"attack": {"epochs": 4, "size": (1, 2)}})
        again([first], tmp_path)
        with pytest.raises(AssertionError, match="run again"):
            again([Step("one", never, {"attack": {"epochs": 5, "size": (1, 2)}})], tmp_path)

    def test_an_entry_moves_with_its_step_and_a_new_one_replaces_it(self, tmp_path):
        play({"one": FINDING, "two": CRASHED}, tmp_path)
        steps = [
            Step("new", lambda progress: CHECKS),
            Step("one", never),
            Step("two", lambda progress: FINDING),
        ]
        again(steps, tmp_path)
        assert names(tmp_path) == ["01-new.json", "02-one.json", "03-two.json"]
        assert again([Step(step.name, never) for step in steps], tmp_path)["two"] == FINDING

    def test_an_entry_that_cannot_be_read_is_none(self, tmp_path):
        play({"one": CHECKS}, tmp_path)
        (tmp_path / "01-one.json").write_text("{half")
        assert again([Step("one", lambda progress: FINDING)], tmp_path) == {"one": FINDING}

    def test_an_entry_that_is_no_file_is_none(self, tmp_path):
        """A pipe would be waited for, and a link may lead anywhere."""
        play({"one": CHECKS}, tmp_path)
        whole = (tmp_path / "01-one.json").rename(tmp_path / "whole")
        (tmp_path / "01-one.json").symlink_to(whole)
        os.mkfifo(tmp_path / "02-two.json")
        (tmp_path / "03-three.json").mkdir()
        assert again([Step("one", lambda progress: FINDING)], tmp_path) == {"one": FINDING}


def again(steps, folder, after=lambda results: None):
    return journal.run(steps, folder, Display(len(steps), io.StringIO()), after, resume=True)


def never(progress):
    raise AssertionError("run again")


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
