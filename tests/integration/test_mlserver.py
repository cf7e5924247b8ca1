"""A server that others wrote: MLServer, in an environment of its own, runs a model and is audited.

``MLSERVER`` may name its command; otherwise it is installed, which needs a package index.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch

from auditor.config import ModelConfig, ServiceConfig
from auditor.pipeline.inputs import meter_of, open_configured
from tests.service import thumbnail

pytestmark = pytest.mark.slow
MODEL = Path(__file__).parent / "mlserver_model"
CARD = {"height": 32, "width": 16, "mean": [0, 0, 0], "std": [1, 1, 1]}


@pytest.fixture(scope="session")
def command(tmp_path_factory):
    if "MLSERVER" in os.environ:
        return os.environ["MLSERVER"]
    home = tmp_path_factory.mktemp("mlserver")
    subprocess.run([sys.executable, "-m", "venv", home], check=True)
    install = [home / "bin" / "pip", "install", "--quiet", "mlserver"]
    done = subprocess.run(install, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"MLServer does not install here: {done.stderr.strip()[-200:]}")
    return str(home / "bin" / "mlserver")


@pytest.fixture
def url(command, tmp_path):
    shutil.copytree(MODEL, tmp_path / "models")
    http, grpc, metrics = _free_ports(3)
    settings = {
        "host": "127.0.0.1",
        **{"http_port": http, "grpc_port": grpc, "metrics_port": metrics},
        "parallel_workers": 0,
    }
    (tmp_path / "models" / "settings.json").write_text(json.dumps(settings))
    log = (tmp_path / "log").open("w")
    server = subprocess.Popen(
        [command, "start", "models"], cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT
    )
    try:
        _wait_for(f"http://127.0.0.1:{http}/v2/models/reid/ready", server, tmp_path / "log")
        yield f"http://127.0.0.1:{http}/v2/models/reid"
    finally:
        server.terminate()
        server.wait(20)
        log.close()


def _free_ports(count):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def _wait_for(url, server, log, seconds=120):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.5)
    pytest.fail(f"MLServer does not start: {log.read_text()[-2000:]}")


def test_mlserver_gives_the_models_features(url):
    config = ModelConfig(service=ServiceConfig(url=url, batch=4, budget=20), card=CARD)
    model = open_configured(config, torch.device("cpu"))
    images = torch.rand(9, 3, 32, 16, generator=torch.Generator().manual_seed(0))
    assert np.allclose(model.extractor(images), thumbnail(images.numpy()), atol=1e-6)
    assert meter_of(model).spent == 11  # with the two of the trial run
