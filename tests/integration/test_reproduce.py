"""`audit reproduce`: a paper's table from the command line to record, page and workbook."""

import openpyxl
import pytest
import yaml

from auditor.reproduction import plan, publications, run
from auditor.reproduction.record import load
from tests import worlds

PEOPLE = {"identities": 8, "auxiliary": 24, "cameras": 3, "images_per_camera": 2}
MODEL = {"arch": "reference", "size": "64x32", "epochs": 1, "steps": 2, "people": 4}
DEID = {"epochs": 1, "steps": 1, "people": 4, "image_size": [32, 16], "width": 4}


@pytest.fixture
def small(monkeypatch):
    """Make every table as small as can be, and keep some of its rows."""

    # networks this small find hardly anybody
    monkeypatch.setattr(publications, "POWER", 0.0)

    def shrink(name, rows, **preset):
        whole = plan.table(name)
        tiny = plan.Preset(models={"tiny": MODEL, "other": MODEL}, people=PEOPLE, **preset)
        kept = {row: whole.rows[row] for row in rows}
        changed = whole.model_copy(update={"rows": kept, "presets": {"quick": tiny}})
        monkeypatch.setattr(run, "table", lambda _: changed)
        return changed

    return shrink


def test_a_table_of_audits(audit, small, tmp_path):
    small(
        "pepr-table2",
        ["baseline", "dp_01", "two_01"],
        attacks={"identity": {"epochs": 3}, "identity_lda": {}},
        defenses={"deid": DEID},
        controls=False,
    )
    out = tmp_path / "table"
    code, stdout, stderr = audit("reproduce", "pepr-table2", "--out", out)
    assert code == 0, stderr
    assert "69.2 ->" in stdout
    assert "OVER-CLAIMED" in stdout
    record = load(out / "reproduction.json")
    assert record.complete
    assert record.against == "market"
    rows = {row.label: row for row in record.rows}
    for row in rows.values():
        assert set(row.figures) == {"map", "rank1", "identity", "fresh"}
        assert all(figure.measured for figure in row.figures.values()), row
    protected = rows["Proposed (2 stage, claimed ε = 0.1)"]
    assert "deid" in protected.setting
    assert "then dp_gallery" in protected.setting
    assert protected.figures["map"].paper == pytest.approx(0.515)
    assert openpyxl.load_workbook(out / "reproduction.xlsx")["Table"].max_row == 4
    assert "Content-Security-Policy" in (out / "reproduction.html").read_text(encoding="utf-8")
    settings = yaml.safe_load((out / "audits" / "tiny" / "audit.yaml").read_text())
    assert list(settings["defenses"]) == ["dp_01", "two_01"]

    *finished, last = sorted((out / "audits" / "tiny" / "steps").iterdir())
    last.unlink()
    kept = [path.stat().st_mtime_ns for path in finished]
    assert audit("reproduce", "pepr-table2", "--out", out)[0] == 2
    code, _, _ = audit("reproduce", "pepr-table2", "--out", out, "--overwrite")
    assert code == 0
    # the model and the finished steps serve again
    assert [path.stat().st_mtime_ns for path in finished] == kept
    assert last.exists()
    assert load(out / "reproduction.json").rows == record.rows


def test_what_a_training_says_of_itself_stands_beside_a_fresh_attack(audit, small, tmp_path):
    small(
        "urr",
        ["bare", "weak"],
        attacks={"mse_decoder": worlds.QUICK["mse_decoder"]},
        defenses={"adversarial": {**worlds.BRIEF, "period": 1}},
        controls=False,
    )
    out = tmp_path / "table"
    code, stdout, stderr = audit("reproduce", "urr", "--out", out)
    assert code == 0, stderr
    bare, weak = load(out / "reproduction.json").rows
    assert bare.figures["co_trained"].measured is None
    assert weak.figures["co_trained"].measured.metric == "reid_rank1"
    assert weak.figures["found"].measured
    assert "co-trained" in stdout


def test_a_table_of_publications(audit, small, tmp_path):
    small(
        "pis-table4",
        ["origin", "blur_l"],
        attacker="tiny",
        learners=["tiny", "other"],
        attributes={"Hair": "hair=long", "Adult": "sleeves=short"},
    )
    out = tmp_path / "table"
    code, _, stderr = audit("reproduce", "pis-table4", "--out", out)
    assert code == 0, stderr
    rows = {row.label: row.figures for row in load(out / "reproduction.json").rows}
    for figures in rows.values():
        for key in ("hair", "adult", "tp", "tu", "pu"):
            assert figures[key].measured is not None, key
        assert figures["teenager"].measured is None
        both = (figures["hair"].measured.value + figures["adult"].measured.value) / 2
        assert figures["tp"].measured.value == pytest.approx(both)
    assert rows["Origin"]["tp"].paper == pytest.approx(0.738)


def test_an_adversary_without_power_ends_the_table(audit, small, monkeypatch, tmp_path):
    small("pis-table8", ["appearance"], attacker="tiny", learners=["tiny"])
    monkeypatch.setattr(publications, "POWER", 1.01)
    out = tmp_path / "table"
    code, _, stderr = audit("reproduce", "pis-table8", "--out", out)
    assert code == 2
    assert "in unprotected pictures, so its failures prove nothing" in stderr
    assert not (out / "reproduction.json").exists()


def test_finished_rows_are_not_run_again(audit, small, monkeypatch, tmp_path):
    small("pis-table8", ["origin"], attacker="tiny", learners=["tiny"])
    out = tmp_path / "table"
    audit("reproduce", "pis-table8", "--out", out)
    first = load(out / "reproduction.json").rows
    monkeypatch.setattr(publications, "train_reid", None)  # nothing can be trained any more
    code, stdout, _ = audit("reproduce", "pis-table8", "--out", out, "--overwrite")
    assert code == 0
    assert load(out / "reproduction.json").rows == first
    assert "row origin" not in stdout
    with pytest.raises(TypeError):  # another seed is another row
        run.reproduce(run.ReproductionJob(table="pis-table8", out=out, seed=1))


def test_a_row_that_cannot_be_run_says_why(audit, small, tmp_path):
    whole = small("pis-table8", ["appearance"], attacker="tiny", learners=["tiny"])
    whole.rows["appearance"].defense.update(keypoints="nowhere.csv", pose="keypoints")
    out = tmp_path / "table"
    code, stdout, _ = audit("reproduce", "pis-table8", "--out", out)
    assert code == 0
    (row,) = load(out / "reproduction.json").rows
    assert "nowhere.csv" in row.figures["tp_map"].reason
    assert "35.1 -> –" not in stdout  # a column without any figure is not shown


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("pepr-tabel1",), "did you mean 'pepr-table1'"),
        (("pepr-table1", "--against", "duke"), "no figures for 'duke'"),
        (("pepr-table1", "--preset", "huge"), "no preset 'huge'"),
        (("pepr-table1", "--preset", "full"), "give --data"),
        (("pepr-table1", "--data", "nowhere"), "nowhere"),
    ],
)
def test_what_cannot_be_followed_is_one_line(audit, tmp_path, options, message):
    out = tmp_path / "table"
    code, _, stderr = audit("reproduce", *options, "--out", out)
    assert code == 2
    assert stderr.count("\n") == 1
    assert message in stderr
    assert not (out / "reproduction.json").exists()


def test_the_tables_can_be_listed(audit):
    code, stdout, _ = audit("reproduce", "list")
    assert code == 0
    assert [line.split()[0] for line in stdout.splitlines()] == plan.names()
