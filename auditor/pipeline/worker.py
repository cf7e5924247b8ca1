"""The other end of `auditor.pipeline.fanout`: one step of somebody else's run."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import mkdtemp

import torch

from auditor.artifacts import personal
from auditor.artifacts.atomic import write
from auditor.pipeline import journal, session
from auditor.pipeline.environment import determinism
from auditor.pipeline.fanout import AuditJob, StepOutcome
from auditor.pipeline.plan import plan_steps
from auditor.pipeline.steps import World

_OPEN: dict[str, World] = {}
"""The run that this process works for; its model and people stay open from step to step."""


def work_on(job: AuditJob, name: str, learned: Mapping[str, bytes]) -> StepOutcome:
    """Return what comes of the step ``name`` of a run; see `auditor.pipeline.fanout.Engine`.

    Raises:
        AuditError: if the model or the people cannot be opened here, or the step raises it.
    """
    world = _open(job)
    out = world.ctx.workdir
    out.mkdir(mode=0o700)
    personal.folder(out)
    try:
        for path, content in learned.items():
            write(out / path, content, mode=0o600)
        (step,) = (step for step in plan_steps(world) if step.name == name)
        with determinism(world.ctx.device, wanted=job.config.deterministic):
            entry = journal.work(step, lambda fraction, detail="": None)
        files = {path.relative_to(out).as_posix(): path for path in _files(out)}
        new = {name: path.read_bytes() for name, path in files.items() if name not in learned}
        return StepOutcome(entry=entry, files=new)
    finally:
        shutil.rmtree(out)  # what is personal does not stay where nobody looks for it


def _open(job: AuditJob) -> World:
    if job.key not in _OPEN:
        _OPEN.clear()
        if Path(job.folder).is_dir():
            os.chdir(job.folder)
        torch.set_num_threads(job.threads)
        out = Path(mkdtemp(prefix="audit-worker-"))
        out.rmdir()  # it is there for as long as a step is
        inputs = session.open_inputs(job.config, out)
        kept = session.open_cache(job.config, inputs)
        _OPEN[job.key] = session.make_world(job.config, out, inputs, kept)
    return _OPEN[job.key]


def _files(out: Path) -> list[Path]:
    return sorted(path for path in out.rglob("*") if path.is_file())
