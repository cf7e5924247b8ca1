"""Only a run of the same model, people and settings is resumed."""

from dataclasses import replace

import pytest

from auditor.artifacts.atomic import write
from auditor.artifacts.ownership import MARK
from auditor.artifacts.progress import Followed
from auditor.console import Quiet
from auditor.errors import UsageError
from auditor.pipeline import resume
from auditor.report import AuditReport, ProbeCheck, dumps

HEAD = AuditReport(
    title="t",
    config={"seed": 0, "attacks": {"identity": {"epochs": 4}}, "gates": [], "weights": None},
    model={"sha256": "aa", "card": {"size": (128, 64)}},
    data={"manifest_sha256": "bb", "broken": {"count": 1, "files": ["of/somebody.jpg"]}},
    environment={"packages": {"torch": "2.15"}},
)


@pytest.fixture
def interrupted(tmp_path):
    """A folder as an interrupted run leaves it: the record names no files."""
    checks = (ProbeCheck(name="finite", outcome="pass", detail="fine"),)
    data = {**HEAD.data, "broken": {"count": 1}}
    record = replace(HEAD, probe=checks, data=data, pseudonyms="cc", complete=False)
    write(tmp_path / "report.json", dumps(record).encode())
    for name in ("manifest.json", "manifest.sig"):
        (tmp_path / name).write_text("of the interrupted run")
    return tmp_path


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_same_run_is_gone_on_with_and_its_old_manifest_goes(interrupted):
    assert resume.resume(interrupted, HEAD)
    assert files(interrupted) == ["report.json"]


def test_a_run_that_ended_within_its_first_step_is_gone_on_with(tmp_path):
    Followed(Quiet(1), tmp_path, resume.basis(HEAD), ["probe"])
    assert resume.resume(tmp_path, HEAD)
    assert not resume.resume(tmp_path, replace(HEAD, config={**HEAD.config, "seed": 1}))


def test_what_a_run_that_is_not_gone_on_with_has_left_is_cleared(tmp_path):
    for out in (tmp_path / "audit", tmp_path / "stranger"):
        (out / "personal" / "none").mkdir(parents=True)
    (tmp_path / "audit" / MARK).write_text("")
    for out in (tmp_path / "audit", tmp_path / "stranger"):
        resume.clear(out)
    assert files(tmp_path / "audit") == [MARK]
    assert files(tmp_path / "stranger") == ["personal"]


def test_a_finished_and_signed_run_is_left_alone(interrupted):
    write(interrupted / "report.json", dumps(replace(HEAD, complete=True)).encode())
    before = files(interrupted)
    with pytest.raises(UsageError, match=r"void the signature.*take .*manifest\.sig away"):
        resume.resume(interrupted, replace(HEAD, complete=False))
    assert files(interrupted) == before


def test_an_empty_folder_holds_nothing_to_go_on_with(tmp_path):
    assert not resume.resume(tmp_path, HEAD)
    assert not resume.resume(tmp_path / "missing", HEAD)


def test_steps_answer_for_the_settings_they_depend_on(interrupted):
    config = {**HEAD.config, "attacks": {"identity": {}, "linkage": {}}, "gates": [{"limit": 0.1}]}
    assert resume.resume(interrupted, replace(HEAD, config=config))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"config": {**HEAD.config, "seed": 1}}, "config.seed was 0 and is 1"),
        ({"model": {**HEAD.model, "sha256": "xx"}}, "model.sha256 was 'aa' and is 'xx'"),
        ({"data": {"manifest_sha256": "yy", "broken": {"count": 1}}}, "data.manifest_sha256 was"),
        ({"environment": {"packages": {"torch": "3.0"}}}, "torch was '2.15' and is '3.0'"),
        ({"environment": {"packages": {}}}, "torch was '2.15' and is None"),
        ({"real_people": False}, "real_people was True and is False"),
    ],
)
def test_another_run_is_refused_with_the_difference_and_left_alone(interrupted, changed, words):
    before = files(interrupted)
    with pytest.raises(UsageError) as error:
        resume.resume(interrupted, replace(HEAD, **changed))
    assert words in str(error.value)
    assert "--overwrite" in str(error.value)
    assert files(interrupted) == before


def test_a_purged_run_is_not_gone_on_with(interrupted):
    (interrupted / "purge.json").write_text("[]")
    with pytest.raises(UsageError, match="was purged"):
        resume.resume(interrupted, HEAD)
