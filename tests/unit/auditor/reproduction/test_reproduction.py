"""Repeating a table: who is protected and who attacks, what is averaged, what is written."""

from dataclasses import replace
from typing import get_args

import numpy as np
import openpyxl
import pytest
import torch
from sklearn.metrics import f1_score

from auditor.data.synthetic import make_world
from auditor.errors import DataError, ModelError
from auditor.report import Measurement, PowerOutcome, Scenario
from auditor.reproduction.attributes import _counts, _f1, _mean_f1
from auditor.reproduction.audits import UNSHOWN, _unshown
from auditor.reproduction.plan import RowPlan, table
from auditor.reproduction.publications import owner_of, require_learners
from auditor.reproduction.record import Column, Figure, Reproduction, Row, dumps, load
from auditor.reproduction.run import _model
from auditor.types import RunContext
from reports.excel import reproduction as workbook
from reports.html import reproduction as web_page
from tests.records import certificate, identity


@pytest.fixture(scope="module")
def world():
    return make_world(identities=6, auxiliary=20, cameras=3, images_per_camera=2, seed=5)


def people(split):
    return set(split.pids.tolist())


def test_people_are_divided_three_ways(world):
    owner = owner_of(world, RunContext(seed=1))
    assert people(owner.gallery) | people(owner.auxiliary) == people(world.train)
    assert not people(owner.gallery) & people(owner.auxiliary)
    assert not people(owner.gallery) & people(world.gallery)
    assert len(people(owner.gallery)) == len(people(owner.auxiliary)) == 10
    assert len(owner.query) == 10 * 3
    assert people(owner.query) == people(owner.gallery)


def test_the_division_depends_on_the_seed_alone(world):
    first, again, other = (owner_of(world, RunContext(seed=s)) for s in (1, 1, 2))
    assert people(first.gallery) == people(again.gallery)
    assert people(first.gallery) != people(other.gallery)


def test_three_people_cannot_be_divided(world):
    few = world.train.take((world.train.pids < world.train.pids.min() + 3).nonzero().flatten())
    with pytest.raises(DataError, match=r"too few training people \(3\)"):
        owner_of(type(world)("few", few, world.query, world.gallery, world.auxiliary,
                             world.attribute_values), RunContext())  # fmt: skip


def test_a_network_that_learned_nothing_from_plain_pictures_ends_the_table():
    def found(rate):
        m = Measurement(metric="rank1", value=rate, n=9, low=0.0, high=1.0, worse="lower")
        return {"utility/pcb/rank1": m}

    require_learners(["pcb"], found(0.1))
    with pytest.raises(ModelError, match=r"'pcb', trained on unprotected pictures, finds 9\.9%"):
        require_learners(["pcb"], found(0.099))


def test_a_row_says_which_network_stands_for_the_papers():
    whole = table("pepr-table3")
    said = {name: _model(row, whole.presets["reduced"]) for name, row in whole.rows.items()}
    assert said["large"] == "osnet_x0_25 at 192x96"
    assert said["baseline"] == "osnet_x0_25 at 128x64"
    plain = table("pepr-table1")
    assert not _model(plain.rows["baseline"], plain.presets["reduced"])


def test_f1_is_that_of_a_library():
    rng = np.random.default_rng(0)
    guesses = torch.from_numpy(rng.integers(0, 2, (90, 2)).astype(bool))
    targets = torch.from_numpy(rng.integers(0, 2, (90, 2)))
    pids = torch.from_numpy(rng.integers(1, 8, 90))
    counts = _counts(guesses, targets, pids)
    assert len(counts) == len(pids.unique())
    expected = [f1_score(targets[:, a], guesses[:, a]) for a in range(2)]
    assert _f1(counts[:, :, 0].sum(0)) == pytest.approx(expected[0])
    flat = counts.reshape(len(counts), -1)
    assert _mean_f1(flat.sum(0), 2) == pytest.approx(np.mean(expected))


def test_pictures_without_annotation_count_neither_way():
    counts = _counts(
        torch.tensor([[True], [True]]), torch.tensor([[1], [-1]]), torch.tensor([1, 1])
    )
    assert counts.sum(0).flatten().tolist() == [1, 0, 0]


@pytest.fixture
def record():
    measured = Measurement(metric="map", value=0.5, n=20, low=0.4, high=0.6)
    columns = (
        Column(key="map", label="mAP", better="higher"),
        Column(key="x", label="<b>", ours=True),
    )
    rows = (
        Row(
            label="Baseline", figures={"map": Figure(paper=0.55, measured=measured), "x": Figure()}
        ),
        Row(
            label="=cmd|'/c calc'!A0 <script>",
            figures={"map": Figure(paper=0.7, measured=measured), "x": Figure(reason="no <luck>")},
            note="a note",
            claims=("claimed ε 0.1, certified 300",),
            ours=True,
        ),
    )
    return Reproduction(table="t", title="A table", source="A paper", against="market",
                        columns=columns, rows=rows, preset="quick")  # fmt: skip


def test_a_record_survives_the_file(record, tmp_path):
    path = tmp_path / "reproduction.json"
    path.write_text(dumps(record), encoding="utf-8")
    assert load(path) == record


def test_the_page_shows_both_figures_and_nothing_runs(record, tmp_path):
    web_page.render(record, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<strong>50.0</strong>" in page
    assert "40.0 to 60.0" in page
    assert "printed 55.0" in page
    assert page.count("✓<span") == 1  # 55 lies in 40 to 60, 70 does not
    assert "not measured at this size: &lt;b&gt;." in page
    assert "<script" not in page
    assert "no &lt;luck&gt;" in page


def test_the_workbook_holds_both_figures(record, tmp_path):
    workbook.render(record, tmp_path / "book.xlsx")
    book = openpyxl.load_workbook(tmp_path / "book.xlsx")
    assert book.sheetnames == ["Table", "Figures", "Reading"]
    rows = list(book["Table"].values)
    assert rows[0][:3] == ("row", "mAP, paper", "mAP, measured")
    assert rows[1][:3] == ("Baseline", 0.55, 0.5)
    assert book["Table"]["A3"].data_type == "s"
    tidy = list(book["Figures"].values)
    assert tidy[1][:6] == ("Baseline", "mAP", 0.55, 0.5, 0.4, 0.6)
    assert tidy[4][9] == "no <luck>"


@pytest.mark.parametrize("outcome", UNSHOWN)
def test_a_row_says_which_certificate_an_attack_lacks(outcome):
    power = replace(certificate("top1", 0.01, outcome=outcome), reason="because")
    scenario = Scenario(
        defense="none",
        plugin="",
        summary="",
        params={},
        utility=(),
        findings=(replace(identity(0.5, 0.9), powers=(power,)),),
    )
    assert _unshown(scenario, RowPlan(label="")) == (f"identity {UNSHOWN[outcome]}: because.",)


def test_every_outcome_but_the_good_one_has_words():
    assert {*UNSHOWN, "shown"} == set(get_args(PowerOutcome))
