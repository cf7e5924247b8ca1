"""PU-scores printed in PIS (Dou et al., SCIS 69(1), 2026): every cell of its tables.

Utility and leakage are printed to 0.1%, so a score recomputed from them may differ by 0.15%.
One known inconsistency lies between tables, not within one: VUNet's identity leakage has rank-1
58.5 in Table 2 and 50.8 in Table 5 (its "baseline", the same network); both rows agree with their
own PU-score. Table 7 prints no PU-score.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.metrics.scores import pu, pu_score
from auditor.report import Measurement

# method: utility mAP, rank-1; identity leakage mAP, rank-1; PU-score mAP, rank-1; all in percent
TABLES = {
    "2, Market-1501": {
        "origin": (79.1, 91.2, 90.0, 95.1, 17.8, 9.3),
        "removing head": (75.8, 89.5, 87.8, 94.0, 21.0, 11.2),
        "removing body": (21.1, 39.8, 8.6, 21.2, 34.2, 52.8),
        "blur S": (50.5, 72.7, 83.5, 92.3, 24.9, 13.9),
        "blur L": (34.7, 56.0, 34.7, 59.3, 45.3, 47.1),
        "pixelation": (58.8, 78.7, 56.2, 76.9, 50.2, 35.7),
        "DG-Net": (45.6, 66.8, 71.7, 73.1, 34.9, 38.3),
        "VUNet": (55.8, 76.6, 36.3, 58.5, 59.5, 53.8),
        "PIS": (57.6, 78.3, 35.1, 48.5, 61.0, 62.1),
    },
    "3, DukeMTMC-reID": {
        "origin": (71.4, 83.2, 80.5, 85.4, 30.6, 24.8),
        "removing head": (66.7, 81.4, 77.4, 81.0, 33.8, 30.8),
        "removing body": (17.7, 33.8, 7.9, 18.2, 29.7, 47.8),
        "blur S": (43.7, 63.0, 75.7, 83.4, 31.2, 26.3),
        "blur L": (27.6, 45.1, 31.3, 53.0, 39.4, 46.0),
        "pixelation": (46.4, 63.3, 51.6, 65.6, 47.4, 44.6),
        "DG-Net": (36.6, 55.3, 64.0, 62.2, 36.3, 44.9),
        "VUNet": (44.3, 60.9, 32.9, 52.6, 53.4, 53.3),
        "PIS": (46.6, 64.1, 32.0, 43.7, 55.3, 59.9),
    },
    "5, ablation": {
        "baseline": (45.6, 70.9, 36.3, 50.8, 53.2, 58.1),
        "AR": (45.5, 73.0, 44.4, 65.4, 50.0, 46.9),
        "CT": (51.0, 75.1, 42.6, 58.7, 54.0, 53.3),
        "SP": (50.0, 75.7, 39.9, 53.3, 54.6, 57.8),
        "CT and SP": (47.9, 73.1, 35.1, 48.5, 55.1, 60.4),
    },
    "6, across datasets": {
        "inside": (47.9, 73.1, 35.1, 48.5, 55.1, 60.4),
        "cross": (45.5, 71.3, 39.4, 55.5, 52.0, 54.8),
    },
    "8, noise": {
        "appearance": (47.9, 73.1, 35.1, 48.5, 55.1, 60.4),
        "Laplace": (52.4, 77.0, 60.0, 78.7, 45.4, 33.4),
    },
}
# method: F1 of teenager, adult, hair, gender; their mean; utility; PU-score; all in percent
TABLE_4 = {
    "origin": (88.4, 41.7, 77.2, 87.7, 73.8, 89.9, 40.6),
    "removing head": (87.9, 39.3, 69.1, 77.8, 68.5, 88.2, 46.4),
    "blur S": (87.2, 42.6, 73.9, 82.1, 71.5, 66.1, 39.9),
    "blur L": (85.1, 34.3, 64.7, 68.7, 63.2, 45.5, 40.7),
    "pixelation": (80.5, 39.6, 63.5, 70.6, 63.6, 75.1, 49.1),
    "DG-Net": (86.4, 29.6, 64.7, 73.9, 63.7, 63.3, 46.2),
    "PIS": (86.0, 20.9, 55.3, 58.4, 55.2, 74.9, 56.1),
}
ROUNDING = 0.0015


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("column", [0, 1], ids=["map", "rank1"])
def test_identity_attack(table, column):
    for method, row in TABLES[table].items():
        utility, leakage, wanted = (row[column + 2 * part] / 100 for part in range(3))
        assert pu_score(utility, leakage) == pytest.approx(wanted, abs=ROUNDING), method


@pytest.mark.parametrize("method", TABLE_4)
def test_attribute_attack(method):
    *each, leakage, utility, wanted = (value / 100 for value in TABLE_4[method])
    assert sum(each) / 4 == pytest.approx(leakage, abs=ROUNDING)
    assert pu_score(utility, leakage) == pytest.approx(wanted, abs=ROUNDING)


def test_the_tables_are_whole():
    assert {name[0]: len(rows) for name, rows in TABLES.items()} == {
        "2": 9,
        "3": 9,
        "5": 5,
        "6": 2,
        "8": 2,
    }
    assert TABLES["2, Market-1501"]["VUNet"][2] == TABLES["5, ablation"]["baseline"][2]
    assert TABLES["2, Market-1501"]["VUNet"][3] != TABLES["5, ablation"]["baseline"][3]


@pytest.mark.parametrize(("utility", "leakage"), [(0, 0), (0, 0.5), (0.8, 1), (0, 1)])
def test_no_utility_or_full_leakage_scores_nothing(utility, leakage):
    assert pu_score(utility, leakage) == 0


@given(st.floats(0.001, 1), st.floats(0, 0.999), st.floats(0.01, 1.99))
def test_a_weighted_harmonic_mean(utility, leakage, weight):
    found = pu_score(utility, leakage, weight)
    assert min(utility, 1 - leakage) - 1e-9 <= found <= max(utility, 1 - leakage) + 1e-9
    assert pu_score(1 - leakage, 1 - utility) == pytest.approx(pu_score(utility, leakage))


def test_the_interval_pairs_worst_with_worst():
    utility = Measurement(metric="map", value=0.576, n=30, low=0.5, high=0.6, worse="lower")
    leakage = Measurement(metric="top1", value=0.351, n=20, low=0.3, high=0.4)
    score = pu("pu_identity", utility, leakage)
    # harmonic means 2xy / (x + y) by hand
    assert score.measurement.value == pytest.approx(0.610, abs=5e-4)
    assert score.measurement.low == pytest.approx(2 * 0.5 * 0.6 / 1.1)
    assert score.measurement.high == pytest.approx(2 * 0.6 * 0.7 / 1.3)
    assert (score.measurement.n, score.measurement.worse) == (20, "lower")
    assert score.inputs == {"utility.map": 0.576, "leakage.top1": 0.351}
