"""What an attack returned, checked: where its pictures may lie."""

from pathlib import Path

import pytest
import torch

from auditor.metrics import measure
from auditor.plugins.results import UnfitResultError, check_result
from auditor.types import AttackResult

HITS = measure.rate("top1", torch.ones(4, dtype=torch.bool), torch.arange(4), chance=0.25)


def showing(place):
    return AttackResult((HITS,), exhibits={"picture": place})


@pytest.mark.parametrize("workdir", [Path("audit-out/none"), Path("../here/audit-out/none")])
def test_a_picture_in_a_folder_named_from_where_the_audit_was_started(
    tmp_path, monkeypatch, workdir
):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    workdir.mkdir(parents=True)
    (workdir / "x.png").write_bytes(b"x")
    for place in (
        workdir / "x.png",
        str(workdir / "x.png"),
        Path("x.png"),
        workdir.resolve() / "x.png",
    ):
        assert check_result(showing(place), workdir).exhibits == {"picture": workdir / "x.png"}


def test_a_picture_beside_that_folder_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    workdir = Path("audit-out/none")
    workdir.mkdir(parents=True)
    Path("audit-out/x.png").write_bytes(b"x")
    Path("x.png").write_bytes(b"x")
    for place in (workdir / "../x.png", Path("audit-out/x.png"), "x.png", tmp_path / "x.png"):
        with pytest.raises(UnfitResultError, match="not a file below the folder"):
            check_result(showing(place), workdir)
