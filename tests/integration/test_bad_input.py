"""Each bad input: one clear line that names the thing and the way out, the right exit code, and
nothing half-written."""

import shutil

import pytest
import torch
from safetensors.torch import save_file

from auditor.models.reference import WEIGHTS
from tests import worlds


def one_line(stderr):
    lines = [line for line in stderr.splitlines() if line.startswith("audit:")]
    assert len(lines) == 1, stderr
    assert "Traceback" not in stderr
    return lines[0]


@pytest.fixture
def refuses(audit, write_config, tmp_path):
    def check(code, *words, arguments=(), **changes):
        out = tmp_path / "out"
        config = write_config(**changes)
        got, _, stderr = audit("run", "--config", config, "--out", out, *arguments)
        line = one_line(stderr)
        assert got == code, line
        for word in words:
            assert word in line, line
        left = sorted(p.name for p in out.rglob("*")) if out.exists() else []
        assert not [name for name in left if name.startswith("report")], left

    return check


def reference(path, arch="reference", **card):
    base = {"preset": "torchreid", "height": 128, "width": 64, "l2_norm": True}
    return {"path": str(path), "arch": arch, "card": {**base, **card}}


def test_a_missing_model(refuses, tmp_path):
    refuses(2, "nowhere.pt", model={"path": str(tmp_path / "nowhere.pt")})


def test_a_missing_dataset(refuses, tmp_path):
    refuses(2, "nowhere", data={"path": str(tmp_path / "nowhere")})


def test_no_model_at_all(audit, tmp_path):
    code, _, stderr = audit("run", "--data", tmp_path, "--out", tmp_path / "out")
    assert code == 2
    assert "--model" in one_line(stderr)


def test_a_wrong_architecture(refuses):
    refuses(2, "osnet_x0_25", model=reference(WEIGHTS, "osnet_x0_25"))


def test_an_unknown_architecture(refuses):
    refuses(2, "did you mean", model=reference(WEIGHTS, "osnet_x0_26"))


def test_a_model_of_the_wrong_shape(refuses, tmp_path):
    path = tmp_path / "flat.safetensors"
    save_file({"weight": torch.zeros(1)}, path)
    refuses(2, "(2, D)", model=reference(path, "tests.worlds:OneNumber"))


def test_a_model_that_returns_nan(refuses, tmp_path):
    path = tmp_path / "nan.safetensors"
    save_file({"weight": torch.zeros(1)}, path)
    refuses(2, "NaN", model=reference(path, "tests.worlds:NanExtractor"))


def test_a_pickle(refuses, tmp_path):
    path = tmp_path / "model.pt"
    torch.save({"anything": torch.nn.Linear(2, 2)}, path)
    refuses(5, "model.pt", model=reference(path))


def test_an_unlabelled_folder(refuses, drawn_folder, tmp_path):
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in sorted(drawn_folder.rglob("*.png"))[:5] + sorted(drawn_folder.rglob("*.jpg"))[:5]:
        shutil.copy(path, flat / path.name)
    refuses(2, "flat", data={"path": str(flat)})


@pytest.fixture
def manifest_of(drawn_folder, tmp_path):
    """A copy of the dataset whose manifest keeps some rows, changed."""

    def make(keep):
        folder = tmp_path / "changed"
        shutil.copytree(drawn_folder, folder)
        header, *rows = (folder / "manifest.csv").read_text().splitlines()
        names = header.split(",")
        kept = []
        for row in rows:
            fields = keep(dict(zip(names, row.split(","), strict=True)))
            if fields is not None:
                kept.append(",".join(fields[name] for name in names))
        (folder / "manifest.csv").write_text("\n".join([header, *kept]) + "\n")
        return {"path": str(folder)}

    return make


def test_an_empty_split(refuses, manifest_of):
    data = manifest_of(lambda row: None if row["split"] == "gallery" else row)
    refuses(2, "gallery", data=data)


def test_one_camera_only(refuses, manifest_of):
    refuses(2, "cross_camera", data=manifest_of(lambda row: {**row, "camid": "1"}))


def test_one_identity_only(refuses, manifest_of):
    def keep(row):
        return row if row["split"] == "train" or row["pid"] == "1" else None

    refuses(2, "one identity", data=manifest_of(keep))


def test_people_on_both_sides(refuses, manifest_of):
    def keep(row):
        return {**row, "pid": "1"} if row["split"] == "train" else row

    refuses(2, "auxiliary", data=manifest_of(keep))


def test_an_unknown_attack(refuses):
    refuses(2, "did you mean 'identity'", attacks={"identiy": {}})


def test_an_unknown_parameter(refuses):
    refuses(2, "did you mean 'epochs'", attacks={"identity": {"epoch": 3}})


def test_a_parameter_of_the_wrong_type(refuses):
    refuses(2, "epochs", attacks={"identity": {"epochs": "many"}})


def test_an_unknown_defense(refuses):
    refuses(2, "dp_gallery", defenses={"dp_galery": {}})


def test_a_gate_that_matches_nothing(refuses):
    gate = {"address": "none/identty/top1", "limit": 0.5}
    refuses(2, "did you mean 'identity'", gates=[gate])


def test_an_unknown_key(refuses):
    refuses(2, "did you mean 'gates'", gate=[])


def test_a_gpu_that_is_not_there(refuses):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    refuses(6, "cuda", arguments=("--device", "cuda"))


def test_a_weights_folder_without_a_backbone(refuses, tmp_path):
    refuses(6, "squeezenet1_1*.pth", weights=str(tmp_path))


def test_an_out_folder_that_is_a_file(audit, write_config, tmp_path):
    (tmp_path / "out").write_text("mine")
    code, _, stderr = audit("run", "--config", write_config(), "--out", tmp_path / "out")
    assert code == 2
    assert "is a file" in one_line(stderr)
    assert (tmp_path / "out").read_text() == "mine"


def test_a_gate_on_a_metric_nobody_measures_is_inconclusive(audit, write_config, tmp_path):
    gates = [{"address": "none/identity/top2", "limit": 1.0}]
    config = write_config(gates=gates, defenses={}, attacks={"identity": worlds.QUICK["identity"]})
    code, stdout, _ = audit("run", "--config", config, "--out", tmp_path / "out")
    assert code == 4
    assert "no measurement has this address" in stdout


@pytest.mark.parametrize("content", ["{", "[]", '{"title": 3}', ""])
def test_a_record_that_is_none(audit, tmp_path, content):
    path = tmp_path / "report.json"
    path.write_text(content)
    code, _, stderr = audit("gate", path)
    assert code == 2
    assert "report.json" in one_line(stderr)
