"""A server on this machine that is asked for features, and answers well or in bad ways.

It speaks the Open Inference Protocol v2 below /v2, and takes pictures in JSON elsewhere.
"""

import base64
import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from PIL import Image

METADATA = {
    "name": "reid",
    "platform": "test",
    "inputs": [{"name": "images", "datatype": "FP32", "shape": [-1, 3, 32, 16]}],
    "outputs": [{"name": "features", "datatype": "FP32", "shape": [-1, 24]}],
}
Model = Callable[[np.ndarray], np.ndarray]


def thumbnail(images: np.ndarray) -> np.ndarray:
    """Features ``(B, 24)`` of images ``(B, 3, 32, 16)``: means of cells."""
    cells = images.reshape(len(images), 3, 4, 8, 2, 8).mean((3, 5))
    return np.ascontiguousarray(cells.reshape(len(images), -1), np.float32)


@dataclass
class Service:
    """What a server does, and what it was asked.

    Attributes:
        metadata: of the model.
        extensions: the server's.
        model: what answers.
        script: statuses and bodies of the coming answers to questions, before it answers well.
        delay: seconds before any answer.
        token: what must be in the header Authorization.
    """

    metadata: dict[str, Any] = field(default_factory=lambda: dict(METADATA))
    extensions: tuple[str, ...] = ("binary_tensor_data",)
    model: Model = thumbnail
    script: list[tuple[int, bytes, dict[str, str]]] = field(default_factory=list)
    delay: float = 0.0
    token: str = ""
    batches: list[int] = field(default_factory=list)
    binary: list[bool] = field(default_factory=list)
    url: str = ""
    pictures_url: str = ""

    @property
    def pictures(self) -> int:
        """How many pictures were sent."""
        return sum(self.batches)


@contextmanager
def serve(service: Service) -> Iterator[Service]:
    """Start a server for as long as the block runs; its address is in ``service.url``."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            if self.path == "/v2":
                return self._say({"name": "test", "extensions": list(service.extensions)})
            return self._say(service.metadata)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if not self.path.startswith("/v2/"):
                return self._take_pictures(json.loads(body))
            border = self.headers.get("Inference-Header-Content-Length")
            said = json.loads(body[: int(border)] if border else body)
            (tensor,) = said["inputs"]
            if border:
                images = np.frombuffer(body[int(border) :], "<f4")
            else:
                images = np.array(tensor["data"], "<f4")
            images = images.reshape(tensor["shape"])
            service.batches.append(len(images))
            service.binary.append(bool(border))
            if service.script:
                return self._send(*service.script.pop(0))
            features = service.model(images)
            output = {
                "name": service.metadata["outputs"][0]["name"],
                "datatype": "FP32",
                "shape": list(features.shape),
            }
            if not border:
                return self._say({"outputs": [{**output, "data": features.ravel().tolist()}]})
            output["parameters"] = {"binary_data_size": features.nbytes}
            head = json.dumps({"outputs": [output]}).encode()
            length = {"Inference-Header-Content-Length": str(len(head))}
            return self._send(200, head + features.tobytes(), length)

        def _take_pictures(self, said: Any) -> None:
            files = [io.BytesIO(base64.b64decode(text, validate=True)) for text in said["images"]]
            images = np.stack([np.moveaxis(np.asarray(Image.open(file)), 2, 0) for file in files])
            service.batches.append(len(images))
            if service.script:
                return self._send(*service.script.pop(0))
            features = service.model(images.astype(np.float32) / 255)
            return self._say({"features": features.tolist()})

        def _say(self, plain: Any) -> None:
            self._send(200, json.dumps(plain).encode(), {})

        def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            time.sleep(service.delay)
            if service.token and self.headers.get("Authorization") != service.token:
                status, body = 401, b'{"error": "who are you?"}'
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    service.url = f"http://127.0.0.1:{server.server_port}/v2/models/reid"
    service.pictures_url = f"http://127.0.0.1:{server.server_port}/embed"
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def dripping(first, drop):
    """Run a server whose every byte comes in time, and whose answer never does; gives its URL."""
    ended = threading.Event()

    def drip(server):
        connection, _ = server.accept()
        with connection, suppress(OSError):
            connection.recv(2**16)
            connection.sendall(first)
            while not ended.wait(0.05):
                connection.sendall(drop)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=drip, args=(server,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            ended.set()
            thread.join()
