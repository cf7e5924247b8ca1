"""Where the steps of a run can be worked on: processes of this machine, or a Ray cluster."""

import importlib
import logging
import multiprocessing
import os
import signal
import tempfile
from collections.abc import Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch

from auditor.console import printable
from auditor.errors import EnvironmentUnmetError
from auditor.models.isolation.parent import die_with
from auditor.pipeline.fanout import AuditJob, Engine, LostWorkerError, StepOutcome
from auditor.pipeline.worker import work_on

EngineName = Literal["processes", "ray"]


def open_engine(name: EngineName, workers: int | None, address: str | None, gpus: float) -> Engine:
    """Return where steps are worked on.

    Args:
        name: of what does it.
        workers: how many steps at a time; None: as many as fit.
        address: of a Ray cluster, ``auto`` for the one of this machine; None: one of its own.
        gpus: share of a GPU that a step takes where the audit is on one.

    Raises:
        EnvironmentUnmetError: if Ray is not installed, or does not answer.
    """
    if name == "ray":
        return Ray(workers, address, gpus)
    return Processes(workers or _cores())


def count_workers(name: EngineName, workers: int | None, address: str | None) -> int:
    """Return how many steps an engine works on at a time, without starting it.

    A cluster that has an address is not asked; it counts for one step.

    Raises:
        EnvironmentUnmetError: if Ray is not installed.
    """
    if name == "ray":
        _import_ray()
    return workers or (1 if address else _cores())


def _cores() -> int:
    """How many steps this machine has processors for."""
    return max(1, len(os.sched_getaffinity(0)) // torch.get_num_threads())


class Processes:
    """Processes of this machine, each of which opens the model and the people once."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        # whatever a worker that is killed leaves behind goes with it
        self._scratch = TemporaryDirectory(prefix="audit-workers-")
        # one pool per worker: whoever is killed takes nobody else along
        self._pools = [self._start() for _ in range(workers)]
        self._idle = list(range(workers))
        self._closed = False

    def submit(self, job: AuditJob, step: str, learned: Mapping[str, bytes]) -> Future[StepOutcome]:
        """See `Engine.submit`."""
        worker, outcome = self._idle.pop(), Future[StepOutcome]()

        def settle(done: Future[StepOutcome]) -> None:
            error = done.exception()
            if isinstance(error, BrokenProcessPool):
                error = LostWorkerError("its process was ended")
                if not self._closed:
                    self._pools[worker] = self._start()
            self._idle.append(worker)
            if error is None:
                outcome.set_result(done.result())
            else:
                outcome.set_exception(error)

        try:
            self._pools[worker].submit(work_on, job, step, learned).add_done_callback(settle)
        except BrokenProcessPool:  # it was ended while it had nothing to do
            self._pools[worker] = self._start()
            self._pools[worker].submit(work_on, job, step, learned).add_done_callback(settle)
        return outcome

    def close(self) -> None:
        """See `Engine.close`."""
        self._closed = True
        for pool in self._pools:
            for process in list((pool._processes or {}).values()):
                process.kill()
            pool.shutdown(wait=True, cancel_futures=True)
        self._scratch.cleanup()

    def _start(self) -> ProcessPoolExecutor:
        # a fork would take along threads of torch that no longer run
        fresh = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(
            1, fresh, initializer=_prepare, initargs=(os.getpid(), self._scratch.name)
        )


def _prepare(parent: int, scratch: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # which the parent hears too, and ends its workers
    die_with(parent)
    tempfile.tempdir = scratch


def _import_ray() -> Any:
    try:
        return importlib.import_module("ray")
    except ImportError:
        raise EnvironmentUnmetError(
            "--engine ray: Ray is not installed; pip install 'reid-privacy-auditor[cluster]', "
            "or pass --engine processes"
        ) from None


class Ray:
    """Tasks of a Ray cluster, whose machines see the model and the people under the same paths."""

    def __init__(self, workers: int | None, address: str | None, gpus: float) -> None:
        ray = _import_ray()
        threads = torch.get_num_threads()
        own = {} if address else {"num_cpus": threads * (workers or _cores())}
        own |= {} if address else {"include_dashboard": False}
        try:
            ray.init(address, logging_level=logging.ERROR, log_to_driver=False, **own)
        except Exception as error:  # of many kinds, as is all that can be wrong with a cluster
            raise EnvironmentUnmetError(
                f"--engine ray: {printable(str(error), 300)}; start a cluster (ray start --head), "
                "or leave out --address for one on this machine"
            ) from None
        self._ray = ray
        share = gpus if torch.cuda.is_available() else 0.0
        # lost tasks are given out again by whoever waits for them, who says so
        self._task = ray.remote(num_cpus=threads, num_gpus=share, max_retries=0)(work_on)
        self.workers = workers or max(1, int(ray.cluster_resources().get("CPU", 1)) // threads)

    def submit(self, job: AuditJob, step: str, learned: Mapping[str, bytes]) -> Future[StepOutcome]:
        """See `Engine.submit`."""
        outcome = Future[StepOutcome]()

        def settle(done: Future[StepOutcome]) -> None:
            error = done.exception()
            if error is None:
                outcome.set_result(done.result())
            else:
                outcome.set_exception(self._reason(error))

        self._task.remote(job, step, learned).future().add_done_callback(settle)
        return outcome

    def _reason(self, error: BaseException) -> BaseException:
        """Return the error that a step raised, or that its worker was lost."""
        if isinstance(error, self._ray.exceptions.RayTaskError):
            cause: BaseException = error.cause
            if isinstance(cause, ImportError | self._ray.exceptions.RaySystemError):
                return EnvironmentUnmetError(
                    f"a machine of the cluster cannot begin: {printable(str(cause), 300)}; "
                    "install the same version of everything on each"
                )
            return cause
        if isinstance(error, self._ray.exceptions.RayError):
            return LostWorkerError(type(error).__name__)
        return error

    def close(self) -> None:
        """See `Engine.close`."""
        self._ray.shutdown()
