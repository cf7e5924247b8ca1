"""What `audit defend` wrote is audited again: the same figures as before it was written."""

import pytest

from auditor.report import load

ATTACKS = {"identity_lda": {}, "linkage": {}}
NOISE = "dp_gallery:epsilon=200,trials=200"


@pytest.fixture
def deployed(audit, write_config, tmp_path):
    """A gallery under noise, written down under seed 3."""
    out = tmp_path / "out"
    config = write_config(defenses={})
    arguments = ("--config", config, "--with", NOISE, "--out", out, "--seed", 3)
    code, _, stderr = audit("defend", *arguments)
    assert code == 0, stderr
    return out


def figures(scenario):
    return {
        (finding.attack, m.metric): (m.value, m.low, m.high)
        for finding in scenario.findings
        for m in finding.figures()
    }


def test_a_written_gallery_has_the_figures_of_the_scenario_it_was_made_of(
    deployed, audit, write_config, tmp_path
):
    run = tmp_path / "run"
    config = write_config(defenses={}, controls=False, attacks=ATTACKS, seed=3)
    chosen = ("--defend", NOISE, "--defend", f"again=deployed:folder={deployed}")
    code, _, stderr = audit("run", "--config", config, "--out", run, *chosen)
    assert code in (0, 4), stderr
    _, made, again = load(run / "report.json").scenarios
    assert again.status == "done", again.reason
    assert figures(made) == figures(again)
    assert len(figures(again)) > 4
    assert again.utility == made.utility
    assert again.claims == made.claims
