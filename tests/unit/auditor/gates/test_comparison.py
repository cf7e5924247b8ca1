"""Two records side by side: paired over people, corrected for how many figures are compared."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from scipy import stats

from auditor.cli.compare import lines
from auditor.errors import UsageError
from auditor.gates import exit_code
from auditor.gates.comparison import changes, compare
from auditor.report import AuditReport, Measurement, Scenario
from auditor.statistics.paired import paired_interval, shared_people
from auditor.statistics.unpaired import unpaired_interval
from reports.ci.comparison import render
from tests.records import HOSTILE, example_record, hostile_record, identity, powerful_record

SEVERITY = {"pass": 0, "inconclusive": 1, "fail": 2}


def rate(hits, images=5, metric="top1", worse="higher") -> Measurement:
    """A rate over people, each hit on so many of their images, with an interval around it."""
    persons = {str(n): (float(h), float(images)) for n, h in enumerate(hits)}
    value = float(np.sum(hits)) / (images * len(hits))
    return Measurement(
        metric=metric, value=value, n=len(hits), low=max(0.0, value - 0.05),
        high=min(1.0, value + 0.05), persons=persons, worse=worse,
    )  # fmt: skip


def drawn(seed: int, people: int, probability: float, images: int = 5):
    return np.random.default_rng(seed).binomial(images, probability, size=people)


def holding(*figures: Measurement, sha: str = "a", title: str = "audit") -> AuditReport:
    """A record whose certified attack ``identity`` found these figures."""
    finding = replace(identity(0.5, 0.6), measurements=figures)
    scenario = Scenario(defense="none", findings=(finding,))
    return replace(powerful_record(), scenarios=(scenario,), model={"sha256": sha}, title=title)


def only(comparison):
    (difference,) = comparison.differences
    return difference


class TestIntervals:
    def test_the_paired_one_is_that_of_the_persons_differences(self):
        old, new = (rate(drawn(seed, 200, p)) for seed, p in ((1, 0.4), (2, 0.55)))
        low, high = paired_interval(old, new)
        per_person = [
            new.persons[k][0] / 5 - old.persons[k][0] / 5 for k in old.persons
        ]  # as many images for everyone: the ratio of sums is the mean
        expected = stats.t.interval(0.95, 199, loc=np.mean(per_person), scale=stats.sem(per_person))
        # and one more person, who may have got worse or better on every image
        change = np.mean(per_person)
        unseen = np.array([-1 - change, 1 - change]) / 201
        assert (low, high) == pytest.approx(expected + unseen, abs=0.004)

    def test_unequal_numbers_of_images_weigh_as_in_the_figure(self):
        persons = {str(n): (float(n % 3 == 0) * (1 + n % 4), 1.0 + n % 4) for n in range(120)}
        more = {k: (min(c, h + (int(k) % 5 == 0)), c) for k, (h, c) in persons.items()}
        old, new = (
            replace(rate([0] * 120), persons=p, value=v, low=0.0, high=1.0)
            for p in (persons, more)
            for v in [sum(h for h, _ in p.values()) / sum(c for _, c in p.values())]
        )
        low, high = paired_interval(old, new)
        assert low < new.value - old.value < high
        influence = [
            (more[k][0] - new.value * c) - (persons[k][0] - old.value * c)
            for k, (_, c) in persons.items()
        ]  # the delta method for a difference of ratios
        half = (
            1.98
            * np.sqrt(120 / 119 * np.sum(np.square(influence)))
            / sum(c for _, c in persons.values())
        )
        unseen = 2 * 3 / 120  # rule of three, as on average three of four people have an image more
        assert 2 * half < high - low < 2 * half + unseen

    def test_pairing_pays_where_the_same_people_are_hit(self):
        hits = drawn(3, 200, 0.5)
        fewer = np.maximum(0, hits - (np.arange(200) % 4 == 0))
        old, new = rate(hits), rate(fewer)
        (low, high), (wide_low, wide_high) = paired_interval(old, new), unpaired_interval(old, new)
        assert high - low < (wide_high - wide_low) / 2

    def test_labels_that_mean_other_people_do_no_harm(self):
        old, new = rate(drawn(5, 300, 0.5)), rate(drawn(6, 300, 0.5))
        low, high = paired_interval(old, new)
        halves = [1.97 * np.std([h / 5 for h, _ in m.persons.values()]) / 300**0.5
                  for m in (old, new)]  # fmt: skip
        assert high - low == pytest.approx(2 * np.hypot(*halves), rel=0.1)

    def test_nobody_changed_is_not_certainty(self):
        low, high = paired_interval(rate([5] * 80), rate([5] * 80))
        # with 4.51% of all people changed, none among 80 is seen one time in forty
        assert high == pytest.approx(1 - 0.025 ** (1 / 80))
        assert low == -high

    def test_the_unpaired_one_is_square_and_add(self):
        old = Measurement(metric="x", value=0.5, n=9, low=0.4, high=0.7)
        new = Measurement(metric="x", value=0.6, n=9, low=0.55, high=0.62)
        assert unpaired_interval(old, new) == pytest.approx(
            (0.1 - (0.05**2 + 0.2**2) ** 0.5, 0.1 + (0.02**2 + 0.1**2) ** 0.5)
        )

    def test_who_is_paired(self):
        old = rate([1, 2, 3])
        assert shared_people(old, rate([1, 1, 3])) == 3
        assert shared_people(old, rate([1, 2])) == 0  # others
        assert shared_people(old, replace(old, persons={})) == 0
        assert shared_people(rate([1]), rate([1])) == 0  # one person has no spread
        shifted = replace(old, value=old.value + 0.01)
        assert shared_people(old, shifted) == 0  # the figure is not that of its people


class TestCompare:
    def test_a_difference_has_a_sign_an_interval_and_a_direction(self):
        old, new = holding(rate(drawn(1, 200, 0.7))), holding(rate(drawn(1, 200, 0.4)), sha="b")
        found = only(compare(old, new, ["*/identity/*"]))
        assert found.value == pytest.approx(-0.3, abs=0.03)
        assert found.low < found.value < found.high < 0
        assert (found.how, found.people, found.direction) == ("paired", 200, "better")
        back = only(compare(new, old, ["*/identity/*"]))
        assert (back.direction, back.low) == ("worse", pytest.approx(-found.high, abs=0.01))

    def test_less_utility_is_worse(self):
        old, new = (holding(rate(drawn(1, 200, p), worse="lower")) for p in (0.7, 0.4))
        assert only(compare(old, new, ["*/identity/*"])).direction == "worse"

    def test_holm_is_over_everything_compared(self):
        noisy = [(rate(drawn(n, 400, 0.5), metric=f"m{n}"), rate(drawn(n + 99, 400, 0.5),
                  metric=f"m{n}")) for n in range(30)]  # fmt: skip
        old, new = (
            holding(*column, sha=sha)
            for column, sha in zip(zip(*noisy, strict=True), "ab", strict=True)
        )
        made = compare(old, new, ["*/identity/*"])
        assert len(made.differences) == 30
        assert any(d.p <= 0.05 for d in made.differences)  # alone, some would be called different
        assert {d.direction for d in made.differences} == {"no difference shown"}
        for d in made.differences:
            assert d.p <= d.p_adjusted <= 1

    def test_headlines_are_compared_unless_others_are_asked_for(self):
        report = example_record()
        names = [d.address for d in compare(report, report).differences]
        assert "none/identity/top1" in names
        assert "none/identity/top5" not in names
        assert {"none/utility/rank1", "none/utility/map"} <= set(names)
        assert [d.address for d in compare(report, report, ["*/identity/top5"]).differences] == [
            "none/identity/top5",
            "dp_gallery/identity/top5",
        ]

    def test_what_was_computed_twice_is_identical(self):
        made = compare(example_record(), example_record(), ["*"], margin=0.0)
        assert {d.how for d in made.differences} == {"identical"}
        assert made.changed == ()

    def test_the_same_figure_of_another_model_is_not(self):
        figure = rate([5] * 80)
        found = only(compare(holding(figure), holding(figure, sha="b"), ["*/identity/*"], 0.02))
        assert (found.how, found.outcome) == ("paired", "inconclusive")

    @pytest.mark.parametrize("field", ["params", "plugin"])
    def test_nor_is_that_of_another_attack(self, field):
        figure = rate([5] * 80)
        report = holding(figure)
        scenario = report.scenarios[0]
        other = replace(
            scenario.findings[0], **{field: {"epochs": 1} if field == "params" else "x"}
        )
        changed = replace(report, scenarios=(replace(scenario, findings=(other,)),))
        assert only(compare(report, changed, ["*/identity/*"])).how == "paired"

    def test_settings_models_and_data_that_differ_are_named(self):
        old = example_record()
        new = replace(
            old,
            config={**old.config, "seed": 1},
            model={**old.model, "sha256": "00"},
            data={**old.data, "junk": 5},
            environment={**old.environment, "created": "later", "packages": {"torch": "3"}},
        )
        found = {c.key: (c.before, c.after) for c in changes(old, new)}
        assert found["config.seed"] == ("0", "1")
        assert found["model.sha256"] == ("9f2c" * 16, "00")
        assert found["data.junk"] == ("4", "5")
        assert found["environment.packages.torch"] == ("2.10.0", "3")
        assert found["environment.packages.numpy"] == ("2.3.1", "")
        assert "environment.created" not in found

    def test_names_that_stand_for_others_are_not_paired(self, tmp_path):
        old, new = holding(rate(drawn(1, 50, 0.5))), holding(rate(drawn(2, 50, 0.5)), sha="b")
        object.__setattr__(new, "pseudonyms", "another table")
        made = compare(old, new, ["*/identity/*"])
        assert (only(made).how, only(made).people) == ("unpaired", 0)
        assert any("so nothing is paired" in line for line in lines(made))
        render(made, tmp_path / "c.md")
        assert "so nothing is paired" in (tmp_path / "c.md").read_text()

    def test_what_one_record_lacks_is_named(self):
        old, new = holding(rate([1, 2]), rate([1, 2], metric="a")), holding(rate([1, 2]))
        made = compare(old, new, ["*/identity/*"])
        assert (made.missing, made.added) == (("none/identity/a",), ())
        assert compare(new, old, ["*/identity/*"]).added == ("none/identity/a",)


class TestMargin:
    def ruled(self, before, after, margin, **how):
        old = holding(rate(before, **how))
        new = holding(rate(after, **how), sha="b")
        made = compare(old, new, ["*/identity/*"], margin)
        return exit_code(made.outcome), only(made)

    def test_a_regression_fails_an_improvement_passes_and_the_rest_is_open(self):
        hits = drawn(1, 200, 0.4)
        more = np.minimum(5, hits + (np.arange(200) % 2))
        assert self.ruled(hits, more, 0.02)[0] == 3
        assert self.ruled(more, hits, 0.02)[0] == 0
        assert self.ruled(hits, more, 0.1)[0] == 4
        assert self.ruled(hits, more, 0.3)[0] == 0

    def test_for_utility_it_is_the_other_way_round(self):
        hits = drawn(1, 200, 0.4)
        more = np.minimum(5, hits + (np.arange(200) % 2))
        assert self.ruled(hits, more, 0.02, worse="lower")[0] == 0
        assert self.ruled(more, hits, 0.02, worse="lower")[0] == 3

    def test_the_reason_differs_from_the_margin_visibly(self):
        _, found = self.ruled(drawn(1, 200, 0.4), drawn(1, 200, 0.4), 1 - 0.025 ** (1 / 200))
        assert found.reason.startswith("it gets worse by 0.018")
        assert found.outcome == "pass"

    def test_an_attack_without_power_settles_nothing(self):
        made = compare(example_record(), example_record(), ["*/inversion/reid_rank1"], 0.5)
        assert {d.outcome for d in made.differences} == {"inconclusive"}
        assert "did not pass its controls" in made.differences[0].reason

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"complete": False}, "the second audit was interrupted"),
            ({"scenarios": ()}, "the second record lacks"),
        ],
    )
    def test_missing_is_not_safe(self, change, reason):
        old = powerful_record()
        made = compare(old, replace(old, **change), margin=0.5)
        assert made.outcome == "inconclusive"
        assert reason in made.reason

    def test_nothing_to_compare_is_inconclusive(self):
        empty = replace(powerful_record(), scenarios=())
        assert compare(empty, empty, margin=0.5).outcome == "inconclusive"

    @settings(max_examples=30, deadline=None)
    @given(
        st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=40),
        st.tuples(*[st.floats(0, 1, exclude_max=True)] * 2).map(sorted),
    )
    def test_a_laxer_margin_never_makes_it_worse(self, hits, margins):
        before, after = zip(*hits, strict=True)
        strict, lax = (self.ruled(before, after, m)[1].outcome for m in margins)
        assert SEVERITY[lax] <= SEVERITY[strict]


class TestShown:
    def made(self, margin=0.02):
        hits = drawn(1, 200, 0.4)
        more = np.minimum(5, hits + (np.arange(200) % 2))
        old, new = holding(rate(hits)), holding(rate(more), sha="b")
        return compare(
            old, replace(new, config={**new.config, "seed": 7}), ["*/identity/*"], margin
        )

    def test_the_terminal_says_what_how_and_how_sure(self):
        shown = "\n".join(lines(self.made()))
        assert "differs: model.sha256: a → b" in shown
        assert "differs: config.seed: 0 → 7" in shown
        assert "worse [paired, 200 people]" in shown
        assert "FAIL none/identity/top1: it gets worse by" in shown
        assert shown.endswith("verdict: FAIL")

    def test_so_does_the_table_for_pull_requests(self, tmp_path):
        render(self.made(), tmp_path / "c.md")
        text = (tmp_path / "c.md").read_text()
        assert text.startswith("## Privacy audit compared: ❌ fail\n")
        assert "| 🔺 worse | paired, 200 people |" in text
        assert "- `config.seed`: `0` → `7`" in text

    @pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:12]))
    def test_a_strangers_text_stays_text(self, tmp_path, text):
        report = hostile_record(text)
        other = replace(report, title=f"b{text}", config={"x": text, text: 1}, scenarios=())
        for made in (compare(report, report, ["*"], 0.1), compare(report, other, ["*"], 0.1)):
            render(made, tmp_path / "c.md")
            shown = (tmp_path / "c.md").read_text(encoding="utf-8")
            tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(shown)
            kinds = {c.type for t in tokens for c in (t, *(t.children or ()))}
            assert not kinds & {"html_block", "html_inline", "link_open", "image", "fence"}
            assert len(shown) < 65_536
            for line in lines(made):
                assert line.isprintable()
                assert len(line) <= 1000


def test_the_command_gives_the_exit_code(tmp_path, capsys):
    from auditor.cli.main import main
    from auditor.report import dumps

    for name, hits in (("a", 0.4), ("b", 0.8)):
        (tmp_path / name).write_text(dumps(holding(rate(drawn(1, 100, hits)), sha=name)))
    table = tmp_path / "c.md"

    def run(*arguments) -> int:
        with pytest.raises(SystemExit) as stop:
            main(["compare", *map(str, arguments)])
        return int(stop.value.code or 0)

    a, b = tmp_path / "a", tmp_path / "b"
    assert run(a, b) == 0
    assert run(a, b, "--fail-on-regression", "0.05", "--markdown", table) == 3
    assert table.read_text().startswith("## Privacy audit compared: ❌ fail")
    assert run(b, a, "--fail-on-regression", "0.05") == 0
    assert run(a, b, "--fail-on-regression", "0.4") == 4
    assert run(a, b, "--fail-on-regression", "-1") == 2
    assert run(a, Path("nowhere.json")) == 2
    assert "cannot read nowhere.json" in capsys.readouterr().err


@pytest.mark.parametrize("margin", [2, 1.0, -0.1, float("nan"), float("inf")])
def test_a_margin_that_nothing_could_exceed_is_refused(margin):
    with pytest.raises(UsageError, match=r"write 0\.02 for 2%"):
        compare(example_record(), example_record(), ["*"], margin)
