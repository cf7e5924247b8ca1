"""Messages between the audit and a worker: whole or not at all, and never larger than asked for."""

import json
import os
import socket
import struct
import threading
import time

import pytest
import torch

from auditor.models.isolation.protocol import DTYPES, Channel, Message, ProtocolError


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Channel(ours), Channel(theirs)


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3, 4)])
def test_tensors_arrive_as_they_were(ends, name, shape):
    tensor = torch.arange(24)[: max(1, torch.Size(shape).numel())].to(DTYPES[name])
    tensor = tensor[: torch.Size(shape).numel()].reshape(shape)
    ends[0].send(Message({"do": "run"}, [tensor, tensor]))
    got = ends[1].receive()
    assert got.header == {"do": "run"}
    for other in got.tensors:
        assert other.dtype == tensor.dtype
        assert torch.equal(other, tensor)


def test_what_is_not_contiguous_and_needs_gradients_is_sent_plainly(ends):
    tensor = torch.rand(3, 5, requires_grad=True).t()
    ends[0].send(Message({}, [tensor]))
    assert torch.equal(ends[1].receive().tensors[0], tensor.detach())


def test_large_tensors_and_files(ends, tmp_path):
    path = tmp_path / "file"
    path.write_text("content")
    large = torch.rand(2**20)
    with path.open() as file:
        message = Message({}, [large], [file.fileno()])
        sender = threading.Thread(target=ends[0].send, args=(message,))
        sender.start()
        got = ends[1].receive()
        sender.join()
    assert torch.equal(got.tensors[0], large)
    with os.fdopen(got.files[0]) as file:
        assert file.read() == "content"


@pytest.mark.parametrize(
    "tensor",
    [
        torch.eye(3).to_sparse(),
        torch.empty(3, device="meta"),
        torch.ones(3, dtype=torch.complex64),
    ],
    ids=["sparse", "meta", "complex"],
)
def test_what_is_not_sent(ends, tensor):
    with pytest.raises(ProtocolError, match="a tensor"):
        ends[0].send(Message({}, [tensor]))


def framed(header):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("!I", len(text)) + text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (struct.pack("!I", 2**32 - 1), "a header of 4294967295 bytes"),
        (framed(b"{"), "not JSON"),
        (framed(b"[" * 100_000), "not JSON"),
        (framed([1]), "not an object"),
        (framed({}), "no list of tensors"),
        (framed({"tensors": [["float32", [2**39]]]}), "more than was asked for"),
        (framed({"tensors": [["float32", [2**20]]] * 300}), "more than was asked for"),
        (framed({"tensors": [["float32", [-1]]]}), "no kind that is sent"),
        (framed({"tensors": [["float32", [True]]]}), "no kind that is sent"),
        (framed({"tensors": [["float32", [2**64]]]}), "no kind that is sent"),
        (framed({"tensors": [["object", [1]]]}), "no kind that is sent"),
        (framed({"tensors": [[["float32"], [1]]]}), "no kind that is sent"),
        (framed({"tensors": [["float32", [1] * 17]]}), "no kind that is sent"),
        (framed({"tensors": ["float32"]}), "no kind that is sent"),
    ],
)
def test_what_is_no_message(ends, content, said):
    ends[0].end.sendall(content)
    with pytest.raises(ProtocolError, match=said):
        ends[1].receive(limit=2**30)


@pytest.mark.parametrize("content", [b"", b"\x00", framed({"tensors": [["float32", [4]]]})])
def test_who_leaves_in_the_middle(ends, content):
    ends[0].end.sendall(content)
    ends[0].close()
    with pytest.raises(EOFError):
        ends[1].receive()


def test_one_who_dawdles_is_not_waited_for(ends):
    stop = threading.Event()

    def trickle():
        for byte in framed({"tensors": [], "x": "y" * 1000}):
            if stop.wait(0.05):
                return
            ends[0].end.sendall(bytes([byte]))

    thread = threading.Thread(target=trickle)
    thread.start()
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        ends[1].receive(until=began + 0.3)
    assert time.monotonic() - began < 5
    stop.set()
    thread.join()
