"""`audit run --features`: stored rows alone, from the file to the record and its exit code."""

import numpy as np
import pytest

from auditor.report import load
from tests import worlds
from tests.rows import stored_people

ATTACKS = ("identity_lda", "attribute_logistic", "linkage", "translation", "inversion", "composite")


@pytest.fixture
def gallery(tmp_path):
    columns = stored_people(people=40, dim=32, pictures=6)
    columns["bag"] = np.where(columns["pid"] % 4 < 2, "yes", "no")
    columns["features"][columns["bag"] == "yes", :4] += 3
    np.savez(tmp_path / "gallery.npz", **columns)
    return tmp_path / "gallery.npz"


@pytest.fixture
def config(tmp_path):
    import yaml

    path = tmp_path / "audit.yaml"
    blocks = {name: worlds.QUICK.get(name, {}) for name in ATTACKS}
    defenses = {"dp_gallery": {"epsilon": 300.0, "delta": 1e-5, "trials": 2000}, "blur": {}}
    path.write_text(yaml.safe_dump({"attacks": blocks, "defenses": defenses, "controls": False}))
    return path


def test_what_needs_features_alone_is_measured_and_the_rest_says_why_not(
    audit, gallery, config, tmp_path
):
    out = tmp_path / "out"
    code, _, stderr = audit("run", "--features", gallery, "--config", config, "--out", out)
    assert code == 4, stderr  # under blur nothing can be measured
    record = load(out / "report.json")
    assert record.complete
    assert record.model["format"] == "features alone (npz)"
    assert record.config["features"]["gallery"] == "gallery.npz"
    scenarios = {scenario.defense: scenario for scenario in record.scenarios}
    bare, noisy, blurred = (scenarios[name] for name in ("none", "dp_gallery", "blur"))
    for scenario in (bare, noisy):
        found = {finding.attack: finding for finding in scenario.findings}
        measured = ("identity_lda", "attribute_logistic", "linkage", "translation")
        assert {name: found[name].status for name in measured} == dict.fromkeys(measured, "done")
        for name in ("inversion", "composite"):
            assert found[name].status == "not-applicable"
            assert "came without" in found[name].reason
        assert all(not shown.picture for shown in scenario.rank_lists)
    figures = dict(record.measurements())
    assert figures["none/utility/rank1"].value > 0.9
    assert figures["none/identity_lda/top1"].low > 0.5
    assert figures["none/attribute_logistic/mean_balanced_accuracy"].low > 0.5
    assert noisy.claims[0].epsilon_certified == pytest.approx(300, rel=1e-3)
    assert blurred.status == "failed"
    assert "needs pictures" in blurred.reason
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "came without any" in page


def test_an_attack_that_does_not_apply_is_tried_on_no_controls(audit, gallery, tmp_path):
    config = tmp_path / "audit.yaml"
    config.write_text("attacks: {inversion: {}, composite: {}}\ndefenses: {}\n")
    out = tmp_path / "out"
    code, _, stderr = audit("run", "--features", gallery, "--config", config, "--out", out)
    assert code == 4, stderr
    order = [line.split()[1] for line in stderr.splitlines() if line.endswith(" …")]
    assert order[2:] == [
        *("none/inversion", "controls/inversion", "none/composite", "controls/composite")
    ]
    findings = load(out / "report.json").scenarios[0].findings
    assert {finding.status for finding in findings} == {"not-applicable"}
    assert [finding.powers for finding in findings] == [(), ()]


def test_a_file_of_faults_ends_with_one_line_and_code_2(audit, gallery, config, tmp_path):
    with np.load(gallery) as held:
        columns = dict(held)
    columns["features"][3] = np.nan
    np.savez(gallery, **columns)
    code, _, stderr = audit(
        "run", "--features", gallery, "--config", config, "--out", tmp_path / "o"
    )
    assert code == 2
    assert "1 of 240 rows contain NaN" in stderr
    assert "Traceback" not in stderr


def test_features_and_a_model_are_one_too_many(audit, gallery, tmp_path):
    code, _, stderr = audit(
        "run", "--features", gallery, "--data", tmp_path, "--out", tmp_path / "o"
    )
    assert code == 2
    assert "leave out --features, or --model and --data" in stderr
