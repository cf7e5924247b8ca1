"""How far a run is, told from its folder: each outcome, each state of a step, and the way on."""

import json
import os

import pytest

from auditor.artifacts import progress, status
from auditor.artifacts.manifest import MANIFEST, OCCASION, PROGRESS, PURGES
from auditor.artifacts.ownership import MARK, hold_folder, is_held
from auditor.artifacts.progress import Followed
from auditor.cli.main import execute
from auditor.console import Quiet
from auditor.errors import UsageError
from auditor.report import AuditReport, dumps

STEPS = ("probe", "none/utility", "none/identity")


@pytest.fixture
def begun(tmp_path):
    """A run that is at its second of three steps."""
    out = tmp_path / "out"
    with hold_folder(out):
        (out / OCCASION).write_text(
            json.dumps({"created": "2026-03-01T10:00:00+00:00", "command": "audit run --out out"})
        )
        followed = Followed(Quiet(3), out, "digest", STEPS)
        with followed.step("probe"):
            pass
        finish(out, "probe", 1.5)
        with followed.step("none/utility"):
            pass
    return out


def finish(out, step, seconds):
    (out / "steps").mkdir(exist_ok=True)
    path = out / "steps" / f"{step.replace('/', '-')}.json"
    path.write_text(json.dumps({"step": step, "seconds": seconds, "result": {}}))


def save_record(out, *, complete):
    (out / "report.json").write_text(
        dumps(AuditReport(title="m on d", config={}, complete=complete))
    )
    (out / MANIFEST).write_text("{}")


def states(found):
    return {step.name: step.state for step in found.steps}


def test_a_run_that_is_at_work(begun):
    with hold_folder(begun):
        found = status.look(begun)
    assert (found.outcome, found.alive, found.pid) == ("running", True, os.getpid())
    assert states(found) == dict(zip(STEPS, ("done", "running", "missing"), strict=True))
    assert found.seconds == 1.5
    assert found.steps[1].seconds >= 0
    assert found.next == f"audit status {begun}"


def test_a_run_whose_command_is_gone_says_which_command_goes_on(begun):
    found = status.look(begun)
    assert (found.outcome, found.alive) == ("interrupted", False)
    assert states(found) == dict(zip(STEPS, ("done", "missing", "missing"), strict=True))
    assert found.next == "audit run --out out"
    finish(begun, "none/utility", 2)  # killed after the result was written, before the next step
    assert states(status.look(begun))["none/utility"] == "done"


@pytest.mark.parametrize("seconds", ["NaN", "Infinity", "-1", "1e300", "1e12", "[]"])
def test_a_step_that_took_no_time_that_can_be(begun, seconds, capsys):
    (begun / "steps" / "probe.json").write_text(f'{{"step": "probe", "seconds": {seconds}}}')
    assert execute(["status", str(begun)]) == 130
    said = capsys.readouterr()
    assert "in 0.0 s" in said.out
    assert said.err == ""  # another run was interrupted, not this command


@pytest.mark.parametrize("earlier", [3, ["a"], {"a": 1}, [None], [[]]])
def test_earlier_commands_of_another_form(begun, earlier):
    (begun / OCCASION).write_text(json.dumps({"earlier": earlier, "command": "audit run"}))
    assert status.look(begun).began == ""


def test_a_run_is_finished_once_its_record_is_complete_and_sealed(begun):
    save_record(begun, complete=False)
    assert status.look(begun).outcome == "interrupted"
    save_record(begun, complete=True)
    found = status.look(begun)
    assert (found.outcome, found.title) == ("finished", "m on d")
    assert found.next == f"audit gate {begun / 'report.json'}"
    (begun / MANIFEST).unlink()  # killed while it was rendered
    assert status.look(begun).outcome == "interrupted"
    (begun / PURGES).write_text("[]")
    assert status.look(begun).outcome == "purged"


def test_the_first_of_several_parts_says_when_it_began(begun):
    earlier = [{"created": "2026-02-01T10:00:00+00:00", "command": "audit run"}]
    (begun / OCCASION).write_text(json.dumps({"created": "later", "earlier": earlier}))
    assert status.look(begun).began == "2026-02-01T10:00:00+00:00"


@pytest.mark.parametrize("name", [progress.PROGRESS, OCCASION, "report.json", "steps/probe.json"])
@pytest.mark.parametrize("content", ["", "[]", '{"steps": 1}', "[" * 100_000], ids=len)
def test_a_damaged_file_is_taken_for_none(begun, name, content):
    (begun / name).write_text(content)
    assert status.look(begun).outcome == "interrupted"


def test_a_folder_without_a_run_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="contains no run"):
        status.look(tmp_path)
    (tmp_path / MARK).write_text("")
    with pytest.raises(UsageError, match="nothing was begun"):
        status.look(tmp_path)


def test_looking_whether_a_folder_is_held_neither_holds_nor_makes_anything(tmp_path):
    assert not is_held(tmp_path)
    assert not list(tmp_path.iterdir())
    with hold_folder(tmp_path):
        assert is_held(tmp_path)
    assert not is_held(tmp_path)


@pytest.mark.parametrize(
    ("outcome", "code"), [("finished", 0), ("running", 4), ("interrupted", 130)]
)
def test_the_command(begun, capsys, outcome, code):
    from auditor.cli.main import execute

    if outcome == "finished":
        save_record(begun, complete=True)
    if outcome == "running":
        with hold_folder(begun):
            assert execute(["status", str(begun)]) == code
    else:
        assert execute(["status", str(begun)]) == code
    said = capsys.readouterr().out
    assert f"\n{outcome}, process {os.getpid()}" in said
    assert "\n  done     probe" in said
    assert said.splitlines()[-1].startswith("next: audit ")
    if outcome != "running":
        assert execute(["status", str(begun), "--json"]) == code
        assert json.loads(capsys.readouterr().out)["outcome"] == outcome


@pytest.mark.parametrize("since", ["yesterday", "2026-03-01T10:00:00", None])
def test_a_progress_file_whose_time_is_none(begun, since):
    said = json.loads((begun / PROGRESS).read_text())
    (begun / PROGRESS).write_text(json.dumps({**said, "since": since}))
    with hold_folder(begun):
        assert states(status.look(begun)) == {"probe": "done"}  # what the journal alone says


def test_a_step_that_begins_tomorrow_has_taken_no_time(begun):
    said = json.loads((begun / PROGRESS).read_text())
    (begun / PROGRESS).write_text(json.dumps({**said, "since": "2126-03-01T10:00:00+00:00"}))
    with hold_folder(begun):
        assert status.look(begun).steps[1].seconds == 0.0
