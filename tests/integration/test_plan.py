"""`audit plan`: the options of `audit run`, its steps, and what is there already."""

import pytest

from auditor.artifacts.feature_store import FeatureStore


def test_a_plan_before_and_after_the_run_it_is_of(audit, write_config, tmp_path):
    path, out, cache = write_config(defenses={}), tmp_path / "out", tmp_path / "cache"
    options = ("--config", path, "--out", out, "--cache", cache)
    code, said, stderr = audit("plan", *options)
    assert code == 0, stderr
    assert "  to do  none/identity " in said
    assert "(cached)" not in said
    assert "4 of 4 steps to do: about " in said.splitlines()[-1]
    assert not out.exists()
    assert not cache.exists()

    assert audit("run", *options)[0] in (0, 4)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    code, said, _ = audit("plan", *options)
    assert code == 0
    assert said.count("  done   ") == 4
    assert f"4 steps are done in {out}" in said
    assert said.count("(cached)") >= 2
    assert said.endswith("all 4 steps are done\n")
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    assert FeatureStore(cache).reused == 0

    code, said, _ = audit("plan", *options, "--defend", "dp_gallery:epsilon=100")
    assert (code, said.count("  to do ")) == (0, 3)
    assert "  to do  dp_gallery/identity/controls " in said
    assert audit("plan", *options, "--overwrite")[1].count("  to do ") == 4

    whole = (*options, "--overwrite", "--engine", "processes", "--workers", "3", "--reveal")
    _, said, _ = audit("plan", *whole)
    assert "4 of 4 steps to do, 3 at a time: about " in said
    assert "will show real people's names" in said.splitlines()[-1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--resume", "never"), "contains an earlier run"),
        (("--seed", "5"), "seed was 0 and is 5"),
        (("--resume", "auto", "--overwrite"), "pass one of them"),
        (("--model", "missing.pt"), "missing.pt"),
    ],
)
def test_what_a_run_would_refuse_so_does_its_plan(audit, finished_run, options, message):
    config = finished_run.parent / "audit.yaml"
    for command in ("plan", "run"):
        code, _, stderr = audit(command, "--config", config, "--out", finished_run, *options)
        assert code == 2
        assert message in stderr
