"""Manifests, policies, configurations, records: each is read, or refused in the tool's own words.

Two ways to spoil a file: a true one of which parts are replaced by odd values, and one put together
of the pieces that its format is made of. `benchmarks/fuzz.py` goes on where this ends.
"""

import json
import math
import time

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from auditor.config import reading
from auditor.console import printable
from auditor.data.layouts.table import read_table
from auditor.errors import AuditError
from auditor.gates import Gate, check, overall, policy
from auditor.report import dumps, loads
from tests.altering import ODD, altered
from tests.integration.pages import ROOT
from tests.records import detailed_record, example_record

pytestmark = pytest.mark.shows("altered")

SECONDS = 5
"""In which any small file is read or refused."""
LONGEST = 2000
"""Characters of a line that says why not."""

changes = st.lists(
    st.tuples(st.integers(0, 2**16), st.integers(0, len(ODD))), min_size=1, max_size=4
)
brief = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def is_read(read):
    """What ``read`` gives, or None if it was refused as it should be."""
    begun = time.process_time()
    try:
        return read()
    except AuditError as error:
        lines = str(error).splitlines()
        assert 0 < len(lines) <= 4, lines  # a manifest has one for each column with a fault
        assert all(len(line) < LONGEST for line in lines)
        return None
    finally:
        assert time.process_time() - begun < SECONDS


RECORDS = [
    *(json.loads(dumps(record)) for record in (example_record(), detailed_record())),
    json.loads((ROOT / "tests" / "older" / "schema_1.json").read_bytes()),
]


class TestRecords:
    @brief
    @given(st.sampled_from(RECORDS), changes)
    def test_altered(self, plain, found):
        self.judge(json.dumps(altered(plain, found)))

    @pytest.mark.parametrize(
        "text",
        [
            *('{"schema": 1, "scenarios": 3}', '{"schema": 1, "scenarios": [[]]}'),
            '{"schema": 1, "scenarios": [{"findings": [{"power": {"planted": {}, "null": {}}}]}]}',
        ],
    )
    def test_an_earlier_schema_that_is_none(self, text):
        with pytest.raises(AuditError, match="is not an audit record"):
            loads(text)

    @pytest.mark.parametrize(
        "number", ["NaN", "Infinity", "-Infinity", "1e999", '"nan"', '"1e999"']
    )
    @pytest.mark.parametrize("place", ["value", "low", "chance"])
    def test_a_figure_that_is_no_number(self, number, place):
        plain = json.loads(dumps(example_record()))
        plain["scenarios"][0]["findings"][0]["measurements"][0][place] = "HERE"
        with pytest.raises(AuditError, match="finite"):
            loads(json.dumps(plain).replace('"HERE"', number))

    @staticmethod
    def judge(text):
        """A record is read or refused; one that is read is judged, and kept as it was read."""
        record = is_read(lambda: loads(text))
        if record is not None:
            verdicts = check(record, [Gate(address="*/*/*", limit=0.5)])
            assert overall(record, verdicts) in ("pass", "fail", "inconclusive")
            assert dumps(loads(dumps(record))) == dumps(record)


class TestYaml:
    POLICY = yaml.safe_load((ROOT / "docs" / "ci" / "policy.yaml").read_text())
    CONFIG = yaml.safe_load((ROOT / "auditor" / "presets" / "audit.yaml").read_text())
    PIECES = st.lists(
        st.sampled_from(
            [
                *("version: 1\n", "gates:\n", "- ", "  ", "address: ", "a/b/c", "limit: ", "0.1"),
                *("{", "}", "[", "]", ": ", "&a ", "*a", "<<: ", "!!python/object:os.system ", "|"),
                *("'", '"', "\n", "\t", "#", "%YAML 1.1\n", "---\n", "2026-13-45", "1_000", ".inf"),
                *("\x00", "\x1b[2J", "\ud83d", "é", "model: ", "data: ", "attacks: ", "0o17", "~"),
            ]
        ),
        max_size=30,
    ).map("".join)

    @staticmethod
    def read(text, tmp_path, read):
        file = tmp_path / "file.yaml"
        file.write_bytes(text.encode("utf-8", "surrogatepass"))
        return is_read(lambda: read(file))

    @brief
    @given(changes)
    def test_an_altered_policy(self, tmp_path, found):
        text = yaml.safe_dump(altered(self.POLICY, found), allow_unicode=True)
        self.read(text, tmp_path, policy.load)

    @settings(brief, max_examples=25)  # a configuration is read over a preset, and names plug-ins
    @given(changes)
    def test_an_altered_configuration(self, tmp_path, found):
        text = yaml.safe_dump(altered(self.CONFIG, found), allow_unicode=True)
        config = self.read(text, tmp_path, lambda file: reading.load(file, {}))
        assert config is None or all(math.isfinite(gate.limit) for gate in config.gates)

    @settings(brief, max_examples=200)
    @given(PIECES)
    def test_pieces_as_a_policy(self, tmp_path, text):
        self.read(text, tmp_path, policy.load)

    @settings(brief, max_examples=25)
    @given(PIECES)
    def test_pieces_as_a_configuration(self, tmp_path, text):
        self.read(text, tmp_path, lambda file: reading.load(file, {}))


class TestManifests:
    CELL = st.sampled_from(
        [
            *("a.png", "b.png", "", "1", "0", "-1", "1.0", "ada", "nan", "None", "9" * 400, "1e5"),
            *(
                "../a.png",
                "/etc/passwd",
                "C:\\x\\a.png",
                "\x00",
                "\x1b[2J",
                "gallery",
                "query",
                '"',
            ),
            *('"a\nb"', "é", "a" * 3000, "train", "auxiliary", "\u202e", "'", " 1 ", "٣", "²"),
        ]
    )
    HEADER = st.sampled_from(
        [*("path,pid,camid,split", "path;pid;camid", "path,label,is_query", "pid,path,camid,x,x"),
         *("", "\ufeffpath,pid,camid", "path\tpid\tcamid", "PATH,Pid,camid,,")]
    )  # fmt: skip

    @brief
    @given(
        header=HEADER,
        rows=st.lists(st.lists(CELL, max_size=6), max_size=5),
        sign=st.sampled_from([",", ";", "\t"]),
        encoding=st.sampled_from(["utf-8", "utf-16", "cp1252"]),
    )
    @example("path,pid,camid,split", [["C:\\x\\a.png", "a" * 300]], ";", "utf-8")
    def test_any(self, tmp_path, header, rows, sign, encoding):
        file = tmp_path / "manifest.csv"
        text = "\n".join([header, *(sign.join(row) for row in rows)])
        file.write_bytes(text.encode(encoding, "replace"))
        found = is_read(lambda: read_table(file))
        if found is not None:
            assert all(printable(path, len(path)) == path for path in found.table["path"])
