"""Whatever a record holds, a worse figure or a wider interval never moves a verdict to a pass."""

from dataclasses import replace
from datetime import date

from hypothesis import assume, given
from hypothesis import strategies as st

from auditor.gates import Gate, check, overall
from auditor.gates.policy import Policy
from auditor.gates.policy_check import judge
from auditor.report import AuditReport, Measurement
from tests.records import certificate, powerful_record

TODAY = date(2026, 1, 1)
SEVERITY = {"pass": 0, "inconclusive": 1, "fail": 2}
share = st.floats(0, 1)


@st.composite
def figures(draw: st.DrawFn) -> Measurement:
    """A share with its interval; either direction may be the worse one."""
    low, value, high = sorted(draw(st.tuples(share, share, share)))
    return Measurement(
        metric="m",
        value=value,
        n=80,
        low=low,
        high=high,
        chance=0.01,
        worse=draw(st.sampled_from(["higher", "lower"])),
    )


def worsen(figure: Measurement, by: float) -> Measurement:
    """The whole interval moved to the bad side."""
    sign = 1 if figure.worse == "higher" else -1
    moved = {
        name: min(1.0, max(0.0, getattr(figure, name) + sign * by))
        for name in ("low", "value", "high")
    }
    return replace(figure, **moved)


def widen(figure: Measurement, below: float, above: float) -> Measurement:
    """The interval with further ends."""
    return replace(figure, low=max(0.0, figure.low - below), high=min(1.0, figure.high + above))


def holding(*figures: Measurement, powers: list[bool]) -> AuditReport:
    """A record whose one attack found these, some of them certified."""
    named = [replace(figure, metric=f"m{n}") for n, figure in enumerate(figures)]
    certified = tuple(certificate(m.metric, 0.01) for m, p in zip(named, powers, strict=True) if p)
    report = powerful_record()
    bare = report.scenarios[0]
    finding = replace(bare.findings[0], measurements=tuple(named), powers=certified)
    return replace(report, scenarios=(replace(bare, findings=(finding,)),))


cases = {
    "given_figures": st.lists(st.tuples(figures(), st.booleans()), min_size=1, max_size=5),
    "which": st.integers(0, 4),
    "limit": share,
    "how": st.sampled_from(["pessimistic", "value"]),
    "adjust": st.sampled_from(["holm", "none"]),
}


def severities(report: AuditReport, limit: float, how: str, adjust: str) -> list[int]:
    """How bad each verdict of one gate is, then the gate's, then a policy's, then the audit's."""
    address = "none/identity/m*"
    gates = [Gate(address=address, limit=limit, judge=how, adjust=adjust)]
    asked = {"address": address, "limit": limit, "judge": how, "adjust": adjust, "cites": "a"}
    policy = Policy.model_validate({"version": 1, "gates": [asked]})
    found = [SEVERITY[verdict.outcome] for verdict in check(report, gates)]
    ruled = max(SEVERITY[verdict.outcome] for verdict in judge(report, policy, TODAY))
    return [*found, max(found), ruled, SEVERITY[overall(report, check(report, gates))]]


@given(**cases, by=share)
def test_a_worse_figure_never_turns_a_fail_into_a_pass(
    given_figures, which, limit, how, adjust, by
):
    found, powers = map(list, zip(*given_figures, strict=True))
    before = severities(holding(*found, powers=powers), limit, how, adjust)
    place = which % len(found)
    found[place] = worsen(found[place], by)
    after = severities(holding(*found, powers=powers), limit, how, adjust)
    assert all(late > 0 or early == 0 for early, late in zip(before, after, strict=True))


@given(**cases, below=share, above=share)
def test_a_wider_interval_never_turns_inconclusive_into_a_pass(
    given_figures, which, limit, how, adjust, below, above
):
    found, powers = map(list, zip(*given_figures, strict=True))
    before = severities(holding(*found, powers=powers), limit, how, adjust)
    place = which % len(found)
    found[place] = widen(found[place], below, above)
    after = severities(holding(*found, powers=powers), limit, how, adjust)
    assert all(late > 0 or early == 0 for early, late in zip(before, after, strict=True))


@given(**cases)
def test_a_lost_certificate_never_turns_anything_into_a_pass(
    given_figures, which, limit, how, adjust
):
    found, powers = map(list, zip(*given_figures, strict=True))
    place = which % len(found)
    assume(powers[place])
    before = severities(holding(*found, powers=powers), limit, how, adjust)
    powers[place] = False
    after = severities(holding(*found, powers=powers), limit, how, adjust)
    assert all(late > 0 or early == 0 for early, late in zip(before, after, strict=True))
