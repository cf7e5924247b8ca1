"""`audit run --model http://…`: a service is audited, and asked no more often than it may be."""

import json

import pytest
import yaml

from auditor.report import load
from tests.service import Service, serve


@pytest.fixture
def service():
    with serve(Service()) as running:
        yield running


@pytest.fixture
def run(audit, drawn_folder, tmp_path, service):
    card = {"height": 32, "width": 16, "mean": [0, 0, 0], "std": [1, 1, 1]}

    def started(*arguments, **limits):
        blocks = {
            "model": {"card": card, "service": {"url": service.url, "batch": 64, **limits}},
            "data": {"path": str(drawn_folder)},
            "attacks": {"identity_lda": {}, "optimization": {}},
            "defenses": {},
            "controls": False,
        }
        (tmp_path / "audit.yaml").write_text(yaml.safe_dump(blocks))
        out = tmp_path / "out"
        code, _, stderr = audit(
            "run", "--config", tmp_path / "audit.yaml", "--out", out, *arguments
        )
        return code, stderr, out

    return started


def test_a_service_is_audited_and_its_queries_are_counted(run, service, caplog):
    code, stderr, out = run()
    assert code == 4, stderr  # without controls no attack has shown its power
    record = load(out / "report.json")
    findings = {finding.attack: finding for finding in record.scenarios[0].findings}
    assert findings["identity_lda"].status == "done"
    assert findings["optimization"].status == "not-applicable"
    assert json.loads((out / "run.json").read_text())["queries"] == {"target": service.pictures}
    assert f"asked about {service.pictures} pictures" in caplog.text
    assert "127.0.0.1" not in (out / "report.json").read_text()


def test_the_budget_ends_what_it_does_not_cover(run, service):
    code, stderr, _ = run(budget=150)
    assert code == 2
    assert "query budget of 150 pictures" in stderr
    assert service.pictures <= 150
    code, _, _ = run("--resume", budget=150)
    assert code == 2
    assert service.pictures <= 150
