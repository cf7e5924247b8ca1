"""The strongest rung speaks for its family; one that fools itself has no say."""

from dataclasses import replace

import pytest

from auditor.evaluation.ladders import ladders, strongest
from auditor.gates import Gate, check, overall
from auditor.gates.evidence import unshown
from auditor.report import AuditReport, Finding, Ladder, PowerOutcome, Scenario
from tests.records import certificate, example_record, inversion, measured


def rung(
    name: str, value: float, outcome: PowerOutcome = "shown", *, half: float = 0.05, **fields
) -> Finding:
    """A rung of the ladder of inversion with its headline and two more figures."""
    figures = (
        measured("reid_rank1", value, 0.02, half),
        measured("lpips", 1 - value, None, half, "lower", "distance"),
        measured(f"own_{name}", 0.3),
    )
    finding = replace(inversion(value, 0.02), attack=name, family="inversion", measurements=figures)
    powers = (certificate("reid_rank1", 0.02, outcome=outcome),)
    return replace(finding, **{"powers": powers, "exhibits": {}, **fields})


def record(*findings: Finding, **scenarios: tuple[Finding, ...]) -> AuditReport:
    """An audit whose bare scenario has ``findings``."""
    each = {"none": findings, **scenarios}
    return replace(
        example_record(),
        scenarios=tuple(
            Scenario(defense=name, findings=found, ladders=ladders(found))
            for name, found in each.items()
        ),
    )


def only(findings: tuple[Finding, ...], metric: str = "reid_rank1") -> Ladder:
    (found,) = [x for x in ladders(findings) if x.measurement.metric == metric]
    return found


class TestTheStrongest:
    def test_value_and_chance_are_the_strongest_rungs_and_the_careful_end_is_the_worst(self):
        wide = rung("wide", 0.30, half=0.20)
        best = rung("best", 0.40)
        found = only((rung("weak", 0.1), wide, best))
        assert (found.strongest, found.measurement.value) == ("best", 0.40)
        assert found.measurement.chance == 0.02
        assert found.measurement.high == pytest.approx(0.50)  # of the wide one
        assert found.rungs == ("weak", "wide", "best")

    def test_the_other_end_pays_for_having_picked_one_of_several(self):
        alone = only((rung("best", 0.40),)).measurement
        assert (alone.low, alone.high) == pytest.approx((0.35, 0.45))
        lows = [
            only((rung("best", 0.40), *[rung(f"weak{n}", 0.1) for n in range(count)]))
            for count in range(4)
        ]
        ends = [ladder.measurement.low for ladder in lows]
        assert ends == sorted(ends, reverse=True)
        assert len(set(ends)) == 4
        assert min(ends) >= 0

    def test_where_lower_is_leakier_the_lowest_counts(self):
        found = only((rung("weak", 0.1), rung("best", 0.4)), "lpips")
        assert found.strongest == "best"
        assert found.measurement.low <= found.measurement.value == pytest.approx(0.6)

    @pytest.mark.parametrize("outcome", ["weak", "not-run", "nothing-to-find"])
    def test_what_a_rung_without_power_found_it_found(self, outcome):
        found = only((rung("idle", 0.94, outcome), rung("able", 0.06)))
        assert (found.strongest, found.rungs) == ("idle", ("idle", "able"))
        assert (found.measurement.value, found.shown) == (0.94, True)

    def test_a_rung_that_fools_itself_neither_raises_nor_lowers_it(self):
        able = rung("able", 0.30)
        for value in (0.0, 0.9):
            found = only((rung("fooled", value, "self-deceived", half=0.3), able))
            assert (found.strongest, found.rungs, found.shown) == ("able", ("able",), True)
            assert found.measurement == only((able,)).measurement

    def test_where_every_rung_fools_itself_nothing_counts(self):
        found = only((rung("a", 0.1, "self-deceived"), rung("b", 0.9, "self-deceived")))
        assert (found.strongest, found.shown, found.void) == ("b", False, True)

    def test_the_favourable_end_is_the_most_that_any_rung_shows(self):
        wide, narrow = rung("wide", 0.50, half=0.45), rung("narrow", 0.40, half=0.02)
        found = only((wide, narrow))
        assert found.strongest == "wide"
        assert 0.37 < found.measurement.low < 0.38

    def test_without_any_power_a_low_figure_proves_nothing(self):
        found = only((rung("a", 0.1, "weak"), rung("b", 0.2, powers=())))
        assert (found.shown, found.void) == (False, False)
        assert "no rung" in found.reason

    def test_power_by_another_metric_is_none(self):
        pair = (rung("a", 0.1), rung("b", 0.2))
        assert only(pair).shown
        found = only(pair, "lpips")
        assert not found.shown
        assert "no certificate vouches for lpips" in found.reason

    def test_a_crash_might_have_been_the_strongest(self):
        crashed = rung("crashed", 0.1, status="failed", measurements=(), reason="boom")
        found = only((rung("able", 0.3), crashed))
        assert not found.shown
        assert "crashed" in found.reason

    def test_what_does_not_apply_is_no_rung(self):
        skipped = rung("skipped", 0.1, status="not-applicable", measurements=())
        assert only((rung("able", 0.3), skipped)).shown
        assert ladders([skipped]) == ()

    def test_headlines_come_first_and_figures_of_one_rung_alone_are_left_out(self):
        names = [x.name for x in ladders([rung("a", 0.1), rung("b", 0.2)])]
        assert names == ["inversion.reid_rank1", "inversion.lpips"]

    def test_a_finding_without_a_family_is_a_ladder_of_its_own(self):
        names = [x.name for x in ladders(example_record().scenarios[0].findings)]
        assert names[0] == "identity.top1"
        # headlines, and whatever else a certificate vouches for
        assert {"identity.top5", "attribute.hat.f1", "inversion.reid_rank1"} <= set(names)
        assert "inversion.psnr" not in names

    def test_nothing_has_no_strongest(self):
        assert strongest([], "top1") is None
        assert ladders([]) == ()


class TestGates:
    def outcome(self, report: AuditReport, address: str, limit: float) -> str:
        (verdict,) = check(report, [Gate(address=address, limit=limit)])
        return verdict.outcome

    def test_the_ladder_passes_in_spite_of_an_idle_rung_and_the_rung_does_not(self):
        report = record(rung("idle", 0.02, "weak"), rung("able", 0.3))
        assert self.outcome(report, "none/ladder/inversion.reid_rank1", 0.4) == "pass"
        assert self.outcome(report, "none/ladder/inversion.reid_rank1", 0.2) == "fail"
        assert self.outcome(report, "none/idle/reid_rank1", 0.4) == "inconclusive"
        assert list(unshown(report)) == []
        gate = Gate(address="none/ladder/inversion.reid_rank1", limit=0.4)
        assert overall(report, check(report, [gate])) == "pass"

    def test_a_family_without_power_bars_everything(self):
        report = record(rung("a", 0.02, "weak"), rung("b", 0.3, "weak"))
        assert self.outcome(report, "none/ladder/inversion.reid_rank1", 1.0) == "inconclusive"
        assert self.outcome(report, "none/ladder/inversion.reid_rank1", 0.2) == "fail"
        assert [place for place, _ in unshown(report)] == ["none/a", "none/b"]

    def test_power_in_another_family_or_scenario_does_not_help(self):
        idle, able = rung("idle", 0.1, "weak"), rung("able", 0.3)
        assert [p for p, _ in unshown(record(idle, replace(able, family="other")))] == ["none/idle"]
        assert [p for p, _ in unshown(record(idle, defended=(idle, able)))] == ["none/idle"]

    def test_a_crashed_rung_bars_an_audit_from_passing(self):
        crashed = rung("crashed", 0.1, status="failed", measurements=(), reason="boom")
        report = record(crashed, rung("able", 0.3))
        assert self.outcome(report, "none/ladder/inversion.reid_rank1", 1.0) == "inconclusive"
        assert self.outcome(report, "none/ladder/inversion.reid_rank1", 0.2) == "fail"
        assert [place for place, _ in unshown(report)] == ["none/crashed"]

    def test_a_ladder_that_one_scenario_lacks_does_not_go_unnoticed(self):
        gone = rung("able", 0.3, status="not-applicable", measurements=())
        report = record(rung("able", 0.3), defended=(gone,))
        verdicts = check(report, [Gate(address="*/ladder/inversion.reid_rank1", limit=1.0)])
        assert [(v.address, v.outcome) for v in verdicts] == [
            ("none/ladder/inversion.reid_rank1", "pass"),
            ("defended/ladder/inversion.reid_rank1", "inconclusive"),
        ]
