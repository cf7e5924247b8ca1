"""Messages between the audit and a worker: a JSON header, then tensors as raw bytes. No pickle.

Both ends read with the same care, because either may be the one that was taken over: lengths are
bounded before anything is allocated, and a header says no more than plain values.
"""

import array
import json
import math
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

MAX_HEADER = 2**24
"""Bytes; a state dict's names and shapes are the longest."""
MAX_FILES = 64
LENGTH = struct.Struct("!I")

DTYPES: Mapping[str, torch.dtype] = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        *(torch.float32, torch.float16, torch.bfloat16, torch.float64),
        *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
    )
}


class ProtocolError(Exception):
    """What arrived is no message, or more than was asked for."""


@dataclass(frozen=True, eq=False)
class Message:
    """What one end tells the other.

    Attributes:
        header: plain values.
        tensors: on the CPU, contiguous.
        files: descriptors that came along; whoever receives them closes them.
    """

    header: Mapping[str, Any]
    tensors: Sequence[Tensor] = ()
    files: Sequence[int] = ()


class Channel:
    """One end of a connected Unix socket.

    Args:
        end: of a stream socket; closed with the channel.
    """

    def __init__(self, end: socket.socket) -> None:
        self.end = end

    def close(self) -> None:
        """Let go of the socket."""
        self.end.close()

    def send(self, message: Message, *, until: float | None = None) -> None:
        """Send everything.

        Args:
            message: what to send.
            until: on `time.monotonic`, when to give up.

        Raises:
            OSError: if nobody listens any more, or not in time (`TimeoutError`).
            ProtocolError: if a tensor is of a kind that is not sent.
        """
        tensors = [plain(tensor) for tensor in message.tensors]
        shapes = [[_name(tensor), list(tensor.shape)] for tensor in tensors]
        header = json.dumps({**message.header, "tensors": shapes}).encode()
        self._patience(until)
        begin = LENGTH.pack(len(header))
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", message.files))]
        self.end.sendmsg([begin], rights if message.files else [])
        self.end.sendall(header)
        for tensor in tensors:
            self._patience(until)
            self.end.sendall(_bytes(tensor))

    def receive(self, *, until: float | None = None, limit: int = 2**30) -> Message:
        """Wait for a message.

        Args:
            until: on `time.monotonic`, when to give up.
            limit: the most bytes of tensors that it may have.

        Raises:
            EOFError: if the other end is gone.
            TimeoutError: if it took too long.
            ProtocolError: if it is no message, or a larger one.
        """
        self._patience(until)
        begin, files, _, _ = socket.recv_fds(self.end, LENGTH.size, MAX_FILES)
        try:
            rest = bytearray(LENGTH.size - len(begin))
            if not begin:
                raise EOFError
            self._fill(memoryview(rest), until)
            length = LENGTH.unpack(begin + rest)[0]
            if length > MAX_HEADER:
                raise ProtocolError(f"a header of {length} bytes")
            text = bytearray(length)
            self._fill(memoryview(text), until)
            header = _header(text)
            tensors = _empty(header.pop("tensors", None), limit)
            for tensor in tensors:
                self._fill(_bytes(tensor), until)
        except BaseException:
            close(files)
            raise
        return Message(header, tensors, files)

    def _fill(self, view: memoryview, until: float | None) -> None:
        while view:
            self._patience(until)
            count = self.end.recv_into(view)
            if not count:
                raise EOFError
            view = view[count:]

    def _patience(self, until: float | None) -> None:
        if until is None:
            self.end.settimeout(None)
            return
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.end.settimeout(left)


def close(files: Sequence[int]) -> None:
    """Close descriptors that came with a message."""
    for file in files:
        socket.close(file)


def plain(tensor: Tensor) -> Tensor:
    """Return the tensor as it is sent: on the CPU, dense and contiguous.

    Raises:
        ProtocolError: if it is sparse, quantised, without content or of a rare type.
    """
    tensor = tensor.detach()
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta or tensor.is_nested:
        raise ProtocolError("a tensor that is sparse, nested, quantised or without content")
    if _name(tensor) not in DTYPES:
        raise ProtocolError(f"a tensor of {_name(tensor)}")
    return tensor.cpu().contiguous()


def _name(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _bytes(tensor: Tensor) -> memoryview:
    content: Any = tensor.reshape(-1).view(torch.uint8).numpy()
    return memoryview(content)


def _header(text: bytearray) -> dict[str, Any]:
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        raise ProtocolError("a header that is not JSON") from None
    if not isinstance(header, dict):
        raise ProtocolError("a header that is not an object")
    return header


def _empty(described: Any, limit: int) -> list[Tensor]:
    """Tensors of the described shapes, yet to be filled."""
    if not isinstance(described, list):
        raise ProtocolError("no list of tensors")
    shapes = []
    for entry in described:
        dtype, shape = _describe(entry)
        limit -= math.prod(shape) * dtype.itemsize
        shapes.append((dtype, shape))
    if limit < 0:
        raise ProtocolError("more than was asked for")
    return [torch.empty(shape, dtype=dtype) for dtype, shape in shapes]


def _describe(entry: Any) -> tuple[torch.dtype, list[int]]:
    if isinstance(entry, list) and len(entry) == 2 and isinstance(entry[1], list):
        name, shape = entry
        sides = len(shape) <= 16 and all(type(n) is int and 0 <= n < 2**40 for n in shape)
        if isinstance(name, str) and name in DTYPES and sides:
            return DTYPES[name], shape
    raise ProtocolError("a tensor of no kind that is sent")
