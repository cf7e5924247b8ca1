"""A few people of a data set, with a few pictures of each, for measurements that must be brief.

`python benchmarks/sample.py data/market/manifest.csv data/market/sample.csv` draws 150 attacked
and 200 auxiliary people, and of each at most 3 query, 8 gallery or 9 auxiliary pictures; the same
file and seed give the same sample. It belongs beside the manifest, for paths stay as they are.
"""

import argparse
import csv
import random
from collections import defaultdict
from pathlib import Path

MOST = {"query": 3, "gallery": 8}
MOST_AUXILIARY = 9
Rows = list[dict[str, str]]


def draw_people(rows: Rows, attacked: int, auxiliary: int, seed: int) -> Rows:
    """Return the rows of the people drawn."""
    of: dict[str, dict[str, Rows]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        of[row["pid"]][row["split"]].append(row)
    rng = random.Random(seed)
    both = sorted(pid for pid, splits in of.items() if MOST.keys() <= splits.keys())
    others = sorted(pid for pid, splits in of.items() if splits.keys() - MOST.keys())
    chosen = [sorted(rng.sample(both, attacked)), sorted(rng.sample(others, auxiliary))]
    few: Rows = []
    for pid in chosen[0]:
        for split, most in MOST.items():
            few += _some(of[pid][split], most, rng)
    for pid in chosen[1]:
        (split,) = of[pid].keys() - MOST.keys()
        few += _some(of[pid][split], MOST_AUXILIARY, rng)
    return few


def _some(rows: Rows, most: int, rng: random.Random) -> Rows:
    return rng.sample(rows, min(most, len(rows)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--attacked", type=int, default=150)
    parser.add_argument("--auxiliary", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with given.manifest.open(newline="") as file:
        rows = list(csv.DictReader(file))
    few = draw_people(rows, given.attacked, given.auxiliary, given.seed)
    with given.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(few)


if __name__ == "__main__":
    main()
