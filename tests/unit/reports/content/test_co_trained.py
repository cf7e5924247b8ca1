"""A defense's own adversary: recorded, shown beside the fresh ones, and never counted."""

from dataclasses import replace
from pathlib import Path

from auditor.report import Finding, dumps, loads
from reports.content.co_trained import pairs
from reports.html import page
from tests.records import example_record, measured


def finding(attack, *measurements):
    return Finding(
        attack=attack,
        plugin=attack,
        family="inversion",
        summary="It draws.",
        status="done",
        measurements=measurements,
    )


def record():
    """The second scenario was trained against a reverser that failed; two fresh ones were tried."""
    own = finding("reverser", measured("reid_rank1", 0.1), measured("lpips", 0.6, worse="lower"))
    fresh = (
        finding("weak", measured("reid_rank1", 0.2), measured("lpips", 0.4, worse="lower")),
        finding("strong", measured("reid_rank1", 0.7), measured("lpips", 0.5, worse="lower")),
    )
    report = example_record()
    defended = replace(report.scenarios[1], co_trained=(own,), findings=fresh)
    return replace(report, scenarios=(report.scenarios[0], defended))


def test_each_figure_stands_beside_the_worst_fresh_one():
    rank1, lpips = pairs(record())
    assert (rank1.own.value, rank1.fresh.value, rank1.attack) == (0.1, 0.7, "strong")
    assert (lpips.own.value, lpips.fresh.value, lpips.attack) == (0.6, 0.4, "weak")


def test_a_fresh_adversary_on_the_same_material_is_the_better_comparison():
    report = record()
    own = finding("head", measured("top1", 0.02), measured("top1_fresh", 0.9))
    scenario = replace(report.scenarios[1], co_trained=(own,))
    (top1,) = pairs(replace(report, scenarios=(scenario,)))
    assert (top1.own.value, top1.fresh.value) == (0.02, 0.9)
    assert top1.attack == "afresh, on the same people"


def test_without_a_fresh_attack_there_is_only_the_one():
    report = record()
    alone = replace(report.scenarios[1], findings=())
    assert [p.fresh for p in pairs(replace(report, scenarios=(alone,)))] == [None, None]
    assert pairs(example_record()) == []


def test_it_survives_the_record_and_has_no_address():
    report = loads(dumps(record()))
    assert report.scenarios[1].co_trained == record().scenarios[1].co_trained
    assert not [address for address, _ in report.measurements() if "reverser" in address]


def test_the_page_shows_it_only_where_there_is_one():
    texts = [page(r, (), root=Path(), reveal=False) for r in (record(), example_record())]
    assert ['id="co-trained"' in text for text in texts] == [True, False]
    assert ['href="#co-trained"' in text for text in texts] == [True, False]
    assert "70.0%" in texts[0]
