"""How many pictures a service has been asked about, how many it may be, and how fast."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from auditor.errors import BudgetSpentError


@dataclass
class Meter:
    """Counts queries: pictures sent, once for each time they were.

    Attributes:
        budget: of pictures; None: as many as it takes.
        rate: requests a second; None: as fast as they are answered.
        spent: pictures sent so far.
        keep: told of every new count before the pictures are sent, so that a killed run keeps it.
    """

    budget: int | None = None
    rate: float | None = None
    spent: int = 0
    keep: Callable[[int], None] = field(default=lambda _: None)
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _free: float = field(default=0.0, init=False)

    def spend(self, pictures: int) -> None:
        """Count pictures that are about to be sent, and wait for a turn.

        Raises:
            BudgetSpentError: if there would be more than the budget; nothing is counted then.
        """
        if self.budget is not None and self.spent + pictures > self.budget:
            raise BudgetSpentError(
                f"the service's query budget of {self.budget} pictures does not cover {pictures} "
                f"more after {self.spent}; raise model.service.budget or run fewer attacks"
            )
        self._wait()
        self.spent += pictures
        if pictures:
            self.keep(self.spent)

    def _wait(self) -> None:
        if self.rate is None:
            return
        now = self.clock()
        self.sleep(max(0.0, self._free - now))
        self._free = max(now, self._free) + 1 / self.rate
