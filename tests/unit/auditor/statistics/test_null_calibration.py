"""On data with nothing to find, no estimator claims a find more often than its level allows.

Every estimator is given many draws from its own null. The number of false alarms must be one that a
binomial at the stated level exceeds with probability 1e-4 at most (`tolerated`): 19 of 300 at
2.5%, 10 of 100. What is tested is the level, not luck: an estimator that meets it fails about
never, one that gives three times as many alarms nearly always does.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from auditor.certification.certificates import certificates
from auditor.evaluation.ladders import ladders
from auditor.evaluation.subgroups import gaps
from auditor.gates import Gate, check
from auditor.metrics import leakage, measure, scores
from auditor.metrics.unlinkability import d_sys_interval, permutation_p
from auditor.report import Measurement
from auditor.statistics.multiplicity import ALPHA
from tests.records import certificate, identity
from tests.unit.auditor.evaluation.test_subgroups import headline, world
from tests.unit.auditor.gates.test_gates import holding, several

PEOPLE = 60


def tolerated(draws: int, level: float = ALPHA) -> int:
    """The most false alarms among ``draws`` that the level leaves possible."""
    return int(stats.binom.isf(1e-4, draws, level))


def clustered(rng: np.random.Generator, chance: float, people: int = PEOPLE) -> tuple:
    """Hits of people with 1 to 8 images each, whose own rates differ around ``chance``."""
    images = rng.integers(1, 9, people)
    spread = 0.2
    rates = rng.beta(chance / spread, (1 - chance) / spread, people)
    pids = torch.from_numpy(np.repeat(np.arange(1, people + 1), images))
    return torch.from_numpy(rng.random(len(pids)) < np.repeat(rates, images)).double(), pids


def rate(rng: np.random.Generator, chance: float = 0.1) -> Measurement:
    return measure.rate("top1", *clustered(rng, chance), chance=chance)


class TestIntervals:
    DRAWS = 300

    @pytest.mark.parametrize("chance", [0.02, 0.1, 0.5])
    def test_a_rate_at_chance_is_hardly_ever_above_or_below_it(self, chance):
        rng = np.random.default_rng(1)
        drawn = [rate(rng, chance) for _ in range(self.DRAWS)]
        assert sum(m.low > chance for m in drawn) <= tolerated(self.DRAWS)
        assert sum(m.high < chance for m in drawn) <= tolerated(self.DRAWS)

    def test_a_mean_at_chance_is_hardly_ever_beside_it(self):
        rng, draws = np.random.default_rng(2), 100
        beside = 0
        for _ in range(draws):
            pids = torch.arange(1, PEOPLE + 1).repeat_interleave(4)
            own = rng.beta(2, 6, PEOPLE).repeat(4)
            values = torch.from_numpy(rng.beta(8 * own, 8 * (1 - own)))
            m = measure.mean("map", values, pids)
            beside += not m.low <= 0.25 <= m.high
        assert beside <= tolerated(draws, 2 * ALPHA)

    @pytest.mark.parametrize("classes", [2, 4])
    def test_a_blind_guess_of_an_attribute_has_no_balanced_accuracy(self, classes):
        rng, draws = np.random.default_rng(3), 100
        above = below = 0
        for _ in range(draws):
            truth = np.repeat(rng.integers(0, classes, PEOPLE), 4)
            # one person's images look alike, so they are guessed alike more often than not
            guess = np.repeat(rng.integers(0, classes, PEOPLE), 4)
            guess = np.where(
                rng.random(len(truth)) < 0.6, guess, rng.integers(0, classes, len(truth))
            )
            pids = torch.arange(1, PEOPLE + 1).repeat_interleave(4)
            table = leakage.confusion_by_person(
                torch.from_numpy(guess), torch.from_numpy(truth), pids, classes
            )
            m = measure.statistic(
                "accuracy",
                table,
                leakage.balanced_accuracy(classes),
                leakage.add_unseen(table, [classes]),
            )
            above += m.low > 1 / classes
            below += m.high < 1 / classes
        assert above <= tolerated(draws)
        assert below <= tolerated(draws)

    def test_scores_that_tell_nothing_are_not_linkable(self):
        rng, draws = np.random.default_rng(4), 20
        persons = np.arange(PEOPLE).repeat(3)
        pairs = np.stack([rng.permutation(PEOPLE) for _ in range(20)]).reshape(-1, 2)
        alarms = 0
        for _ in range(draws):
            mated, others = rng.normal(size=len(persons)), rng.normal(size=len(pairs))
            # D_sys is 0 for sure only below; an interval that leaves 0 is the false alarm
            alarms += d_sys_interval(mated, others, persons, pairs)[0] > 0
        assert alarms <= tolerated(draws)

    def test_shuffled_labels_are_significant_as_often_as_the_level_says(self):
        rng, draws = np.random.default_rng(5), 300
        drawn = [
            permutation_p(rng.normal(size=12), rng.normal(size=40), rng, 199) for _ in range(draws)
        ]
        for level in (0.05, 0.2):
            assert sum(p <= level for p in drawn) <= tolerated(draws, level)

    def test_a_defense_that_does_nothing_keeps_a_ratio_of_one(self):
        rng, draws = np.random.default_rng(6), 60
        beside = 0
        for _ in range(draws):
            bare, again = (rate(rng, 0.4) for _ in range(2))
            use, reuse = (rate(rng, 0.8) for _ in range(2))
            bare, again = (replace(m, chance=0.02) for m in (bare, again))
            m = scores.urr1(reuse, again, use, bare).measurement
            assert m is not None
            beside += not m.low <= 1 <= m.high
        assert beside <= tolerated(draws, 2 * ALPHA)


class TestClaims:
    def test_the_null_control_seldom_fails_an_honest_attack(self):
        rng, draws = np.random.default_rng(7), 400
        planted = Measurement(metric="top1", value=1, n=PEOPLE, low=0.95, high=1, chance=0.1)
        shown = [certificates("top1", [planted], [rate(rng)], None)[0].shown for _ in range(draws)]
        # a 99.9% interval: one side leaves 0.05%
        assert draws - sum(shown) <= tolerated(draws, 0.0005)

    @pytest.mark.parametrize("limit", [0.05, 0.3])
    def test_a_gate_at_the_true_rate_neither_fails_nor_passes(self, limit):
        rng, draws = np.random.default_rng(8), 400
        gate = [Gate(address="none/identity/top1", limit=limit)]
        found = [check(holding(rate(rng, limit)), gate)[0].outcome for _ in range(draws)]
        assert found.count("fail") <= tolerated(draws)
        assert found.count("pass") <= tolerated(draws)

    @pytest.mark.parametrize("count", [10])
    def test_a_gate_on_many_figures_is_hardly_ever_wrong_about_any(self, count):
        rng, draws, limit = np.random.default_rng(9), 120, 0.1
        gate = Gate(address="none/identity/m*", limit=limit)
        bare = replace(gate, adjust="none")
        wrong = dict.fromkeys(("every", "fail", "uncorrected"), 0)
        for _ in range(draws):
            report = several(*(rate(rng, limit) for _ in range(count)))
            said = {verdict.outcome for verdict in check(report, [gate])}
            alone = {verdict.outcome for verdict in check(report, [bare])}
            wrong["every"] += said == {"pass"}
            wrong["fail"] += "fail" in said
            wrong["uncorrected"] += "fail" in alone
        # a gate passes only if every figure does
        assert wrong["every"] <= tolerated(draws)
        assert wrong["fail"] <= tolerated(draws)
        # what the correction is for
        assert wrong["uncorrected"] > tolerated(draws, ALPHA)

    @pytest.mark.parametrize("rungs", [2, 6])
    def test_the_strongest_of_blind_rungs_is_not_above_chance(self, rungs):
        rng, draws, chance = np.random.default_rng(10), 300, 0.1
        above = 0
        for _ in range(draws):
            findings = [
                replace(
                    identity(0.1, 0.2),
                    attack=f"rung{n}",
                    family="identity",
                    measurements=(rate(rng, chance),),
                    powers=(certificate("top1", chance),),
                )
                for n in range(rungs)
            ]
            above += ladders(findings)[0].measurement.low > chance
        assert above <= tolerated(draws)

    def test_groups_dealt_at_random_seldom_differ(self):
        rng, draws = np.random.default_rng(11), 25
        alarms = 0
        for seed in range(draws):
            columns = {f"a{n}": rng.integers(0, 2, PEOPLE).tolist() for n in range(3)}
            found = gaps(headline(rng.beta(2, 3, PEOPLE).tolist(), seed), world(**columns))
            alarms += any(gap.p_adjusted <= 0.05 for gap in found)
        assert alarms <= tolerated(draws, 0.05)
