"""Batches of pictures that are decoded while the GPU works on those before them."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

Load = Callable[[slice], Tensor]


class LoadingAhead:
    """Loads rows in a thread of its own, one batch ahead of whoever asks for them in turn.

    At most one batch waits. An error is raised when its rows are asked for, as without the thread.
    Rows that are asked for out of turn, or in batches of another size, are loaded then.
    """

    def __init__(self, load: Load, count: int, *, pinned: bool) -> None:
        self._load, self._count, self._pinned = load, count, pinned
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="load-ahead")
        self._next: tuple[slice, Future[Tensor]] | None = None

    def __call__(self, rows: slice) -> Tensor:
        """Return pictures ``(B, 3, H, W)`` and begin with those that follow them."""
        waiting, self._next = self._next, None
        images = waiting[1].result() if waiting and waiting[0] == rows else self._read(rows)
        following = slice(rows.stop, min(2 * rows.stop - rows.start, self._count))
        if following.start < following.stop:
            self._next = following, self._thread.submit(self._read, following)
        return images

    def _read(self, rows: slice) -> Tensor:
        images = self._load(rows)
        # from pinned memory a copy to the GPU runs beside what the GPU computes
        return images.pin_memory() if self._pinned else images

    def close(self) -> None:
        """End the thread; what waits is forgotten."""
        self._thread.shutdown(wait=True, cancel_futures=True)


def worth_it(device: torch.device) -> bool:
    """Return whether the device leaves the processors to the decoder.

    On a CPU both share them, and decoding is a hundredth to a twentieth of the work.
    """
    return device.type == "cuda"
