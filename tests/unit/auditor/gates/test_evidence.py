"""A high figure is its own proof; a low one counts only where a certificate vouches for it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.cli.gate import conclude
from auditor.evaluation.ladders import ladders
from auditor.gates import Gate, check, outranked
from auditor.gates.comparison import compare
from auditor.gates.evidence import doubts, doubts_on, shows_less
from auditor.report import (
    AuditReport,
    Finding,
    Measurement,
    Power,
    PowerOutcome,
    Scenario,
    Subgroup,
)
from tests.records import certificate, example_record, identity, measured

LADDER = "none/ladder/identity.top1"
SEVERITY = {"pass": 0, "inconclusive": 1, "fail": 2}
OUTCOMES: tuple[PowerOutcome, ...] = (
    "shown", "weak", "self-deceived", "nothing-to-find", "not-run",
)  # fmt: skip


def power(outcome: PowerOutcome, metric: str = "top1") -> Power:
    found = certificate(metric, 0.01, outcome=outcome)
    if outcome == "nothing-to-find":
        found = replace(found, reason="not even the reference finds any of it: 0.012, chance 0.010")
    return found


def rung(
    name: str, value: float, outcome: PowerOutcome | None = "shown", half: float = 0.02
) -> Finding:
    """A rung of the ladder of identity; without an outcome it was not tried on the controls."""
    return replace(
        identity(value, value),
        attack=name,
        family="identity",
        measurements=(measured("top1", value, 0.01, half), measured("psnr", 30, unit="dB")),
        powers=(power(outcome),) if outcome else (),
    )


def record(*findings: Finding) -> AuditReport:
    scenario = Scenario(defense="none", findings=findings, ladders=ladders(findings))
    return replace(example_record(), scenarios=(scenario,), scores=())


def outcome(report: AuditReport, address: str, limit: float) -> str:
    (verdict,) = check(report, [Gate(address=address, limit=limit)])
    return verdict.outcome


def reason(report: AuditReport, address: str, limit: float) -> str:
    (verdict,) = check(report, [Gate(address=address, limit=limit)])
    return verdict.reason


class TestOneSided:
    def test_a_leak_that_a_weak_rung_found_is_not_hidden_behind_an_able_one(self):
        report = record(rung("strong", 0.94, "weak"), rung("able", 0.06, "shown"))
        verdicts = check(report, [Gate(address=LADDER, limit=0.2)])
        assert [verdict.outcome for verdict in verdicts] == ["fail"]
        assert conclude(report, verdicts) == 3

    @pytest.mark.parametrize(
        ("certified", "low", "high"),
        [
            ("shown", "pass", "fail"),
            ("weak", "inconclusive", "fail"),
            ("not-run", "inconclusive", "fail"),
            (None, "inconclusive", "fail"),
            ("nothing-to-find", "pass", "fail"),
            ("self-deceived", "inconclusive", "inconclusive"),
        ],
    )
    @pytest.mark.parametrize("address", ["none/a/top1", LADDER])
    def test_what_a_low_and_a_high_figure_come_to(self, address, certified, low, high):
        assert outcome(record(rung("a", 0.05, certified)), address, 0.2) == low
        assert outcome(record(rung("a", 0.9, certified)), address, 0.2) == high

    @pytest.mark.parametrize("address", ["none/a/top1", LADDER])
    def test_a_pass_where_there_is_nothing_to_find_says_so(self, address):
        told = reason(record(rung("a", 0.05, "nothing-to-find")), address, 0.2)
        assert told.endswith("; not even the reference finds any of it: 0.012, chance 0.010")

    def test_a_ladder_with_an_able_rung_need_not_say_so(self):
        report = record(rung("a", 0.05, "nothing-to-find"), rung("b", 0.06))
        assert "reference" not in reason(report, LADDER, 0.2)

    def test_the_careful_end_of_a_weak_rung_counts_too(self):
        report = record(rung("weak", 0.15, "weak", half=0.1), rung("able", 0.06))
        assert outcome(report, LADDER, 0.2) == "inconclusive"


def test_there_is_no_efficiency_where_there_is_nothing_to_find():
    assert power("shown").efficiency == pytest.approx(0.96 / 0.99)
    assert power("nothing-to-find").efficiency is None


class TestMetrics:
    def test_a_certificate_covers_what_it_measured(self):
        report = record(rung("a", 0.05))
        assert outcome(report, "none/a/psnr", 10.0) == "fail"
        assert outcome(report, "none/a/psnr", 99.0) == "inconclusive"
        assert "no certificate vouches for psnr" in reason(report, "none/a/psnr", 99.0)

    def test_groups_and_the_people_worst_off_are_readings_of_the_figure(self):
        found = rung("a", 0.05)
        worst = measured("top1.fully_exposed", 0.05)
        found = replace(found, worst_case=(worst,))
        assert doubts(found, "top1@gender=female").passing == ""
        assert doubts(found, "top1.fully_exposed").passing == ""
        # the same figure by another judge is another figure
        assert "no certificate" in doubts(found, "top1.osnet").passing

    def test_a_metric_without_a_certificate_shares_the_self_deception_of_its_attack(self):
        found = rung("a", 0.9, "self-deceived")
        assert "nothing to find, by top1" in doubts(found, "psnr").failing

    def test_a_metric_may_fool_itself_alone(self):
        found = replace(rung("a", 0.05), powers=(power("shown"), power("self-deceived", "psnr")))
        assert doubts(found).failing == ""
        assert doubts(found, "psnr").failing

    def test_what_is_not_there_raises_no_doubt(self):
        for address in ("other/a/top1", "none/other/top1", "none/ladder/other.top1"):
            assert doubts_on(record(rung("a", 0.05)), address).passing == ""


class TestScores:
    def test_a_ratio_fails_only_if_the_bare_scenario_was_attacked_in_earnest(self):
        gate = Gate(address="dp_gallery/scores/urr1", limit=50.0)
        report = example_record()  # its inversion has no power
        (verdict,) = check(report, [gate])
        assert (verdict.outcome, "none/inversion" in verdict.reason) == ("inconclusive", True)
        (verdict,) = check(report, [replace(gate, address="dp_gallery/scores/pu_identity")])
        assert verdict.outcome == "fail"


class TestComparison:
    @pytest.mark.parametrize(
        ("old", "new", "better", "worse"),
        [
            ("shown", "shown", "pass", "fail"),
            ("shown", "weak", "inconclusive", "fail"),
            ("weak", "shown", "pass", "inconclusive"),
            ("self-deceived", "shown", "inconclusive", "inconclusive"),
            ("shown", "self-deceived", "inconclusive", "inconclusive"),
        ],
    )
    def test_a_change_for_the_worse_needs_a_first_figure_that_hides_nothing(
        self, old, new, better, worse
    ):
        for value, wanted in ((0.05, better), (0.9, worse)):
            before, after = record(rung("a", 0.3, old)), record(rung("a", value, new))
            (found,) = compare(before, after, ["none/a/top1"], margin=0.1).differences
            assert found.outcome == wanted


class TestOutranked:
    STRONG, WEAK = rung("lda", 0.18), rung("softmax", 0.02)

    def warnings(self, *gates: Gate) -> list[str]:
        report = record(self.WEAK, self.STRONG)
        return list(outranked(report, check(report, gates)))

    def test_a_gate_on_the_weaker_rung_is_warned_about(self):
        (told,) = self.warnings(Gate(address="none/softmax/top1", limit=0.1))
        assert told == (
            "none/softmax/top1 gates one rung (0.02), but lda is a stronger one of the same ladder "
            "(0.18): gate none/ladder/identity.top1"
        )

    @pytest.mark.parametrize(
        "gates",
        [
            [Gate(address="none/lda/top1", limit=0.1)],
            [Gate(address="none/*/top1", limit=0.1)],
            [Gate(address="none/softmax/top1", limit=0.1), Gate(address=LADDER, limit=0.1)],
            [Gate(address="none/softmax/top1", limit=0.1, level="warn")],
            [Gate(address="none/softmax/psnr", limit=0.1)],
        ],
    )
    def test_others_are_not(self, gates):
        assert self.warnings(*gates) == []

    def test_a_group_has_no_ladder_but_rungs(self):
        weak, strong = (
            replace(
                found,
                subgroups=(
                    Subgroup(
                        attribute="hat",
                        value="yes",
                        measurement=replace(found.measurements[0], metric="top1@hat=yes"),
                    ),
                ),
            )
            for found in (self.WEAK, self.STRONG)
        )
        report = record(weak, strong)
        gate = Gate(address="none/softmax/top1@hat=*", limit=0.1)
        (told,) = outranked(report, check(report, [gate]))
        assert told.endswith("gate none/lda/top1@hat=yes")

    def test_a_stronger_rung_that_fools_itself_is_no_rung(self):
        report = record(self.WEAK, rung("lda", 0.9, "self-deceived"))
        gate = Gate(address="none/softmax/top1", limit=0.1)
        assert list(outranked(report, check(report, [gate]))) == []

    def test_it_is_said_on_stderr(self, capsys):
        report = record(self.WEAK, self.STRONG)
        conclude(report, check(report, [Gate(address="none/softmax/top1", limit=0.1)]))
        out, err = capsys.readouterr()
        assert err.startswith("warning: none/softmax/top1 gates one rung")
        assert "warning:" not in out


figures = st.tuples(st.floats(0, 1), st.floats(0, 0.3), st.sampled_from((*OUTCOMES, None)))


@given(
    rungs=st.lists(figures, min_size=1, max_size=5),
    which=st.integers(0, 4),
    rise=st.floats(0, 1),
    limit=st.floats(0, 1),
    address=st.sampled_from([LADDER, "none/*/top1", "none/a0/top1"]),
)
def test_a_worse_figure_never_turns_a_verdict_towards_a_pass(rungs, which, rise, limit, address):
    def worst(figures):
        report = record(*(rung(f"a{n}", v, o, half=h) for n, (v, h, o) in enumerate(figures)))
        found = [v.outcome for v in check(report, [Gate(address=address, limit=limit)])]
        return max(map(SEVERITY.get, found))

    value, half, certified = rungs[which % len(rungs)]
    worse = list(rungs)
    worse[which % len(rungs)] = (min(1.0, value + rise), half, certified)
    before, after = worst(rungs), worst(worse)
    assert after > 0 or before == 0, "a worse figure turned a verdict into a pass"
    # a figure of nobody's but its own that fails, fails however much worse it gets
    assert before < 2 or after == 2 or address == LADDER


def test_the_best_of_several_defenses_has_to_show_more():
    before = Measurement(metric="top1", value=0.9, n=80, low=0.85, high=0.95, chance=0.1)
    after = Measurement(metric="top1", value=0.82, n=80, low=0.77, high=0.87, chance=0.1)
    # square-and-add: the difference of 0.08 reaches 0.071 to either side
    assert shows_less(before, after)
    assert not shows_less(before, after, tries=2)  # 0.084
    assert not shows_less(after, before)
    lower = [
        Measurement(metric="fnir", worse="lower", value=m.value, n=80, low=m.low, high=m.high)
        for m in (before, after)
    ]
    assert shows_less(lower[1], lower[0])
    assert not shows_less(lower[0], lower[1])
