"""`audit run` from a configuration file to record, page, workbook and exit code."""

import json

import openpyxl
import pytest

from auditor.report import load
from tests import worlds


def test_a_run_ends_with_record_page_and_workbook(audit, write_config, tmp_path):
    out = tmp_path / "out"
    attacks = {name: worlds.QUICK[name] for name in ("identity", "attribute", "inversion")}
    config = write_config(attacks=attacks)
    code, stdout, stderr = audit("run", "--config", config, "--out", out)
    assert code in (0, 4), stderr  # small numbers of people: an attack may lack power here
    record = load(out / "report.json")
    assert record.complete
    assert [s.defense for s in record.scenarios] == ["none", "dp_gallery"]
    for scenario in record.scenarios:
        assert [f.status for f in scenario.findings] == ["done"] * 3
        assert {m.metric for m in scenario.utility} == {"rank1", "rank5", "rank10", "map", "minp"}
        assert all(f.powers for f in scenario.findings)
        assert scenario.matches
    bare = dict(record.measurements())
    assert bare["none/identity/top1"].low > 2 * bare["none/identity/top1"].chance
    assert bare["none/utility/map"].value > bare["dp_gallery/utility/map"].value
    assert record.scenarios[1].claims[0].epsilon_certified == pytest.approx(300, rel=1e-3)
    assert {s.name for s in record.scenarios[1].scores} >= {"pu_identity", "urr1"}
    assert "none/identity/top1" in stdout
    assert "[1/" in stderr
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "dp_gallery" in page
    sheet = openpyxl.load_workbook(out / "report.xlsx")["Matches"]
    assert sheet.max_row - 1 == sum(len(s.matches) for s in record.scenarios)
    steps = sorted(path.name for path in (out / "steps").iterdir())
    assert steps[0].startswith("01-probe")
    assert json.loads((out / "steps" / steps[1]).read_text())["step"] == "none/utility"


def test_the_same_seed_gives_the_same_bytes(audit, write_config, tmp_path):
    attacks = {name: worlds.QUICK[name] for name in ("identity", "mse_decoder")}
    config = write_config(attacks=attacks, controls=False)
    runs = [tmp_path / "a", tmp_path / "b"]
    for out in runs:
        audit("run", "--config", config, "--out", out, "--seed", 5)
    for name in ("report.json", "report.html", "report.xlsx"):
        first, second = ((out / name).read_bytes() for out in runs)
        assert first == second, name
    for out in runs:
        when = json.loads((out / "run.json").read_text())
        assert set(when) == {"created", "command"}
        assert when["created"] not in (out / "report.json").read_text()


@pytest.mark.parametrize(
    ("limit", "controls", "expected"),
    [(1.0, True, 0), (0.0, True, 3), (1.0, False, 4)],
    ids=["held", "crossed", "attack not certified"],
)
def test_gates_decide_the_exit_code(audit, write_config, tmp_path, limit, controls, expected):
    gates = [{"address": "none/identity/top1", "limit": limit}]
    attacks = {"identity": {"epochs": 150}}  # enough for its certificate
    config = write_config(gates=gates, controls=controls, defenses={}, attacks=attacks)
    code, stdout, _ = audit("run", "--config", config, "--out", tmp_path / "out")
    assert code == expected, stdout
    again, verdicts, _ = audit("gate", tmp_path / "out" / "report.json")
    assert again == expected
    assert "none/identity/top1" in verdicts


def test_a_saved_record_is_judged_and_rendered_again(audit, write_config, tmp_path):
    out, copy = tmp_path / "out", tmp_path / "copy"
    audit("run", "--config", write_config(defenses={}), "--out", out)
    policy = tmp_path / "policy.yaml"
    policy.write_text("gates: [{address: '*/identity/top1', limit: 0.0}]\n")
    assert audit("gate", out / "report.json", "--config", policy)[0] == 3
    code, _, _ = audit("report", out / "report.json", "--format", "html", "--out", copy)
    assert code == 0
    assert (copy / "report.html").is_file()
    assert not (copy / "report.xlsx").exists()


def test_a_second_run_does_not_bury_the_first(audit, write_config, tmp_path):
    out, config = tmp_path / "out", write_config(defenses={})
    audit("run", "--config", config, "--out", out)
    before = (out / "report.json").read_bytes()
    code, _, stderr = audit("run", "--config", config, "--out", out, "--resume", "never")
    assert code == 2
    assert "--overwrite" in stderr
    assert (out / "report.json").read_bytes() == before


def test_a_target_without_attributes_makes_that_attack_not_applicable(
    audit, write_config, tmp_path, drawn_folder
):
    attacks = {"identity": worlds.QUICK["identity"], "attribute": worlds.QUICK["attribute"]}
    gates = [{"address": "none/attribute/mean_balanced_accuracy", "limit": 1.0}]
    data = {"path": str(drawn_folder), "layout": "folder"}
    bare = tmp_path / "bare"
    manifest = (drawn_folder / "manifest.csv").read_text().splitlines()
    bare.mkdir()
    rows = [",".join(line.split(",")[:4]) for line in manifest]
    for row in rows[1:]:
        path = bare / row.split(",")[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(drawn_folder / row.split(",")[0])
    del data
    (bare / "manifest.csv").write_text("\n".join(rows) + "\n")
    for path in list(bare.rglob("*.*")):
        if path.is_symlink():
            content = path.read_bytes()
            path.unlink()
            path.write_bytes(content)
    config = write_config(data={"path": str(bare)}, attacks=attacks, gates=gates, defenses={})
    code, stdout, _ = audit("run", "--config", config, "--out", tmp_path / "out")
    assert code == 4
    assert "not-applicable" in stdout
    assert "attribute columns" in stdout or "add columns" in stdout
