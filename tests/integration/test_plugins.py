"""A stranger's attacks, installed from their own package, are found, run, judged and reported."""

from auditor.report import load


def run(audit_process, packages, *arguments):
    process = audit_process(*arguments, path=[packages])
    stdout, stderr = process.communicate(timeout=300)
    return process.returncode, stdout, stderr


def test_the_strangers_attacks_are_listed(audit_process, strangers_packages):
    code, stdout, stderr = run(audit_process, strangers_packages, "list")
    assert code == 0, stderr
    rows = [line.split(maxsplit=1) for line in stdout.splitlines()]
    assert ["blind_guess", "Names everyone by the most common gallery identity."] in rows


def test_an_audit_with_the_strangers_attacks(
    audit_process, strangers_packages, write_config, tmp_path
):
    attacks = {"identity": {"epochs": 5}, "loudest": {}, "blind_guess": {"rank": 1}, "crash": {}}
    gates = [
        {"address": "none/loudest/paired", "limit": 0.0},
        {"address": "none/blind_guess/top1", "limit": 1.0},
        {"address": "none/crash/anything", "limit": 1.0},
    ]
    config = write_config(attacks=attacks, gates=gates, defenses={})
    out = tmp_path / "out"
    code, stdout, stderr = run(
        audit_process, strangers_packages, "run", "--config", config, "--out", out
    )
    assert code == 3, stdout + stderr
    record = load(out / "report.json")
    findings = {f.attack: f for f in record.scenarios[0].findings}
    assert findings["identity"].status == "done"
    assert findings["loudest"].power().shown, findings["loudest"].power().reason
    assert "FAIL none/loudest/paired" in stdout
    assert not findings["blind_guess"].power().shown
    assert "INCONCLUSIVE none/blind_guess/top1" in stdout
    assert findings["crash"].status == "failed"
    assert "fell over" in findings["crash"].reason
    assert "INCONCLUSIVE none/crash/anything" in stdout
    assert "fell over" in (out / "report.html").read_text(encoding="utf-8")
