"""`audit purge`, `verify`, `sign` and `--reveal` on a finished run of real people."""

import shutil

import pytest

from auditor.report import load


@pytest.fixture
def run(finished_run, tmp_path):
    """A copy of a finished run, to do anything with."""
    return shutil.copytree(finished_run, tmp_path / "out")


def test_from_run_to_purge(audit, run, tmp_path):
    assert audit("verify", run)[:2] == (
        0,
        f"whole: {len(list(files(run))) - 2} files as they were\n",  # but manifest and lock
    )
    record = load(run / "report.json")
    assert record.real_people
    blurred, table = (run / "report.html").read_text(), (run / "personal/pseudonyms.csv")
    names = dict(line.split(",") for line in table.read_text().splitlines()[1:])
    person = record.scenarios[0].exposure.most[0].pseudonym
    assert f">{person}<" in blurred
    assert "remain personal data" in blurred

    assert audit("report", run / "report.json", "--reveal")[0] == 0
    revealed = (run / "report.html").read_text()
    assert f">{names[person]}<" in revealed
    assert f">{person}<" not in revealed
    assert "Real people are shown and named" in revealed
    assert load(run / "report.json") == record
    assert audit("verify", run)[0] == 0

    code, said, _ = audit("purge", run)
    assert code == 0
    assert "report.html, report.xlsx named real people" in said
    code, said, _ = audit("verify", run)
    assert (code, "purged" in said) == (0, True)
    assert audit("purge", run)[1] == f"{run} contains nothing personal any more\n"

    # the record renders without what was purged, and cannot be revealed any more
    assert audit("report", run / "report.json")[0] == 0
    assert "its file is not in the folder" in (run / "report.html").read_text()
    assert audit("verify", run)[0] == 0
    code, _, stderr = audit("report", run / "report.json", "--reveal")
    assert code == 2
    assert stderr.count("\n") == 1
    assert "leave out --reveal" in stderr


def test_every_difference_ends_with_code_3(audit, run, tmp_path):
    (run / "report.html").write_text("forged")
    (run / "extra").write_text("x")
    (run / "report.xlsx").unlink()
    code, said, _ = audit("verify", run)
    assert code == 3
    assert said.splitlines()[:3] == ["changed: report.html", "missing: report.xlsx", "added: extra"]
    assert "NOT WHOLE" in said
    code, _, stderr = audit("sign", run, "--key", tmp_path / "key.pem")
    assert (code, "audit verify" in stderr) == (2, True)


def test_a_signature_is_checked_with_the_public_key_alone(audit, run, tmp_path):
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric import ed25519

    for name in ("mine", "other"):
        private = ed25519.Ed25519PrivateKey.generate()
        plain = (s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())
        (tmp_path / f"{name}.pem").write_bytes(private.private_bytes(*plain))
        public = (s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo)
        (tmp_path / f"{name}.pub").write_bytes(private.public_key().public_bytes(*public))
    assert audit("verify", run, "--public-key", tmp_path / "mine.pub")[0] == 2
    assert audit("sign", run, "--key", tmp_path / "mine.pem")[0] == 0
    assert "not checked" in audit("verify", run)[1]
    assert "signature: good" in audit("verify", run, "--public-key", tmp_path / "mine.pub")[1]
    code, said, _ = audit("verify", run, "--public-key", tmp_path / "other.pub")
    assert (code, "not by this key" in said) == (3, True)


def files(folder):
    return (path for path in folder.rglob("*") if path.is_file())
