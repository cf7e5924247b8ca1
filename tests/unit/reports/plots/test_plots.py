"""Drawings: what they say is what was measured, their bytes repeat, and a page may embed them."""

import re
from dataclasses import replace
from itertools import combinations, pairwise

import pytest

from auditor.metrics.scores import pu, pu_score
from auditor.report import Curve, Place
from reports.plots import curves, projection, pu_weights, similarity, trade_off
from reports.plots.curves import curve_plots
from reports.plots.drawing import COLOURS, Drawing, svg
from reports.plots.projection import constellations, together
from reports.plots.pu_weights import APART, spread, weight_plots
from reports.plots.similarity import BARS, pick, strength_plots
from reports.plots.trade_off import front
from tests.records import detailed_record, measured, pictured_record


def drawings() -> list[Drawing]:
    report = pictured_record()
    members = [("none", report.scenarios[0].findings[0])]
    return [
        *curve_plots(members, "curve"),
        *trade_off.plots(report),
        *weight_plots(report),
        *constellations(report),
        *strength_plots(report),
    ]


class TestMarkup:
    def test_the_same_record_gives_the_same_bytes(self):
        first = drawings()
        for module in (curves, similarity, pu_weights):
            module._draw.cache_clear()
        assert drawings() == first

    def test_nothing_needs_a_style_and_colours_have_a_tone_without_one(self):
        for drawing in drawings():
            assert "style" not in drawing.svg
            assert not re.search("|".join(COLOURS), drawing.svg)
            for tag, names in re.findall(r'(<[^>]*class="([^"]*)"[^>]*>)', drawing.svg):
                for name in names.split():
                    kind = name.partition("-")[0]
                    assert re.search(rf' {kind}="(#\w+|currentColor)"', tag)
            sized = r'<svg viewBox="[\d. ]+" width="\d+" height="\d+" font-family="sans-serif" '
            assert re.match(sized, drawing.svg)

    def test_every_drawing_is_named_and_described(self):
        for drawing in drawings():
            title, said = re.findall(r"<(?:title|desc) [^>]*>(.*?)</", drawing.svg)
            assert title
            assert len(said) > 20

    def test_ids_differ_between_drawings(self):
        ids = [re.findall(r'\bid="([^"]*)"', drawing.svg) for drawing in drawings()]
        assert sum(map(len, ids)) == len(set().union(*ids)) > 20

    def test_a_strangers_text_is_neither_measured_nor_markup(self):
        name = "<script>$\\frac{]]>name1!"
        text = svg(
            lambda axes: axes.set_xlabel("name0!"), "x", [name], title=name, description=name
        )
        assert "<script" not in text
        assert text.count("&lt;script&gt;") == 3

    def test_numbers_of_a_tick_are_not_cut_with_those_of_a_path(self):
        text = svg(
            lambda axes: axes.set_xticks([0.12345], ["0.12345"]), "x", title="t", description="d"
        )
        assert ">0.12345<" in text
        assert not re.search(r' (x|y|d)="[^"]*\.\d{3}', text)


class TestFront:
    @pytest.mark.parametrize(
        ("places", "expected"),
        [
            ([(0.9, 0.9), (0.5, 0.1)], [True, True]),
            ([(0.9, 0.9), (0.9, 0.5)], [False, True]),
            ([(0.9, 0.5), (0.8, 0.5)], [True, False]),
            ([(0.9, 0.5), (0.9, 0.5)], [True, True]),
            ([], []),
        ],
    )
    def test_a_scenario_is_beaten_by_one_that_is_no_worse_and_somewhere_better(
        self, places, expected
    ):
        assert front(places) == expected

    def test_the_plot_says_who_is_beaten(self):
        report = detailed_record()
        bare, noisy = report.scenarios
        worse = replace(noisy, defense="worse", utility=tuple(
            replace(m, value=m.value / 2, low=0.0) for m in noisy.utility
        ))  # fmt: skip
        (plot, *_) = trade_off.plots(replace(report, scenarios=(bare, noisy, worse)))
        assert plot.statement.endswith("worse")
        assert [row[-1] for row in plot.rows] == ["on the front", "on the front", "dominated"]
        assert plot.svg.count('class="stroke-accent" fill-opacity="0"') == 1

    def test_biased_utility_beats_nobody(self):
        report = detailed_record()
        bare, noisy = report.scenarios
        better = replace(noisy, defense="keyed", utility_bias="the key knows", utility=tuple(
            replace(m, value=m.value * 1.01) for m in noisy.utility
        ))  # fmt: skip
        (plot, *_) = trade_off.plots(replace(report, scenarios=(bare, noisy, better)))
        assert [row[-1] for row in plot.rows] == ["on the front", "on the front", "not compared"]
        assert plot.statement.endswith("not compared, for biased utility: keyed")


class TestWeights:
    def test_the_record_holds_the_score_under_every_weight(self):
        score = pu("pu_identity", measured("map", 0.8), measured("top1", 0.3))
        weighted = dict(score.weighted)
        assert weighted[0.0] == pytest.approx(0.8)  # utility alone
        assert weighted[2.0] == pytest.approx(0.7)  # what does not leak alone
        assert weighted[1.0] == score.measurement.value
        assert weighted[0.5] == pytest.approx(pu_score(0.8, 0.3, 1.5))
        assert len(weighted) == 21

    def test_the_table_has_the_ends_and_the_middle(self):
        (drawing,) = weight_plots(pictured_record())
        assert drawing.rows[0] == ("none", "0.800", "n/a", "0.400", "n/a", "0.200")
        assert drawing.svg.count("stroke-s1") > 1
        assert drawing.svg.count("stroke-s2") > 1

    def test_one_scenario_is_no_comparison(self):
        report = pictured_record()
        assert weight_plots(replace(report, scenarios=report.scenarios[:1])) == []

    @pytest.mark.parametrize(
        "ends", [[0.5, 0.5, 0.5], [1.0, 0.99, 0.98], [0.0, 0.0], [0.2, 0.9], [0.1] * 10]
    )
    def test_names_stay_apart_and_in_order(self, ends):
        heights = spread([(str(n), ((2.0, end),)) for n, end in enumerate(ends)])
        ordered = sorted(heights)
        assert all(b - a >= APART - 1e-9 for a, b in pairwise(ordered))
        assert all(0 <= height <= 1 for height in heights)
        for (one, at), (other, above) in combinations(zip(ends, heights, strict=True), 2):
            assert one == other or (one < other) == (at < above)


class TestConstellations:
    def test_neighbours_are_counted_among_all_and_by_person(self):
        places = (
            Place(person=0, x=0, y=0),
            Place(person=0, x=1, y=0),
            Place(person=1, x=0, y=5),
            Place(person=1, x=1.2, y=0.1),
        )
        assert together(places) == 0.25
        assert (together(places, 0), together(places, 1)) == (0.5, 0.0)

    def test_the_statement_is_the_figure_and_people_have_numbers_only(self):
        bare, noisy = constellations(pictured_record())
        assert (bare.scenario, noisy.scenario) == ("none", "dp_gallery")
        assert re.match(r"For \d+\.\d% of the entries", bare.statement)
        assert [row[:2] for row in bare.rows] == [(str(n), "3") for n in range(1, 8)]


class TestStrength:
    def test_the_highest_and_the_lowest_are_among_the_bars(self):
        bars = [(n / 100, n % 2 == 0) for n in range(100)]
        shown = pick(bars)
        assert len(shown) == BARS
        assert (shown[0], shown[-1]) == (bars[99], bars[0])
        assert pick(bars[:3]) == tuple(reversed(bars[:3]))

    def test_the_bars_are_the_record_s(self):
        similar, strong, *_ = strength_plots(pictured_record())
        scenario = pictured_record().scenarios[0]
        assert [row[2] for row in similar.rows] == ["right"] * 22 + ["wrong"] * 2
        assert similar.rows[0][1] == f"{scenario.matches[0].similarity:.3f}"
        persons = scenario.findings[-1].measurements[-1].persons
        best = max(total / count for total, count in persons.values())
        assert strong.rows[0] == ("1", f"{best:.3f}")
        assert "Cosine to the original picture" in strong.title

    def test_without_reconstructions_there_are_the_matches_alone(self):
        report = detailed_record()
        assert [d.scenario for d in strength_plots(report)] == ["none", "dp_gallery"]


class TestRoc:
    def test_both_axes_are_logarithmic(self):
        points = ((0.001, 0.02, 0.01, 0.04), (0.1, 0.3, 0.2, 0.4), (1.0, 1.0, 1.0, 1.0))
        roc = Curve(name="roc", metric="true-positive rate", x="false-positive rate",
                    points=points, log_x=True)  # fmt: skip
        finding = replace(detailed_record().scenarios[0].findings[0], curves=(roc,))
        (drawing,) = curve_plots([("none", finding)], "roc")
        ticks = re.findall(r">([\d.]+%)<", drawing.svg)
        assert sorted(set(ticks)) == ["0.1%", "1%", "10%", "100%"]


class TestErrorTradeOff:
    def test_both_axes_are_logarithmic_and_no_chance_line_is_drawn(self):
        points = ((0.001, 0.6, 0.5, 0.7), (0.01, 0.4, 0.3, 0.5), (1.0, 0.0, 0.0, 0.1))
        curve = Curve(name="det", metric="fnir", x="FPIR", points=points, log_x=True)
        report = pictured_record()
        finding = replace(report.scenarios[0].findings[0], curves=(curve,))
        (drawing,) = curve_plots([("none", finding)], "det")
        assert ">FNIR<" in drawing.svg
        assert {f">{tick}<" in drawing.svg for tick in ("0.1%", "1%", "10%", "100%")} == {True}
        assert drawing.rows[0] == ("0.001", "60.0%", "50.0% to 70.0%")
        assert drawing.title == "DET curve: FNIR against FPIR"


class TestAxes:
    def test_the_name_of_an_axis_is_whole(self):
        name = "pictures submitted against each entry"
        points = ((1.0, 0.1, 0.0, 0.2), (10.0, 0.3, 0.2, 0.4))
        curve = Curve(name="budget", metric="top1", x=name, points=points, log_x=True)
        finding = replace(pictured_record().scenarios[0].findings[0], curves=(curve,))
        (drawing,) = curve_plots([("none", finding)], "budget")
        assert f">{name}<" in drawing.svg


class TestManyScenarios:
    def test_beyond_the_first_ones_a_kind_has_its_tables_alone(self, monkeypatch):
        for module in (curves, similarity, projection):
            monkeypatch.setattr(module, "DRAWN", 1)
        finding = pictured_record().scenarios[0].findings[0]
        kinds = (
            curve_plots([("none", finding), ("noise", finding)], "many"),
            constellations(pictured_record()),
            [d for d in strength_plots(pictured_record()) if "Similarity" in d.title],
        )
        for first, *others in kinds:
            assert first.svg
            assert others
            assert not any(drawing.svg for drawing in others)
            assert all(drawing.rows for drawing in others)
