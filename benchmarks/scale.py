"""Time and memory of an audit of stored features, as the gallery grows.

`python benchmarks/scale.py --folder DIR [--rows 10000 100000 1000000]` writes features of synthetic
people into DIR block by block, audits them with `audit run --features` in a process and a thread of
its own, and prints a row for each gallery, with the exponents by which time and memory grow.

A gallery has 20 entries per person, from six cameras. As in a deployment, the number of queries
does not grow with it, nor does what the adversary owns: 1,000 queries (or one per person), and
1,000 further people with ten pictures each. Files are removed once they are audited.
"""

import argparse
import math
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
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
DONE = (0, 3, 4)
"""Exit codes of an audit that came to an end, whatever its gates say."""
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
class Watch:
    """What a process and its children take; a page of memory that several map counts once.

    Attributes:
        out: where the audit writes.
        tell: whether each step is printed as soon as it is done.
        own: peak of their memory in bytes, without pages of files: these the system takes back.
        mapped: peak of what they map, files included.
        cpu: processor time so far, in seconds.
    """

    out: Path
    tell: bool
    own: int = 0
    mapped: int = 0
    cpu: float = 0.0

    def follow(self, process: subprocess.Popen[bytes]) -> None:
        """Look until the process has ended."""
        done, before, peak = 0, 0.0, 0
        while process.poll() is None:
            family = list(_family(process.pid))
            pages = [_pages(pid) for pid in family]
            mapped = sum(kinds["Pss"] for kinds in pages)
            own = sum(kinds["Pss_Anon"] for kinds in pages) + _kept(family)
            self.mapped, self.own = max(self.mapped, mapped), max(self.own, own)
            self.cpu, peak = max(self.cpu, sum(map(_seconds, family))), max(peak, own)
            steps = sorted((self.out / "steps").glob("*.json"))
            if self.tell and len(steps) > done:
                took = f"{self.cpu - before:.0f} CPU-s, {peak / GIGABYTE:.2f} GB"
                print(f"  {steps[-1].stem}: {took}", flush=True)
                done, before, peak = len(steps), self.cpu, 0
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


def _kept(family: list[int]) -> int:
    """Return the bytes of files in memory that processes hold, mapped at this moment or not.

    Each file counts once, however many descriptors there are: every mapping has one of its own.
    """
    kept = {}
    for file in (file for pid in family for file in Path(f"/proc/{pid}/fd").glob("*")):
        with suppress(OSError):  # it has been closed meanwhile
            if "memfd" in str(file.readlink()):
                kept[file.stat().st_ino] = file.stat().st_blocks * 512
    return sum(kept.values())


def _seconds(pid: int) -> float:
    """Return the processor time of a process; 0 once it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def audit(rows: int, folder: Path, *, tell: bool) -> Watch:
    """Write features of so many gallery rows, audit them, and remove the files."""
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
        return _run(place, Watch(place / "out", tell))


def _run(place: Path, watch: Watch) -> Watch:
    command = [sys.executable, "-m", "auditor", "run", "--config", str(place / "audit.yaml")]
    with (place / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--out", str(watch.out)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        watch.follow(process)
    if process.returncode not in DONE:
        raise SystemExit((place / "log").read_text(encoding="utf-8"))
    return watch


def exponents(rows: list[int], figures: list[float]) -> str:
    """By which power of the rows a figure grows, from each audit to the next."""
    pairs = zip(pairwise(figures), pairwise(rows), strict=True)
    return ", ".join(f"{math.log(b / a) / math.log(n / m):.2f}" for (a, b), (m, n) in pairs)


def main() -> None:
    """Print the table, a row as soon as it is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 30_000, 100_000])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--steps", action="store_true", help="print what each step took too")
    given = parser.parse_args()
    print(machine(), flush=True)
    print("| gallery rows | features | CPU-s | memory | with mapped files |")
    print("|---|---|---|---|---|", flush=True)
    found = []
    for rows in given.rows:
        watch = audit(rows, given.folder, tell=given.steps)
        found.append(watch)
        sizes = [f"{b / GIGABYTE:.2f} GB" for b in (rows * DIM * 4, watch.own, watch.mapped)]
        print(f"| {rows:,} | {sizes[0]} | {watch.cpu:,.0f} | {sizes[1]} | {sizes[2]} |", flush=True)
    if len(found) > 1:
        print("exponents of CPU-s:", exponents(given.rows, [watch.cpu for watch in found]))
        print("exponents of memory:", exponents(given.rows, [float(watch.own) for watch in found]))


if __name__ == "__main__":
    main()
