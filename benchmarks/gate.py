"""How long a pipeline waits for `audit gate`, against the start of Python itself.

`python benchmarks/gate.py report.json [--policy policy.yaml] [--rounds N]` alternates the two
commands and prints the best time of each, on the clock and of the processor (which does not count
who else was using it), their ratio, and the same for gating with a report in three formats.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

POLICY = """\
version: 1
on_missing: inconclusive
gates:
  - {address: "*/identity/top1", max: 0.1, cites: benchmark}
  - {address: "*/utility/rank1", min: 0.5, cites: benchmark}
"""


def seconds(command: list[str]) -> tuple[float, float]:
    """Time of one run on the clock and of the processor; a gate that says no is no failure."""
    before, started = os.times(), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    elapsed, after = time.perf_counter() - started, os.times()
    if done.returncode not in (0, 3, 4):
        sys.exit(f"{' '.join(command)} exited with {done.returncode}: {done.stderr}")
    used = after.children_user + after.children_system
    return elapsed, used - before.children_user - before.children_system


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path)
    parser.add_argument("--policy", type=Path)
    parser.add_argument("--rounds", type=int, default=15)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        policy = asked.policy or Path(folder, "policy.yaml")
        if asked.policy is None:
            policy.write_text(POLICY)
        python = [sys.executable, "-c", "pass"]
        gate = [sys.executable, "-m", "auditor", "gate", str(asked.report)]
        gate += ["--policy", str(policy)]
        files = {"--junit": "j.xml", "--sarif": "s.sarif", "--markdown": "m.md"}
        formats = [part for flag, name in files.items() for part in (flag, f"{folder}/{name}")]
        commands = {
            "python -c pass": python,
            "audit gate": gate,
            "… in three formats": gate + formats,
        }
        rounds = [
            {name: seconds(command) for name, command in commands.items()}
            for _ in range(asked.rounds)
        ]
    best = {name: [min(r[name][kind] for r in rounds) for kind in (0, 1)] for name in commands}
    for name, (clock, used) in best.items():
        ratio = clock / best["python -c pass"][0]
        print(f"{name:<20} {clock:6.3f} s  {used:6.3f} s of processor  {ratio:5.1f}×")


if __name__ == "__main__":
    main()
