"""Time and memory of an audit of stored features, as the gallery grows.

`python benchmarks/scale.py --folder DIR [--rows 10000 100000 1000000]` writes features of synthetic
people into DIR block by block, audits them with `audit run --features` in a process and a thread of
its own, and prints a row for each gallery, with the exponents by which time and memory grow.

A gallery has 20 entries per person, from six cameras. As in a deployment, the number of queries
does not grow with it, nor does what the adversary owns: 1,000 queries (or one per person), and
1,000 further people with ten pictures each. Files are removed once they are audited.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import IO

import numpy as np
import yaml
from numpy.typing import NDArray

from benchmarks.measuring import machine

DIM, CAMERAS, ENTRIES = 512, 6, 20
QUERIES, OWN_PEOPLE, OWN_PICTURES = 1000, 1000, 10
STEP = 1.8
"""Deviation of a picture from its person, in deviations between people."""
ATTRIBUTES = {"gender": 2, "hat": 2, "top": 4}
SPELLED = 2.0
"""Length of an attribute's direction, in deviations between people."""
BLOCK = 20_000
AUDIT = {
    "attacks": {
        "identity_retrieval": {},
        "identity_lda": {},
        "linkage": {},
        "averaging": {"releases": 4},
        "attribute_logistic": {},
    },
    "defenses": {"dp_gallery": {"epsilon": 300.0, "delta": 1e-7}},
}
GIGABYTE = 2**30
LOOK = 0.5
"""Seconds between two looks at the memory of an audit."""

Rows = NDArray[np.float32]


@dataclass(frozen=True)
class People:
    """Who is in a file: row ``n`` shows person ``first + n // each``."""

    first: int
    count: int
    each: int
    seed: int

    def __len__(self) -> int:
        return self.count * self.each

    @property
    def pids(self) -> NDArray[np.int64]:
        """``(N,)``."""
        return self.first + np.arange(len(self)) // self.each

    @property
    def camids(self) -> NDArray[np.int64]:
        """``(N,)``."""
        return (np.arange(len(self)) + self.seed) % CAMERAS

    def attribute(self, name: str) -> NDArray[np.int64]:
        """``(N,)`` codes, which depend on the person alone."""
        spread = np.random.default_rng([len(name), ATTRIBUTES[name]])
        return spread.permutation(ATTRIBUTES[name])[self.pids * 7919 // 13 % ATTRIBUTES[name]]

    def blocks(self) -> Iterator[Rows]:
        """Yield the features, a block of rows at a time."""
        directions = {
            name: np.random.default_rng([place, values]).standard_normal((values, DIM), np.float32)
            * np.float32(SPELLED / math.sqrt(DIM) * 4)
            for place, (name, values) in enumerate(ATTRIBUTES.items())
        }
        codes = {name: self.attribute(name) for name in ATTRIBUTES}
        for start in range(0, len(self), BLOCK):
            rows = slice(start, start + BLOCK)
            people, person = np.unique(self.pids[rows], return_inverse=True)
            centres = np.stack(
                [np.random.default_rng([1, pid]).standard_normal(DIM, np.float32) for pid in people]
            )
            steps = np.random.default_rng([2, self.seed, start])
            features = centres[person]
            features += np.float32(STEP) * steps.standard_normal(features.shape, np.float32)
            for name, column in codes.items():
                features += directions[name][column[rows]]
            yield features


def write_features(path: Path, people: People) -> None:
    """Write an uncompressed npz file, which an audit maps into memory."""
    columns = {"pid": people.pids, "camid": people.camids}
    columns |= {name: people.attribute(name) for name in ATTRIBUTES}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        with archive.open("features.npy", "w", force_zip64=True) as member:
            _write_header(member, (len(people), DIM))
            for block in people.blocks():
                member.write(block.tobytes())
        for name, column in columns.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, column)


def _write_header(member: IO[bytes], shape: tuple[int, int]) -> None:
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_2_0(member, header)


@dataclass
class Memory:
    """Peaks of a process and its children, in bytes; a page that several map counts once.

    Attributes:
        resident: all their pages, those of mapped files included.
        own: without pages of files, which the system takes back when it needs them.
    """

    resident: int = 0
    own: int = 0

    def watch(self, process: subprocess.Popen[bytes]) -> None:
        """Look until the process has ended."""
        while process.poll() is None:
            found = [_pages(pid) for pid in _family(process.pid)]
            resident = sum(pages["Pss"] for pages in found)
            self.resident = max(self.resident, resident)
            self.own = max(self.own, resident - sum(pages["Pss_File"] for pages in found))
            time.sleep(LOOK)


def _family(pid: int) -> Iterator[int]:
    """Yield a process and all that came from it."""
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    except OSError:
        return  # it has ended meanwhile
    for child in children:
        yield from _family(int(child))


def _pages(pid: int) -> Counter[str]:
    """Return kind of page -> bytes of a process; nothing once it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()[1:]
    except OSError:
        return Counter()
    return Counter({line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines})


@dataclass(frozen=True)
class Audit:
    """What an audit of ``rows`` gallery entries took."""

    rows: int
    cpu: float
    wall: float
    memory: Memory
    steps: dict[str, float] = field(default_factory=dict)


def audit(rows: int, folder: Path) -> Audit:
    """Write features, audit them, and remove the files."""
    people = max(2, rows // ENTRIES)
    files = {
        "gallery": People(1, people, ENTRIES, 0),
        "query": People(1, min(QUERIES, people), 1, 3),
        "auxiliary": People(people + 1, OWN_PEOPLE, OWN_PICTURES, 5),
    }
    with tempfile.TemporaryDirectory(dir=folder) as name:
        place = Path(name)
        for role, who in files.items():
            write_features(place / f"{role}.npz", who)
        config = AUDIT | {"features": {role: str(place / f"{role}.npz") for role in files}}
        (place / "audit.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        return _run(rows, place)


def _run(rows: int, place: Path) -> Audit:
    out = place / "out"
    command = [sys.executable, "-m", "auditor", "run", "--config", str(place / "audit.yaml")]
    before, began = os.times(), time.monotonic()
    memory = Memory()
    with (place / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--out", str(out)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        watcher = threading.Thread(target=memory.watch, args=(process,))
        watcher.start()
        process.wait()
        watcher.join()
    wall, after = time.monotonic() - began, os.times()
    cpu = after.children_user + after.children_system - before.children_user
    cpu -= before.children_system
    if not (out / "report.json").exists():
        raise SystemExit((place / "log").read_text(encoding="utf-8"))
    return Audit(rows, cpu, wall, memory, _steps(out))


def _steps(out: Path) -> dict[str, float]:
    """Return the seconds of each step, as the journal has them."""
    files = sorted((out / "steps").glob("*.json"))
    entries = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    return {entry["step"]: entry["seconds"] for entry in entries}


def exponent(audits: list[Audit], figure: Callable[[Audit], float]) -> str:
    """By which power of the rows a figure grows, from each audit to the next."""
    grown = [
        math.log(figure(b) / figure(a)) / math.log(b.rows / a.rows) for a, b in pairwise(audits)
    ]
    return ", ".join(f"{power:.2f}" for power in grown)


def main() -> None:
    """Print the table, a row as soon as it is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 30_000, 100_000])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--steps", action="store_true", help="print the seconds of each step too")
    arguments = parser.parse_args()
    print(machine(), flush=True)
    print("| gallery rows | features | CPU-s | wall, s | own memory | with mapped files |")
    print("|---|---|---|---|---|---|", flush=True)
    audits = []
    for rows in arguments.rows:
        found = audit(rows, arguments.folder)
        audits.append(found)
        size, own, resident = (
            f"{b / GIGABYTE:.2f} GB"
            for b in (rows * DIM * 4, found.memory.own, found.memory.resident)
        )
        line = f"{found.cpu:,.0f} | {found.wall:,.0f} | {own} | {resident}"
        print(f"| {rows:,} | {size} | {line} |", flush=True)
        if arguments.steps:
            for step, seconds in found.steps.items():
                print(f"  {step}: {seconds:.1f} s", flush=True)
    if len(audits) > 1:
        print("exponent of CPU-s:", exponent(audits, lambda a: a.cpu))
        print("exponent of memory:", exponent(audits, lambda a: float(a.memory.own)))


if __name__ == "__main__":
    main()
