"""The other end of `auditor.pipeline.fanout`: one step of somebody else's run."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from auditor.artifacts import personal
from auditor.artifacts.atomic import write
from auditor.pipeline import journal, session
from auditor.pipeline.environment import determinism
from auditor.pipeline.fanout import Job, Outcome
from auditor.pipeline.plan import plan_steps
from auditor.pipeline.steps import RETRAINED, World

_OPEN: dict[str, tuple[TemporaryDirectory[str], World]] = {}
"""The run that this process works for; its model and people stay open from step to step."""


def work_on(job: Job, name: str, learned: Mapping[str, bytes]) -> Outcome:
    """Return what comes of the step ``name`` of a run; see `auditor.pipeline.fanout.Engine`.

    Raises:
        AuditError: if the model or the people cannot be opened here, or the step raises it.
    """
    world = _open(job)
    out = world.ctx.workdir
    for path, content in learned.items():
        if not (out / path).exists():
            write(out / path, content, mode=0o600)
    (step,) = (step for step in plan_steps(world) if step.name == name)
    with determinism(world.ctx.device, wanted=job.config.deterministic):
        entry = journal.work(step, lambda fraction, detail="": None)
    files = {path.relative_to(out).as_posix(): path.read_bytes() for path in _files(out)}
    _sweep(out)
    return Outcome(entry=entry, files={p: c for p, c in files.items() if p not in learned})


def _open(job: Job) -> World:
    if job.key not in _OPEN:
        for folder, _ in _OPEN.values():
            folder.cleanup()
        _OPEN.clear()
        if Path(job.folder).is_dir():
            os.chdir(job.folder)
        torch.set_num_threads(job.threads)
        folder = TemporaryDirectory(prefix="audit-worker-")
        out = Path(folder.name)
        inputs = session.open_inputs(job.config, out)
        kept = session.open_cache(job.config, inputs)
        _OPEN[job.key] = folder, session.make_world(job.config, out, inputs, kept)
    return _OPEN[job.key][1]


def _files(out: Path) -> Iterator[Path]:
    yield from sorted(path for path in out.rglob("*") if path.is_file())


def _sweep(out: Path) -> None:
    """Remove what the step wrote, but for what defenses have learned, which others can use."""
    for path in _files(out):
        if path.parent != out / personal.PERSONAL / RETRAINED:
            path.unlink()
