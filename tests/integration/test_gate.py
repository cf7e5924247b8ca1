"""`audit gate` as a pipeline calls it: exit codes, one line per slip, no torch."""

import json
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from auditor.cli.gate import conclude
from auditor.gates import Gate, check
from auditor.report import dumps
from tests.records import HOSTILE, hostile_record, powerful_record

POLICY = """\
version: 1
gates:
  - {address: none/identity/top1, max: 0.5, cites: decided by the board}
  - {address: none/utility/rank1, min: 0.8, cites: asked for by the customer}
"""
WAIVER = """\
waivers:
  - {address: none/identity/*, owner: dpo@example.org, reason: not shipped, expires: 2026-12-31}
"""


@pytest.fixture
def record(tmp_path):
    path = tmp_path / "report.json"
    path.write_text(dumps(powerful_record()))
    return path


@pytest.fixture
def policy(tmp_path):
    def write(text):
        path = tmp_path / "policy.yaml"
        path.write_text(text)
        return path

    return write


def test_a_failed_policy_exits_with_3_and_says_why(audit, record, policy):
    code, out, _ = audit("gate", record, "--policy", policy(POLICY))
    assert code == 3
    assert "FAIL none/identity/top1: even the favourable end of the interval, 0.862" in out
    assert "reason for the limit: decided by the board" in out
    assert "asked for by the customer" not in out
    assert out.endswith("verdict: FAIL\n")


def test_a_waiver_counts_until_its_day(audit, record, policy):
    path = policy(POLICY + WAIVER)
    code, out, _ = audit("gate", record, "--policy", path, "--today", "2026-12-31")
    assert code == 0
    assert "WAIVED none/identity/top1" in out
    assert out.endswith("verdict: PASS, 1 waived\n")
    code, out, _ = audit("gate", record, "--policy", path, "--today", "2027-01-01")
    assert code == 3
    assert "not waived: the waiver of dpo@example.org expired on 2026-12-31" in out


def test_a_waiver_that_nothing_needs_is_a_note(audit, record, policy):
    text = POLICY.replace("max: 0.5", "max: 0.99") + WAIVER
    code, _, err = audit("gate", record, "--policy", policy(text), "--today", "2026-12-31")
    assert code == 0
    assert err == "note: nothing needs the waiver on none/identity/*; take it out\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--policy", "nowhere.yaml"], "cannot read nowhere.yaml"),
        (["--today", "2026-01-01"], "give --policy too"),
        (["--policy", "x", "--config", "y"], "give one of them"),
    ],
)
def test_a_slip_is_one_line_and_exits_with_2(audit, record, arguments, message):
    code, _, err = audit("gate", record, *arguments)
    assert code == 2
    assert message in err
    assert len(err.splitlines()) == 1


def test_a_policy_that_cannot_be_followed_exits_with_2(audit, record, policy):
    code, _, err = audit("gate", record, "--policy", policy(POLICY.replace("max", "mx")))
    assert code == 2
    assert "gates.0.mx: no such key; did you mean 'max'?" in err
    assert len(err.splitlines()) == 1


def test_the_pages_show_the_policys_verdicts(audit, record, policy, tmp_path):
    out = tmp_path / "pages"
    code, _, _ = audit(
        "report", record, "--policy", policy(POLICY + WAIVER), "--today", "2026-06-01",
        "--format", "html", "--out", out,
    )  # fmt: skip
    assert code == 0
    assert "Waived until 2026-12-31" in (out / "report.html").read_text().replace(
        "waived", "Waived"
    )


def test_every_format_is_written_before_the_exit_code_says_no(audit, record, policy, tmp_path):
    files = {"--junit": "j.xml", "--sarif": "s.sarif", "--markdown": "m.md"}
    pairs = [part for flag, name in files.items() for part in (flag, tmp_path / name)]
    code, out, _ = audit("gate", record, "--policy", policy(POLICY), *pairs)
    assert code == 3
    assert out.count("wrote ") == 3
    (failure,) = ElementTree.parse(tmp_path / "j.xml").iter("failure")
    assert "decided by the board" in failure.text
    (run,) = json.loads((tmp_path / "s.sarif").read_text())["runs"]
    assert [result["level"] for result in run["results"]] == ["error"]
    assert (tmp_path / "m.md").read_text().startswith("## Privacy audit: ❌ fail\n")


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:12]))
def test_a_strangers_text_does_nothing_to_a_terminal(text, capsys):
    report = hostile_record(text)
    verdicts = check(report, [Gate(address="*/*/*", limit=0.4, cites=text)])
    assert conclude(report, verdicts) in (3, 4)
    shown = capsys.readouterr().out
    assert all(line.isprintable() and len(line) < 1300 for line in shown.split("\n"))


def test_a_format_that_cannot_be_written_is_an_error_of_its_own(audit, record, policy, tmp_path):
    (tmp_path / "file").write_text("in the way")
    place = tmp_path / "file" / "j.xml"
    code, _, err = audit("gate", record, "--policy", policy(POLICY), "--junit", place)
    assert code == 6
    assert "cannot write" in err


def test_judging_imports_no_torch(record, policy, tmp_path):
    arguments = ["gate", str(record), "--policy", str(policy(POLICY))]
    arguments += ["--junit", str(tmp_path / "j"), "--sarif", str(tmp_path / "s")]
    arguments += ["--markdown", str(tmp_path / "m")]
    script = (
        "import sys\nfrom auditor.cli.main import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit as stop:\n    assert stop.code == 3\n"
        "assert not {'torch', 'numpy', 'scipy'} & set(sys.modules), 'something heavy is imported'\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
