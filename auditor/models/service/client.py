"""Requests to a service: with a time-out, a size limit, a budget, and again if that may help."""

import json
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np
import urllib3
from numpy.typing import DTypeLike, NDArray

from auditor.console import printable
from auditor.errors import ModelError
from auditor.models.service.meter import Meter

AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers after which asking again may help."""
LONGEST_WAIT = 60.0
"""Seconds between two tries, whatever the service asks for."""
LARGEST = 2**28
"""Bytes of an answer."""
Result = TypeVar("Result")


@dataclass(frozen=True)
class Answer:
    """What came back, its status 200."""

    headers: Mapping[str, str]
    body: bytes

    def plain(self) -> Any:
        """Return the body as JSON.

        Raises:
            ModelError: if it is none.
        """
        return read_json(self.body)


@dataclass(frozen=True, kw_only=True)
class Client:
    """Asks one service.

    Attributes:
        url: of the model.
        headers: sent with every request; secrets, never shown.
        seconds: in which a request must be answered.
        retries: how often a request is sent again.
        meter: counts the pictures.
    """

    url: str
    headers: Mapping[str, str]
    seconds: float
    retries: int
    meter: Meter
    sleep: Callable[[float], None] = time.sleep
    _pool: urllib3.PoolManager = field(default_factory=urllib3.PoolManager, repr=False)

    def get(self, url: str) -> Answer:
        """Ask for what is at ``url``.

        Raises:
            ModelError: if no usable answer comes.
        """
        return self._ask("GET", url, b"", {}, pictures=0)

    def post(self, url: str, body: bytes, headers: Mapping[str, str], pictures: int) -> Answer:
        """Send ``body``, in which so many ``pictures`` are.

        Raises:
            ModelError: if no usable answer comes.
            BudgetSpentError: if the budget does not cover them; nothing is sent then.
        """
        return self._ask("POST", url, body, headers, pictures=pictures)

    def _ask(
        self, method: str, url: str, body: bytes, headers: Mapping[str, str], *, pictures: int
    ) -> Answer:
        for attempt in range(self.retries + 1):
            self.meter.spend(pictures)  # a service counts what it was sent, answered or not
            try:
                status, answer = _in_time(
                    self.seconds, partial(self._send, method, url, body, headers)
                )
            except urllib3.exceptions.HTTPError as error:
                said, pause, again = _reason(error), 0.0, True
            else:
                if status == 200:
                    return answer
                said, again = _refusal(status, answer.body), status in AGAIN
                pause = _asked_pause(answer.headers)
            if not again or attempt == self.retries:
                break
            self.sleep(min(LONGEST_WAIT, max(pause, 0.5 * 2**attempt)))
        tries = f" after {attempt + 1} tries" if attempt else ""
        raise ModelError(f"the service does not answer{tries}: {said}")

    def _send(
        self, method: str, url: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, Answer]:
        response = self._pool.request(
            method,
            url,
            body=body or None,
            headers={"Accept": "application/json", **self.headers, **headers},
            timeout=urllib3.Timeout(total=self.seconds),
            retries=False,
            redirect=False,  # headers with secrets go nowhere else
            preload_content=False,
        )
        deadline, parts, size = time.monotonic() + self.seconds, [], 0
        try:
            while part := response.read1(2**20):  # `read` would wait for as many bytes
                parts.append(part)
                size += len(part)
                if size > LARGEST:
                    raise ModelError(f"the service answers with more than {LARGEST >> 20} MiB")
                if time.monotonic() > deadline:  # a service may send a byte a second for ever
                    raise urllib3.exceptions.TimeoutError(f"not finished in {self.seconds:g} s")
        except BaseException:
            response.close()  # what is left unread must not meet the next request
            raise
        response.release_conn()
        return response.status, Answer(dict(response.headers.items()), b"".join(parts))


def _in_time(seconds: float, work: Callable[[], Result]) -> Result:
    """Return what ``work`` gives; if it takes longer, it is left to itself.

    Time limits of sockets start anew with each byte, and looking up a name has none.

    Raises:
        TimeoutError: urllib3's, if it takes longer.
    """
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        return future.result(seconds)
    except TimeoutError:
        raise urllib3.exceptions.TimeoutError(f"not finished in {seconds:g} s") from None


def read_json(body: bytes) -> Any:
    """Plain data.

    Raises:
        ModelError: if ``body`` is no JSON.
    """
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ModelError(
            f"the service answers with no JSON: {printable(str(error), 200)}"
        ) from None


def read_numbers(said: Any, kind: DTypeLike) -> NDArray[Any]:
    """Return nested lists of numbers as an array.

    Raises:
        ValueError: if they are ragged, or contain anything else: numpy would make numbers of texts,
            null and true.
    """
    found = np.array(said)
    if found.dtype.kind not in "iuf":
        raise ValueError("a list contains something else than numbers")
    with np.errstate(over="ignore"):  # infinity is refused with all other features
        return found.astype(kind)


def _refusal(status: int, body: bytes) -> str:
    """Return a status, with what the service says about it."""
    try:
        said = json.loads(body)
        text = said.get("error", "") if isinstance(said, dict) else ""
    except (ValueError, RecursionError):
        text = ""
    return f"status {status}" + (f", {printable(str(text), 200)}" if text else "")


def _asked_pause(headers: Mapping[str, str]) -> float:
    """Return the seconds that the service asks to be left alone for."""
    asked = {name.lower(): value for name, value in headers.items()}.get("retry-after", "")
    return float(asked) if asked.isdecimal() else 0.0


def _reason(error: urllib3.exceptions.HTTPError) -> str:
    """Return what went wrong, without the address that urllib3's texts begin with."""
    if isinstance(error, urllib3.exceptions.TimeoutError):
        return "it takes longer than model.service.seconds allows"
    return f"{type(error).__name__}: {printable(str(error).rsplit(': ', 1)[-1], 200)}"
