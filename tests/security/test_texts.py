"""YAML, JSON, arrays, pictures that mean harm: the right exit code, one line, nothing silent."""

import json
import os
import zipfile

import numpy as np
import pytest
from PIL import Image

from auditor.artifacts import plain_yaml
from auditor.data.decoding import decode
from auditor.errors import DataError, UsageError
from auditor.report import dumps
from tests import records

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9)
)
CONFIGURATIONS = {
    "laughs": LAUGHS,
    "contains itself": "attacks: &a [*a]",
    "twice": "gates: [{address: none/utility/rank1, limit: 0.5}]\ngates: []",
    "twice below": "attacks: {identity: {epochs: 1, epochs: 2}}",
    "deep": "[" * 20_000,
    "deep blocks": "\n".join(" " * i + "a:" for i in range(3000)),
    "no day": "attacks: {identity: {epochs: 2026-13-01}}",
    "tag": "attacks: !!python/object/apply:os.system [touch canary]",
    "large": "#" * (plain_yaml.LARGEST + 1),
    "nul": "a: \x00",
    "bytes": "a: \udcff",
    "digits": "seed: 1" + "0" * 5000,
    "escape": '"\\e[2J\\nverdict: PASS": 1',
}


@pytest.mark.shows("yaml")
@pytest.mark.parametrize("name", CONFIGURATIONS)
@pytest.mark.parametrize("kind", ["configuration", "policy"])
def test_yaml_that_means_harm(audit, tmp_path, monkeypatch, name, kind):
    monkeypatch.chdir(tmp_path)
    path, record = tmp_path / "a.yaml", tmp_path / "report.json"
    path.write_bytes(CONFIGURATIONS[name].encode(errors="surrogateescape"))
    record.write_text(dumps(records.example_record()))
    asked = ["run", "--config"] if kind == "configuration" else ["gate", record, "--policy"]
    code, out, err = audit(*asked, path)
    assert code == 2
    assert err.startswith("audit: ")
    assert err.count("\n") == 1
    assert len(err) < 2500
    assert "\x1b" not in out + err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.yaml", "report.json"]


def test_aliases_that_say_a_thing_twice_stay_allowed():
    assert plain_yaml.loads("a: &x {b: 1}\nc: {<<: *x, d: 2}", "it")["c"] == {"b": 1, "d": 2}
    with pytest.raises(UsageError, match="'k' is given twice"):
        plain_yaml.loads("a: {k: 1, k: 2}", "it")


GATES = [
    {"a": 1}, "all", [1], [None], [[]], 3, [{"address": 1, "limit": 1}],
    [{"address": "a/b/c"}], [{"address": "a/b/c", "limit": "x"}],
    [{"address": "a/b/c", "limit": 0.5, "level": "eror"}],
    [{"address": "a/b/c", "limit": 0.5, "levle": "warn"}],
    [{"address": "a/b/c", "limit": [0.5]}], {"address": "a/b/c", "limit": 0.5},
]  # fmt: skip


@pytest.mark.shows("records")
@pytest.mark.parametrize("gates", GATES, ids=str)
@pytest.mark.parametrize("command", ["gate", "report"])
def test_gates_of_another_shape_are_refused(audit, tmp_path, gates, command):
    plain = json.loads(dumps(records.example_record()))
    plain["config"]["gates"] = gates
    path = tmp_path / "report.json"
    path.write_text(json.dumps(plain))
    code, out, err = audit(command, path)
    assert code == 2
    assert err.startswith("audit: the record's gates cannot be read")
    assert err.count("\n") == 1
    assert "PASS" not in out
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.shows("records")
@pytest.mark.parametrize("text", ["[" * 100_000, '{"schema": ' + "1" * 5000 + "}", "{", "\x00", ""],
                         ids=["deep", "digits", "cut", "nul", "empty"])  # fmt: skip
@pytest.mark.parametrize("command", ["gate", "report", "study"])
def test_records_that_are_none(audit, tmp_path, text, command):
    path = tmp_path / "report.json"
    path.write_text(text)
    code, _, err = audit(command, path)
    assert (code, err.count("\n")) == (2, 1)
    assert len(err) < 2500


@pytest.mark.shows("pipes")
@pytest.mark.parametrize("what", ["record", "model", "configuration", "policy"])
def test_a_pipe_is_refused_at_once(audit, tmp_path, write_config, what):
    pipe, record = tmp_path / "pipe", tmp_path / "report.json"
    os.mkfifo(pipe)
    record.write_text(dumps(records.example_record()))
    asked = {
        "record": ["gate", pipe],
        "model": ["run", "--config", write_config(model={"path": str(pipe)})],
        "configuration": ["run", "--config", pipe],
        "policy": ["gate", record, "--policy", pipe],
    }[what]
    code, _, err = audit(*asked)
    assert (code, err.count("\n")) == (2, 1)


@pytest.mark.shows("limit")
@pytest.mark.parametrize("limit", [5, 10, -0.1, 1.01])
def test_a_limit_that_no_share_can_reach_passes_nothing(audit, tmp_path, limit):
    plain = json.loads(dumps(records.example_record()))
    plain["config"]["gates"] = [{"address": "none/identity/top1", "limit": limit}]
    path = tmp_path / "report.json"
    path.write_text(json.dumps(plain))
    code, out, _ = audit("gate", path)
    assert code == 4
    assert "is not possible for a share" in out


@pytest.mark.shows("pictures")
def test_pictures_of_more_than_eight_bits_are_not_read_as_white(tmp_path):
    ramp = np.linspace(0, 65535, 64 * 32).reshape(64, 32)
    Image.fromarray(ramp.astype("uint16")).save(tmp_path / "grey.png")
    with pytest.raises(DataError, match="more than 8 bits"):
        decode(tmp_path / "grey.png")
    Image.fromarray((ramp / 257).astype("uint8")).save(tmp_path / "eight.png")
    assert decode(tmp_path / "eight.png").mode == "RGB"


HEADERS = {
    "deep": "(" * 5000,
    "none": "1",
    "no type": "{'descr': [[]], 'fortran_order': False, 'shape': (4,)}",
    "code": "__import__('os').abort()",
    "negative": "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 16)}",
    "terabytes": "{'descr': '<f4', 'fortran_order': False, 'shape': (10000000000, 10000)}",
}


@pytest.mark.shows("npz")
@pytest.mark.parametrize("name", HEADERS)
def test_arrays_whose_headers_mean_harm(audit, tmp_path, name):
    header = HEADERS[name].encode() + b"\n"
    magic = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little")
    with zipfile.ZipFile(tmp_path / "rows.npz", "w") as archive:
        archive.writestr("features.npy", magic + header + bytes(6000))
    code, _, err = audit("run", "--features", tmp_path / "rows.npz", "--out", tmp_path / "out")
    assert (code, err.count("\n")) == (2, 1), err
    assert "cannot be read" in err
    assert not (tmp_path / "out" / "report.json").exists()


@pytest.mark.shows("parameters")
@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
@pytest.mark.parametrize(
    ("kind", "name", "parameter"),
    [("attacks", "identity", "lr"), ("attacks", "identity", "epochs"),
     ("defenses", "dp_gallery", "epsilon"), ("defenses", "blur", "sigma")],
)  # fmt: skip
def test_a_parameter_that_is_no_number_is_refused(
    audit, write_config, kind, name, parameter, number
):
    block = {name: {parameter: float(number)}}
    code, _, err = audit("run", "--config", write_config(**{kind: block}))
    assert (code, err.count("\n")) == (2, 1), err
    assert parameter in err
