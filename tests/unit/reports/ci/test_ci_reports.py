"""What pipelines read: JUnit XML, SARIF, Markdown. Red is red, nobody is in them, nothing runs."""

import json
import re
from dataclasses import replace
from datetime import date
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft4Validator
from markdown_it import MarkdownIt

from auditor.gates import Gate, Waiver, check, exit_code, overall
from auditor.gates.policy import Policy
from auditor.gates.policy_check import judge
from auditor.report import AuditReport
from reports.ci import junit, markdown, sarif
from reports.ci.checks import checks
from tests.records import (
    HOSTILE,
    detailed_record,
    example_record,
    failed_record,
    hostile_record,
    matches,
    powerful_record,
    rank_lists,
)

RENDERERS = {"junit.xml": junit.render, "sarif": sarif.render, "md": markdown.render}
SCHEMA = Path(__file__).parents[3] / "schemas" / "sarif-schema-2.1.0.json"
SARIF = Draft4Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
RECORDS = [example_record, failed_record, powerful_record, detailed_record]
LEAK = Gate(address="none/identity/top1", limit=0.1, cites="decided by the board")
FINE = Gate(address="none/utility/rank1", limit=0.5)
WEAK = Gate(address="none/inversion/reid_rank1", limit=0.9)
TODAY = date(2026, 6, 1)
any_text = st.text(st.characters(exclude_categories=[]), max_size=60)


@pytest.fixture
def shown(tmp_path):
    """The file that a renderer writes."""

    def show(name, report, verdicts=()):
        path = tmp_path / f"report.{name}"
        RENDERERS[name](report, list(verdicts), path, root=tmp_path, reveal=True)
        return path.read_text(encoding="utf-8")

    return show


def judged(report: AuditReport, *gates: Gate):
    return check(report, gates)


def policed(report: AuditReport, **parts):
    return judge(report, Policy.model_validate({"version": 1, **parts}), TODAY)


def waived(report: AuditReport, address="none/identity/top1"):
    waiver = {"address": address, "owner": "dpo", "reason": "not shipped", "expires": "2027-01-01"}
    gate = {"address": "none/identity/top1", "max": 0.1, "cites": "decided by the board"}
    return policed(report, gates=[gate], waivers=[waiver])


def cases(text: str) -> dict[str, tuple[str, str]]:
    """Name -> (state, type) of every test case."""
    found = {}
    for case in ET.fromstring(text).iter("testcase"):
        (state,) = case
        found[case.attrib["name"]] = (state.tag, state.get("type", ""))
    return found


class TestJunit:
    def test_a_failed_gate_is_a_failure_and_one_that_holds_is_none(self, shown):
        report = powerful_record()
        found = cases(shown("junit.xml", report, judged(report, LEAK, FINE)))
        assert found["none/identity/top1"] == ("failure", "fail")
        assert found["none/utility/rank1"] == ("system-out", "")
        assert found["none/attribute"] == ("system-out", "")

    def test_a_crash_is_an_error_and_what_does_not_apply_is_skipped(self, shown):
        found = cases(shown("junit.xml", failed_record()))
        assert found["none/identity"] == ("error", "crash")
        assert found["none/attribute"] == ("skipped", "not-applicable")
        assert found["dp_gallery"] == ("error", "crash")
        assert found["audit/complete"] == ("error", "interrupted")

    def test_what_could_not_be_settled_does_not_look_well(self, shown):
        report = example_record()
        found = cases(shown("junit.xml", report, judged(report, WEAK)))
        assert found["none/inversion/reid_rank1"] == ("error", "inconclusive")
        assert found["none/inversion"] == ("error", "inconclusive")

    def test_what_is_waived_or_only_warns_is_skipped(self, shown):
        report = powerful_record()
        found = cases(shown("junit.xml", report, waived(report)))
        assert found["none/identity/top1"] == ("skipped", "waived")
        found = cases(shown("junit.xml", report, judged(report, replace(LEAK, level="warn"))))
        assert found["none/identity/top1"] == ("skipped", "warning")

    def test_a_rung_that_another_stands_in_for_is_skipped(self, shown):
        assert cases(shown("junit.xml", detailed_record()))["none/historical"] == (
            "skipped",
            "not-counted",
        )

    def test_limit_figure_and_citation_are_said(self, shown):
        report = powerful_record()
        text = shown("junit.xml", report, judged(report, LEAK))
        (failure,) = ET.fromstring(text).iter("failure")
        assert failure.text.splitlines() == [
            "reason: even the favourable end of the interval, 0.862, is above 0.1",
            "gate: none/identity/top1",
            "wanted: at most 0.1",
            "observed: 0.944",
            "reason for the limit: decided by the board",
        ]

    def test_the_counts_are_those_of_the_cases(self, shown):
        report = failed_record()
        root = ET.fromstring(shown("junit.xml", report, judged(report, LEAK, WEAK)))
        for suite in (root, *root):
            states = [case[0].tag for case in suite.iter("testcase")]
            for name, tag in {
                "failures": "failure",
                "errors": "error",
                "skipped": "skipped",
            }.items():
                assert int(suite.attrib[name]) == states.count(tag)
            assert int(suite.attrib["tests"]) == len(states)


@pytest.mark.parametrize("make", [*RECORDS, lambda: replace(powerful_record(), complete=False)])
@pytest.mark.parametrize(
    "gates",
    [(), (FINE,), (LEAK,), (WEAK,), (replace(LEAK, level="warn"),), (LEAK, FINE, WEAK)],
    ids=len,
)
def test_red_is_exactly_what_does_not_exit_with_0(make, gates):
    report = make()
    verdicts = judged(report, *gates)
    red = any(each.state in ("failed", "error") for each in checks(report, verdicts))
    assert red == (exit_code(overall(report, verdicts)) != 0)


@pytest.mark.parametrize("address", ["none/identity/top1", "*/inversion/*", "*/*/*"])
def test_waived_is_never_red(address):
    report = example_record()
    verdicts = waived(report, address)
    red = any(each.state in ("failed", "error") for each in checks(report, verdicts))
    assert red == (exit_code(overall(report, verdicts)) != 0)
    assert any(each.kind == "waived" for each in checks(report, verdicts))


class TestSarif:
    @pytest.mark.parametrize("make", RECORDS)
    @pytest.mark.parametrize("gates", [(), (LEAK, FINE, WEAK)], ids=len)
    def test_it_fits_the_standards_own_schema(self, shown, make, gates):
        log = json.loads(shown("sarif", make(), judged(make(), *gates)))
        assert [error.message for error in SARIF.iter_errors(log)] == []

    def test_the_schema_would_see_a_slip(self, shown):
        log = json.loads(shown("sarif", powerful_record()))
        log["runs"][0]["tool"]["driver"].pop("name")
        assert not SARIF.is_valid(log)

    def results(self, text: str) -> dict[str, dict]:
        (run,) = json.loads(text)["runs"]
        rules = run["tool"]["driver"]["rules"]
        for result in run["results"]:
            assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        return {
            result["locations"][0]["logicalLocations"][0]["fullyQualifiedName"]: result
            for result in run["results"]
        }

    def test_what_holds_is_left_out_and_the_rest_is_graded(self, shown):
        report = example_record()
        found = self.results(shown("sarif", report, judged(report, LEAK, FINE, WEAK)))
        assert {name: (result["kind"], result["level"]) for name, result in found.items()} == {
            "none/identity/top1": ("fail", "error"),
            "none/inversion/reid_rank1": ("fail", "warning"),
            "none/inversion": ("fail", "warning"),
            "dp_gallery/inversion": ("fail", "warning"),
        }

    def test_what_is_waived_is_no_alert(self, shown):
        # GitHub knows no suppressions, and would open it again
        report = powerful_record()
        text = shown("sarif", report, waived(report))
        assert self.results(text) == {}
        (invocation,) = json.loads(text)["runs"][0]["invocations"]
        (notification,) = invocation["toolExecutionNotifications"]
        assert notification["level"] == "note"
        assert "by dpo: not shipped" in notification["message"]["text"]

    @pytest.mark.parametrize(
        ("folder", "uri"),
        [("audits/first one", "audits/first%20one/report.json"), (".", "report.json")],
    )
    def test_the_record_is_named_as_it_lies_in_its_repository(self, tmp_path, folder, uri):
        (tmp_path / ".git").mkdir()
        out = tmp_path / folder
        out.mkdir(parents=True, exist_ok=True)
        report = powerful_record()
        sarif.render(report, judged(report, LEAK), out / "x.sarif", root=out, reveal=False)
        (run,) = json.loads((out / "x.sarif").read_text())["runs"]
        place = run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]
        assert place == {"uri": uri, "uriBaseId": "%SRCROOT%"}

    def test_a_rule_says_why_it_is_there(self, shown):
        report = powerful_record()
        (run,) = json.loads(shown("sarif", report, judged(report, LEAK)))["runs"]
        (rule,) = run["tool"]["driver"]["rules"]
        assert rule["fullDescription"]["text"] == "decided by the board"

    def test_two_gates_on_one_address_are_two_rules(self, shown):
        report = powerful_record()
        gates = [LEAK, replace(LEAK, limit=0.2, level="warn")]
        (run,) = json.loads(shown("sarif", report, judged(report, *gates)))["runs"]
        assert len(run["tool"]["driver"]["rules"]) == len(run["results"]) == 2

    def test_a_result_keeps_its_fingerprint_while_its_figure_moves(self, shown):
        def fingerprint(report):
            found = self.results(shown("sarif", report, judged(report, LEAK)))
            return found["none/identity/top1"]["partialFingerprints"]

        assert fingerprint(powerful_record()) == fingerprint(detailed_record())


class TestMarkdown:
    def test_the_verdict_is_the_first_line(self, shown):
        report = powerful_record()
        for gates, word in (((LEAK,), "fail"), ((FINE,), "pass"), ((), "measured")):
            head = shown("md", report, judged(report, *gates)).splitlines()[0]
            assert head.startswith("## Privacy audit: ")
            assert head.endswith(word)
        assert shown("md", example_record()).splitlines()[0].endswith("inconclusive")

    def test_gates_that_fail_come_first_with_their_citation(self, shown):
        report = powerful_record()
        text = shown("md", report, judged(report, FINE, LEAK))
        rows = [line for line in text.splitlines() if line.startswith(("| ❌", "| ✅"))]
        assert [row.split("|")[2].strip() for row in rows] == [
            "`none/identity/top1`",
            "`none/utility/rank1`",
        ]
        assert "Limit: decided by the board" in rows[0]

    def test_the_key_findings_come_before_the_gates(self, shown):
        report = powerful_record()
        text = shown("md", report, judged(report, LEAK))
        line = text[text.index("- Singling out (❌ fail): Whoever steals this gallery names 90%") :]
        assert line.index("What to do next") < line.index("| ❌")

    def test_headline_figures_and_claims_are_there(self, shown):
        text = shown("md", powerful_record())
        assert "| scenario | Rank-1 | mAP |" in text
        assert "| `dp_gallery` | " in text

    def test_what_was_not_shown_is_named(self, shown):
        text = shown("md", failed_record())
        assert "**Not shown**" in text
        assert "💥 crash `none/identity`: RuntimeError: the classifier diverged" in text

    def test_waivers_are_counted(self, shown):
        report = powerful_record()
        assert "1 is waived." in shown("md", report, waived(report))

    def test_it_fits_into_a_comment(self, shown):
        gates = [Gate(address="*/*/*", limit=0.5)]
        for report in (detailed_record(), hostile_record("x" * 40_000)):
            assert len(shown("md", report, judged(report, *gates))) < 65_536


def assert_harmless(text: str) -> None:
    """No markup from outside survives a CommonMark parser with tables, and no table is broken."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    flat = [child for token in tokens for child in (token, *(token.children or ()))]
    kinds = {token.type for token in flat}
    assert not kinds & {"html_block", "html_inline", "link_open", "image", "fence", "code_block"}
    assert not kinds & {"em_open", "s_open", "blockquote_open", "ordered_list_open", "hr"}
    assert sum(token.type == "heading_open" for token in flat) == 1
    strong = [after.content for token, after in pairwise(flat) if token.type == "strong_open"]
    first = ["Key findings", "What to do next"]
    assert strong in ([], first, [*first, "Not shown"])
    for block in text.split("\n\n"):
        rows = [line.count("|") for line in block.splitlines() if line.startswith("|")]
        assert len(set(rows)) <= 1
    prose = re.sub("`[^`]*`", "", text)
    assert not re.search(r"(?<![\w&])[@#]\w|://|www\.", prose)


def assert_plain(text: str) -> None:
    forbidden = "\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069\u200e\u200f\ud800-\udfff"
    assert not re.search(f"[{forbidden}]", text)


HOSTILE_MARKDOWN = (
    *HOSTILE,
    "](http://evil.example) [x](http://evil.example)",
    "a | b || c \\| d \\\\| e",
    "`` ` ``` ~~~ ```html",
    "# head\n# head\n\n- x\n\n| a |\n|---|\n",
    "![x](http://evil.example/x.png) www.evil.example @octocat #1",
    "**bold** _em_ *em* ~~gone~~ <!-- --> &lt;b&gt; &#60;",
    "{0} {1}",
)


class TestSafety:
    def write(self, report, folder):
        gates = [Gate(address="*/*/*", limit=0.45, cites=report.title)]
        verdicts = [
            replace(verdict, waiver=_waiver(report.title)) if number % 2 else verdict
            for number, verdict in enumerate(check(report, gates))
        ]
        for name, render in RENDERERS.items():
            render(report, verdicts, folder / name, root=folder, reveal=True)
        return {name: (folder / name).read_text(encoding="utf-8") for name in RENDERERS}

    def assert_safe(self, files):
        for text in files.values():
            assert_plain(text)
        root = ET.fromstring(files["junit.xml"])
        tags = {element.tag for element in root.iter()}
        assert tags <= {
            "testsuites", "testsuite", "testcase", "failure", "error", "skipped", "system-out",
        }  # fmt: skip
        log = json.loads(files["sarif"])
        assert SARIF.is_valid(log)
        for result in log["runs"][0]["results"]:
            message = result["message"]["text"].replace("\\\\", "")
            assert not re.search(r"(?<!\\)[\[\]]", message)
            assert "{" not in message.replace("{{", "")
        assert_harmless(files["md"])

    @pytest.mark.parametrize("text", HOSTILE_MARKDOWN, ids=lambda text: repr(text[:12]))
    def test_a_strangers_text_stays_text(self, tmp_path, text):
        files = self.write(hostile_record(text), tmp_path)
        self.assert_safe(files)
        assert all(len(content) < 300_000 for content in files.values())

    @settings(max_examples=15, deadline=None)
    @given(any_text)
    def test_any_text_stays_text(self, tmp_path_factory, text):
        folder = tmp_path_factory.mktemp("any")
        self.assert_safe(self.write(hostile_record(text), folder))

    @settings(max_examples=200, deadline=None)
    @given(any_text)
    def test_escaped_text_is_one_line_of_text(self, text):
        line = f"| {markdown.code(text)} | {markdown.escape(text)} |"
        assert len(line.splitlines()) == 1
        assert_harmless(f"## x\n\n| a | b |\n|---|---|\n{line}\n")


def _waiver(text: str) -> Waiver:
    return Waiver(address="*/*/*", owner=text, reason=text, expires=TODAY)


class TestNobodyIsInThem:
    def record(self) -> AuditReport:
        report = example_record()
        bare = report.scenarios[0]
        found = bare.findings[0]
        figure = replace(found.measurements[0], persons={"ada-7": (1.0, 2.0), "1234": (0.0, 2.0)})
        crashed = replace(
            found,
            attack="crashed",
            status="failed",
            measurements=(),
            powers=(),
            reason="ValueError: cannot read people/ada-7/0001_c1s1.JPG of ada-7, "
            "camera of 1234 (1 of 12) in /home/someone/market/list.txt",
            exhibits={"reconstructions": "personal/none/crashed/strip.png"},
        )
        seen = replace(found, measurements=(figure,), exhibits={"x": "personal/none/strip.png"})
        rows = tuple(replace(m, query_id="Bob Example", match_id="Eve") for m in matches(3))
        lists = tuple(replace(x, query_id="Ada Lovelace") for x in rank_lists())
        bare = replace(bare, findings=(seen, crashed), matches=rows, rank_lists=lists)
        broken = {"count": 1, "files": ["bounding_box_test/0012_c1.jpg"]}
        return replace(
            report, scenarios=(bare,), data={"identity_names": ["Mallory M."], "broken": broken}
        )

    @pytest.mark.parametrize("name", RENDERERS)
    def test_no_picture_and_no_identity(self, shown, name):
        report = self.record()
        text = shown(name, report, judged(report, LEAK, Gate(address="none/crashed/x", limit=1)))
        assert "none/crashed" in text
        assert "cannot read" in text
        for secret in (
            "ada-7",
            "1234",
            "Bob",
            "Eve",
            "Ada",
            "Mallory",
            "0012",
            "0001",
            "people/",
            "someone",
        ):
            assert secret not in text, secret
        assert not re.search(r"\.(png|jpe?g)", text, flags=re.IGNORECASE)
        assert "data:image" not in text
        assert "personal" not in text

    def test_figures_are_not_taken_for_people(self, shown):
        text = shown("md", self.record())
        assert "(1 of 12)" in text
        assert "90.3%" in text
