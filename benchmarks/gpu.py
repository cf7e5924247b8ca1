"""What this project does on a GPU: whether all of it works, how fast, in how much memory.

    benchmarks/gpu.sh OUT [--together] [--only STEP,…] [--limit SECONDS]

Each step is a process of its own with a time limit; ``OUT/gpu.json`` and ``OUT/gpu.md`` are
written after each. ``--together`` runs all steps at once, which finds faults in a third of the
time and measures nothing.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PYTHON = sys.executable


@dataclass(frozen=True)
class Step:
    """One process: its command, how many seconds it has, and what it must end with."""

    name: str
    limit: int
    command: tuple[str, ...]
    codes: tuple[int, ...] = (0,)


def main() -> None:
    """Run the steps and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--together", action="store_true", help="all steps at once: faults only")
    parser.add_argument("--only", default="", help="names of steps, separated by commas")
    parser.add_argument("--limit", type=int, default=540, help="seconds for everything")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    parser.add_argument("--attacks", help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    if given.attacks:
        evaluate_attacks(given.out, given.attacks.split(","))
        return
    if given.inside:
        result = INSIDE[given.inside](given.out)
        (given.out / f"{given.inside}.result.json").write_text(json.dumps(result))
        return
    wanted = [name for name in given.only.split(",") if name]
    chosen = [step for step in steps(given.out) if not wanted or step.name in wanted]
    record = Record(given.out, describe())
    until = time.monotonic() + given.limit
    # side by side, each with every core's threads, they would wait for one another
    threads = {"OMP_NUM_THREADS": "2"} if given.together else {}
    with ThreadPoolExecutor(len(chosen) if given.together else 1) as pool:
        for done in pool.map(lambda step: run(step, given.out, until, threads), chosen):
            record.add(done)
    if compared := compare(given.out):
        record.add(compared)


def compare(out: Path) -> dict[str, Any] | None:
    """Return whether two deterministic demos came to the same figures."""
    paths = [out / name / "report.json" for name in ("again", "exact")]
    if not all(path.exists() for path in paths):
        return None
    one, other = (json.loads(path.read_text())["scenarios"] for path in paths)
    said = "identical figures" if one == other else "the figures differ"
    return {
        "step": "repeats",
        "code": int(one != other),
        "seconds": 0,
        "tracebacks": 0,
        "end": [said],
        "found": {},
    }


def steps(out: Path) -> list[Step]:
    """Everything, what matters most first."""

    def inside(name: str, limit: int) -> Step:
        return Step(name, limit, (PYTHON, __file__, str(out), "--inside", name))

    demo = (PYTHON, "-m", "auditor", "demo", "--device", "cuda")
    repeatable = ("--set", "deterministic=true")
    contract = ("tests/contract/test_attacks.py", "tests/contract/test_defenses.py")
    pytest = (PYTHON, "-m", "pytest", "-q", "-n", "10", "-p", "tests.tell_failures")
    return [
        Step("demo", 150, (*demo, "--out", str(out / "demo"))),
        Step("again", 150, (*demo, *repeatable, "--out", str(out / "again"))),
        Step("exact", 150, (*demo, *repeatable, "--out", str(out / "exact"))),
        inside("speed", 120),
        Step(
            "contract",
            300,
            (
                *pytest,
                *("-p", "no:cacheprovider", "-p", "no:benchmark", "-o", "addopts="),
                *("-o", "filterwarnings=", "-m", "not slow", "--tb=short", "--durations=15"),
                *contract,
            ),
        ),
        inside("full", 420),
    ]


def run(step: Step, out: Path, until: float, threads: dict[str, str]) -> dict[str, Any]:
    """Run one step; gives how it ended, its seconds and the end of what it printed."""
    limit = min(step.limit, until - time.monotonic())
    start, log = time.monotonic(), out / f"{step.name}.log"
    own = {
        "AUDITOR_TEST_DEVICE": "cuda",
        **threads,
        "AUDIT_STEP_LIMIT": str(limit),
    }
    code: int | None = None
    if limit > 5:
        with log.open("w") as file:
            try:
                code = subprocess.run(
                    step.command,
                    cwd=ROOT,
                    env={**os.environ, **own},
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    timeout=limit,
                    check=False,
                ).returncode
            except subprocess.TimeoutExpired:
                file.write(f"\nout of time after {limit:.0f} s\n")
    said = log.read_text(errors="replace") if log.exists() else "not started: out of time"
    result = out / f"{step.name}.result.json"
    return {
        "step": step.name,
        "code": code,
        "seconds": round(time.monotonic() - start, 1),
        "tracebacks": said.count("Traceback"),
        "end": [line for line in said.splitlines() if line.strip()][-3:],
        "found": json.loads(result.read_text()) if result.exists() else {},
    }


def describe() -> dict[str, str]:
    """Return the machine and the versions."""
    import torch
    import torchvision

    gpu = torch.cuda.is_available()
    return {
        "device": torch.cuda.get_device_name() if gpu else "no GPU",
        "memory": f"{torch.cuda.get_device_properties(0).total_memory / 2**30:.0f} GiB"
        if gpu
        else "",
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "cuda": str(torch.version.cuda),
    }


class Record:
    """The results so far, on disk."""

    def __init__(self, out: Path, machine: dict[str, str]) -> None:
        self.out, self.machine, self.steps = out, machine, list[dict[str, Any]]()

    def add(self, step: dict[str, Any]) -> None:
        """Keep one step, and write everything again."""
        self.steps.append(step)
        whole = {"machine": self.machine, "steps": self.steps}
        (self.out / "gpu.json").write_text(json.dumps(whole, indent=1))
        (self.out / "gpu.md").write_text("\n".join(self._lines()) + "\n")
        print(f"{step['step']}: exit {step['code']}, {step['seconds']} s", flush=True)

    def _lines(self) -> Iterator[str]:
        yield " · ".join(f"{key} {value}" for key, value in self.machine.items() if value)
        yield ""
        yield "| step | exit | seconds | tracebacks | last line |"
        yield "|---|---|---|---|---|"
        for step in self.steps:
            last = re.sub(r"[|\s]+", " ", step["end"][-1]) if step["end"] else ""
            cells = (step["code"], step["seconds"], step["tracebacks"], last[:120])
            yield f"| {step['step']} | " + " | ".join(map(str, cells)) + " |"
        for step in self.steps:
            if rows := step["found"].get("rows"):
                yield f"\n{step['step']}:\n"
                yield "| " + " | ".join(rows[0]) + " |"
                yield "|" + "---|" * len(rows[0])
                for row in rows:
                    yield "| " + " | ".join(str(value) for value in row.values()) + " |"


@contextmanager
def peak() -> Iterator[dict[str, float]]:
    """Yield a dict that gets the highest memory in use on the device meanwhile, in GB."""
    import torch

    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    told: dict[str, float] = {}
    yield told
    told["gb"] = round(torch.cuda.max_memory_allocated() / 1e9, 2)


FULL = (
    ("inversion",),
    ("diffusion",),
    ("identity_decoder",),
    ("membership_lira",),
    ("dlg",),
    ("idlg",),
    ("gradient_inversion", "optimization"),
    ("score_api", "attribute"),
    ("composite", "mse_decoder", "fully_connected_gan"),
    ("attribute_boosting", "attribute_expansion"),
    ("identity_metric", "linkage_metric", "unshift"),
)
"""Attacks of the full preset that take long, apart; a last group has all others."""


def full(out: Path) -> dict[str, Any]:
    """Run the full preset on synthetic people: each attack's figure, certificate, seconds, memory.

    Attacks run in processes side by side, so that nine minutes suffice; their seconds are those of
    a shared GPU.
    """
    from auditor.config import preset_defaults

    named = {label for group in FULL for label in group}
    rest = tuple(label for label in preset_defaults("full")["attacks"] if label not in named)
    groups, found = (*FULL, rest), out / "full"
    found.mkdir(exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    command = (PYTHON, __file__, str(out), "--attacks")
    children = [subprocess.Popen((*command, ",".join(group)), env=environment) for group in groups]
    deadline = time.monotonic() + float(os.environ["AUDIT_STEP_LIMIT"]) - 10
    for child in children:
        try:
            child.wait(max(1.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
    rows = [json.loads(path.read_text()) for path in sorted(found.glob("*.json"))]
    done = {row["attack"] for row in rows}
    late = [label for group in groups for label in group if label not in done]
    return {"rows": rows, "not finished": late}


def evaluate_attacks(out: Path, labels: list[str]) -> None:
    """Evaluate some attacks of the full preset, controls included; a file for each."""
    import torch

    import auditor
    from auditor.config import preset_defaults
    from auditor.config.blocks import read_attack
    from auditor.types import Target

    model = auditor.open_model(
        ROOT / "auditor/models/reference.safetensors", arch="reference", device="cuda"
    )
    target = Target(model.extractor, auditor.synthetic_dataset(people=100))
    for label in labels:
        attack = read_attack(label, preset_defaults("full")["attacks"][label])
        start = time.monotonic()
        with peak() as memory:
            finding = auditor.evaluate(attack, target, progress=False)
        seconds = time.monotonic() - start
        first = finding.measurements[0] if finding.measurements else None
        power = finding.power(first.metric) if first else None
        row = {
            "attack": label,
            "metric": first.metric if first else finding.status,
            "value": f"{first.value:.3f} ({first.low:.3f}–{first.high:.3f})" if first else "",
            "chance": "" if first is None or first.chance is None else f"{first.chance:.3f}",
            "certificate": power.outcome if power else finding.reason[:80],
            "seconds": round(seconds),
            "peak GB": memory["gb"],
        }
        (out / "full" / f"{label}.json").write_text(json.dumps(row))
        print(row, flush=True)
        torch.cuda.empty_cache()


def milliseconds(work: Any, repeats: int = 5) -> float:
    """Return the median time of ``work`` on the device."""
    import torch

    times = []
    work()
    for _ in range(repeats):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        start.record()
        work()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return sorted(times)[len(times) // 2]


def speed(out: Path) -> dict[str, Any]:
    """Ratios within this one run: embedding, retrieval."""
    import torch
    from torchvision.models import resnet50

    from auditor.metrics.retrieval import evaluate
    from auditor.metrics.similarity import Truth

    device = torch.device("cuda")
    rows = []

    def add(what: str, peer: str, ours: float, theirs: float, gb: float) -> None:
        ratio = round(theirs / ours, 2)
        rows.append(
            {
                "what": what,
                "ms": round(ours, 1),
                "peer": peer,
                "peer ms": round(theirs, 1),
                "ratio": ratio,
                "peak GB": gb,
            }
        )
        print(rows[-1], flush=True)

    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(752, 512, generator=generator)
    queries, gallery = (
        torch.randint(1, 752, (count,), generator=generator) for count in (3368, 15913)
    )
    cameras = [torch.randint(0, 6, (len(x),), generator=generator) for x in (queries, gallery)]
    features = [
        centres[x] + 4 * torch.randn(len(x), 512, generator=generator) for x in (queries, gallery)
    ]
    truth = Truth(queries, gallery, *cameras)
    there = truth.to(device)
    on_gpu = [x.to(device) for x in features]
    with peak() as memory:
        ours = milliseconds(lambda: evaluate(on_gpu[0], on_gpu[1], there))
    start = time.perf_counter()
    evaluate(features[0], features[1], truth)
    cpu = 1000 * (time.perf_counter() - start)
    add(
        "retrieval 3368 × 15913 × 512",
        f"CPU, {torch.get_num_threads()} threads",
        ours,
        cpu,
        memory["gb"],
    )
    product = milliseconds(lambda: on_gpu[0] @ on_gpu[1].T)
    add("retrieval 3368 × 15913 × 512", "the bare product", ours, product, memory["gb"])

    network = resnet50().eval().to(device)
    images = torch.rand(256, 3, 256, 128, device=device)
    wide = images.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        eager = milliseconds(lambda: network(images))
        network.to(memory_format=torch.channels_last)
        with peak() as memory:
            last = milliseconds(lambda: network(wide))
        add("ResNet-50, batch 256, channels last", "eager", last, eager, memory["gb"])
        with peak() as memory, torch.autocast("cuda", torch.bfloat16):
            half = milliseconds(lambda: network(wide))
        add("the same in bfloat16", "eager", half, eager, memory["gb"])
    return {"rows": rows}


INSIDE = {"full": full, "speed": speed}

if __name__ == "__main__":
    main()
