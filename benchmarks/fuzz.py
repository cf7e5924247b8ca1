"""Coverage-guided fuzzing of what reads strangers' files; `fuzz.sh` installs atheris and runs it.

    python benchmarks/fuzz.py TARGET CORPUS [options of libFuzzer]

Every input is either read or refused with one of the tool's own errors, in bounded time and memory;
whatever else is raised ends the run and leaves the input as a file. CORPUS is filled with small
true files first.
"""

import io
import json
import struct
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["auditor"]):
    from auditor.config import reading
    from auditor.errors import AuditError
    from auditor.gates import Gate, check, overall, policy
    from auditor.models.inspection.describe import inspect, lines
    from auditor.report import dumps, loads

from tests.altering import ODD, altered
from tests.records import detailed_record, example_record

ROOT = Path(__file__).parents[1]
LONGEST_MESSAGE = 20_000
GATES = [Gate(address="*/*/*", limit=0.5), Gate(address="none/*/top1", limit=0.1, judge="value")]
TORCH_NAMES = ("m/data.pkl", "m/constants.pkl", "m/code/__torch__.py", "m/version", "m/data/0",
               "m/models/model.json", "m/data/weights/model.pt", "m/.data/extern_modules",
               "m/archive_format", "m/x.so", "../m/data.pkl", "/data.pkl")  # fmt: skip
OLDER = ROOT / "tests" / "older" / "schema_1.json"
RECORDS = [
    *(json.loads(dumps(record)) for record in (example_record(), detailed_record())),
    json.loads(OLDER.read_bytes()),
]
MEMORY = Path("/dev/shm")
SCRATCH = Path(tempfile.mkdtemp(prefix="fuzz-", dir=MEMORY if MEMORY.is_dir() else None))


def look_at_model(data: bytes) -> None:
    """Any bytes as a model file."""
    file = SCRATCH / "model"
    file.write_bytes(data)
    list(lines(inspect(file)))


def look_at_archive(data: bytes) -> None:
    """Feed a zip file as torch may write it, of members that the input fills, and then damaged."""
    given = atheris.FuzzedDataProvider(data)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for _ in range(given.ConsumeIntInRange(1, 5)):
            name = TORCH_NAMES[given.ConsumeIntInRange(0, len(TORCH_NAMES) - 1)]
            stored = given.ConsumeProbability() < 0.8
            archive.writestr(
                zipfile.ZipInfo(name),
                given.ConsumeBytes(given.ConsumeIntInRange(0, 400)),
                zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED,
            )
    whole = bytearray(packed.getvalue())
    for _ in range(given.ConsumeIntInRange(0, 3)):
        whole[given.ConsumeIntInRange(0, len(whole) - 1)] = given.ConsumeIntInRange(0, 255)
    look_at_model(bytes(whole))


def read_record(data: bytes) -> None:
    """Any bytes as a record; what is read is judged, and written as it was read."""
    record = loads(data)
    overall(record, check(record, GATES))
    written = dumps(record)
    assert dumps(loads(written)) == written


def read_altered_record(data: bytes) -> None:
    """Feed a true record of which some parts are replaced by others."""
    given = atheris.FuzzedDataProvider(data)
    plain = RECORDS[given.ConsumeIntInRange(0, len(RECORDS) - 1)]
    changes = [
        (given.ConsumeIntInRange(0, 2**16), given.ConsumeIntInRange(0, len(ODD)))
        for _ in range(given.ConsumeIntInRange(1, 4))
    ]
    read_record(json.dumps(altered(plain, changes)).encode())


def read_policy(data: bytes) -> None:
    """Any bytes as a policy."""
    file = SCRATCH / "policy.yaml"
    file.write_bytes(data)
    policy.load(file)


def read_configuration(data: bytes) -> None:
    """Any bytes as a configuration."""
    file = SCRATCH / "audit.yaml"
    file.write_bytes(data)
    reading.load(file, {})


def allow(read: Callable[[bytes], None], data: bytes) -> None:
    """Read ``data``, or see it refused in the tool's own words."""
    said = "read"
    try:
        read(data)
    except AuditError as error:
        said = str(error)
    assert 0 < len(said) < LONGEST_MESSAGE, "a message that nobody reads"


TARGETS = {
    "model": look_at_model,
    "archive": look_at_archive,
    "record": read_record,
    "altered-record": read_altered_record,
    "policy": read_policy,
    "configuration": read_configuration,
}


def seeds(target: str) -> Iterator[bytes]:
    """Small true files to start from."""
    if target == "record":
        yield from (json.dumps(plain, separators=(",", ":")).encode() for plain in RECORDS)
    elif target == "policy":
        yield (ROOT / "docs" / "ci" / "policy.yaml").read_bytes()
    elif target == "configuration":
        yield from (file.read_bytes() for file in (ROOT / "auditor" / "presets").glob("*.yaml"))
    elif target == "model":
        header = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"__metadata__":{"a":"b"}}'
        yield struct.pack("<Q", len(header)) + header + bytes(4)
        yield b'<?xml version="1.0"?><net name="a"><layers><layer id="0"/></layers></net>'
        yield b"\x80\x02}q\x00X\x01\x00\x00\x00aq\x01K\x01s."
        yield b"\x08\x0a\x3a\x08\x0a\x06\x0a\x01a\x12\x01b"
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("m/data.pkl", b"\x80\x02}q\x00.")
        yield packed.getvalue()
    else:
        yield bytes(range(256)) * 2


def main() -> None:
    """Fill the corpus and begin."""
    target, corpus, *options = sys.argv[1:]
    Path(corpus).mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(target)):
        (Path(corpus) / f"seed-{number}").write_bytes(seed)
        allow(TARGETS[target], seed)  # whatever is imported late is imported now
    arguments = [sys.argv[0], *options, corpus]
    atheris.Setup(arguments, lambda data: allow(TARGETS[target], data))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
