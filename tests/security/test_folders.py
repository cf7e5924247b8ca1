"""What no audit made is not an audit's to touch, and one audit at a time is at work in a folder."""

import json
import multiprocessing
import os
import shlex
import stat

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from auditor.artifacts import purge
from auditor.artifacts.atomic import TEMPORARY, write
from auditor.artifacts.manifest import MANIFEST, OCCASION, PROGRESS, seal
from auditor.artifacts.ownership import MARK, check, hold_folder, sweep
from auditor.artifacts.progress import Followed
from auditor.console import Quiet
from auditor.errors import UsageError
from auditor.report import dumps
from tests import records

STRANGERS = {
    "steps/training.json": "{}",
    "personal/cv.doc": "cv",
    "report.docx": "thesis",
    "report.json": "{}",
    "manifest.json": "{}",
    "run.json": "{}",
}


def content(folder):
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), stat.S_IMODE(path.stat().st_mode))
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.shows("strangers")
@pytest.mark.parametrize("flag", [None, "--overwrite", "--resume"])
@pytest.mark.parametrize("name", STRANGERS)
def test_a_folder_of_somebodys_is_refused_and_untouched(audit, write_config, tmp_path, name, flag):
    place = tmp_path / "project" / name
    place.parent.mkdir(parents=True)
    place.write_text(STRANGERS[name])
    before = content(tmp_path / "project")
    flags = [] if flag is None else [flag]
    code, _, err = audit(
        "run", "--config", write_config(), "--out", tmp_path / "project", *flags
    )  # fmt: skip
    assert code == 2
    assert err.count("\n") == 1
    assert "which no audit wrote" in err
    code, _, err = audit("purge", tmp_path / "project")
    assert (code, err.count("\n")) == (2, 1)
    assert content(tmp_path / "project") == before


@pytest.mark.shows("links")
@pytest.mark.parametrize("name", ["personal", "steps"])
def test_a_link_is_not_followed(audit, write_config, tmp_path, name):
    elsewhere, out = tmp_path / "elsewhere", tmp_path / "out"
    elsewhere.mkdir()
    (elsewhere / "precious.json").write_text("p")
    with hold_folder(out):
        (out / name).symlink_to(elsewhere)
    before = content(elsewhere)
    for command in (["run", "--config", write_config(), "--out", out], ["purge", out]):
        code, _, err = audit(*command)
        assert (code, err.count("\n")) == (2, 1)
        assert "is a link" in err
    assert content(elsewhere) == before


def test_other_files_beside_an_audit_are_left_alone(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    with hold_folder(out):
        (out / "personal").mkdir()
        (out / "personal" / "pseudonyms.csv").write_text("P0001,7")
    purge.purge(out)
    assert (out / "notes.txt").read_text() == "mine"
    assert not (out / "personal").exists()


def _hold(out, held, go):
    with hold_folder(out):
        held.set()
        go.wait(30)


@pytest.mark.shows("two audits")
def test_two_audits_do_not_share_a_folder(tmp_path):
    context = multiprocessing.get_context("fork")
    held, go = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path / "out", held, go))
    other.start()
    assert held.wait(30)
    with pytest.raises(UsageError, match="another audit is at work"), hold_folder(tmp_path / "out"):
        pass
    with pytest.raises(UsageError, match="another audit is at work"):
        purge.purge(tmp_path / "out")
    go.set()
    other.join()
    with hold_folder(tmp_path / "out"):  # let go, however it ended
        assert (tmp_path / "out" / MARK).is_file()


@pytest.mark.shows("purge")
@pytest.mark.parametrize("record", [None, "{", "[]"], ids=["none", "damaged", "another"])
def test_people_can_be_purged_whatever_became_of_the_record(audit, tmp_path, record):
    out = tmp_path / "out"
    with hold_folder(out):
        (out / "personal" / "none").mkdir(parents=True)
        (out / "personal" / "none" / "a.png").write_bytes(b"a person")
        write(out / "report.html", b"a person's name")
        (out / f".report.html.x{TEMPORARY}").write_bytes(b"half a page that names people")
        if record is not None:
            (out / "report.json").write_text(record)
    assert audit("purge", out)[0] == 0
    left = {path.name for path in out.iterdir()}
    assert left <= {MARK, "purge.json", "report.json"}


@pytest.mark.shows("purge")
@pytest.mark.parametrize("manifest", ["{", "a pipe"])
def test_people_can_be_purged_whatever_lies_among_them_and_in_the_manifests_place(
    audit, tmp_path, manifest
):
    out = tmp_path / "out"
    with hold_folder(out):
        (out / "personal").mkdir()
        os.mkfifo(out / "personal" / "pipe")
        write(out / "report.html", b"a person's name")
        if manifest == "{":
            (out / "manifest.json").write_text(manifest)
        else:
            os.mkfifo(out / "manifest.json")
    assert audit("purge", out)[0] == 0
    assert {path.name for path in out.iterdir()} == {MARK, "manifest.json", "purge.json"}


@pytest.fixture
def begun(tmp_path):
    """The folder of a run that was interrupted in its first step."""
    out = tmp_path / "out"
    with hold_folder(out):
        save_occasion(out, "audit run --out out")
        with Followed(Quiet(1), out, "digest", ("probe",)).step("probe"):
            pass
        (out / "steps").mkdir()
    return out


def save_occasion(out, command):
    (out / OCCASION).write_text(json.dumps({"created": "2026-03-01", "command": command}))


PLACED = {
    "pipe": os.mkfifo,
    "link": lambda path: path.symlink_to("/dev/zero"),
    "folder": os.mkdir,
    "deep": lambda path: path.write_text("[" * 100_000),
}


@pytest.mark.shows("own files")
@pytest.mark.parametrize("kind", PLACED)
@pytest.mark.parametrize("name", [OCCASION, PROGRESS, MANIFEST, "steps/probe.json"])
def test_what_is_none_of_a_runs_files_is_not_read(audit, begun, name, kind):
    (begun / name).unlink(missing_ok=True)
    PLACED[kind](begun / name)
    code, out, _ = audit("status", begun)
    assert code == 130
    assert "\ninterrupted" in out


@pytest.mark.shows("stored command")
@pytest.mark.parametrize(
    ("command", "copied"),
    [
        ("audit run; touch canary", "audit run';' touch canary"),
        ("audit run --out $(reboot)", "audit run --out '$(reboot)'"),
        ("audit run 'unclosed", "the command that began it"),
        ("rm -rf /", "the command that began it"),
        (["audit"], "the command that began it"),
        (None, "the command that began it"),
    ],
)
def test_a_stored_command_is_quoted_or_not_shown(audit, begun, command, copied):
    save_occasion(begun, command)
    code, out, _ = audit("status", begun)
    assert code == 130
    said = out.splitlines()[-1].removeprefix("next: ")
    assert shlex.split(said) == shlex.split(copied)


@pytest.mark.shows("sealed pipe")
def test_a_pipe_in_the_place_of_a_file_is_a_change(audit, tmp_path):
    (tmp_path / "report.json").write_text(dumps(records.example_record()))
    (tmp_path / "report.html").write_text("")
    seal(tmp_path, (), revealed=False)
    (tmp_path / "report.html").unlink()
    os.mkfifo(tmp_path / "report.html")
    code, out, _ = audit("verify", tmp_path)
    assert code == 3
    assert "changed: report.html" in out


@pytest.mark.shows("pipes")
def test_a_pipe_in_the_place_of_a_signature_is_not_waited_for(audit, tmp_path):
    (tmp_path / "report.json").write_text(dumps(records.example_record()))
    seal(tmp_path, (), revealed=False)
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    pem = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pem").write_bytes(key.public_bytes(*pem))
    os.mkfifo(tmp_path / "manifest.sig")
    code, _, err = audit("verify", tmp_path, "--public-key", tmp_path / "key.pem")
    assert (code, err.count("\n")) == (2, 1)


@pytest.mark.shows("pipes")
def test_a_pipe_in_the_place_of_attributes_is_not_waited_for(audit, drawn_folder, tmp_path):
    os.mkfifo(tmp_path / "market_attribute.mat")
    given = ("--attributes", tmp_path / "market_attribute.mat")
    code, _, err = audit("data", "check", drawn_folder, *given)
    assert (code, err.count("\n")) == (2, 1)
    assert "is not a file" in err


def test_a_folder_from_before_marks_is_known_by_its_record(tmp_path):
    (tmp_path / "steps").mkdir()
    with pytest.raises(UsageError, match="no audit wrote"):
        check(tmp_path)
    (tmp_path / "report.json").write_text(dumps(records.example_record()))
    check(tmp_path)


def test_what_a_killed_writer_left_is_swept_and_nothing_else(tmp_path):
    for name in (f".report.html.abc{TEMPORARY}", ".profile", f"notes{TEMPORARY}"):
        (tmp_path / name).write_text("x")
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".profile", f"notes{TEMPORARY}"]


def test_files_obey_the_umask_and_pages_that_name_people_are_their_owners(
    audit, tmp_path, monkeypatch
):
    before = os.umask(0o027)
    try:
        write(tmp_path / "a", b"a")
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
    finally:
        os.umask(before)
    record = tmp_path / "run" / "report.json"
    record.parent.mkdir()
    from dataclasses import replace

    record.write_text(dumps(replace(records.example_record(), real_people=True, pseudonyms="")))
    assert audit("report", record, "--reveal", "--format", "html")[0] == 0
    assert stat.S_IMODE((record.parent / "report.html").stat().st_mode) == 0o600
    assert audit("report", record, "--format", "html")[0] == 0
    assert stat.S_IMODE((record.parent / "report.html").stat().st_mode) == 0o666 & ~before & 0o644
