"""Nothing is reported and nothing is fetched: by the imports, and by listening to an audit."""

import ast
import re
import sys
import tomllib

import pytest

from tests.integration.pages import ROOT
from tests.test_architecture import FOLDERS, imports

CLIENTS = {"urllib3", "requests", "httpx", "aiohttp", "http", "urllib", "ftplib", "smtplib",
           "huggingface_hub", "gdown", "wandb", "mlflow", "sentry_sdk", "posthog"}  # fmt: skip
"""Packages by which a program reaches others, or by which it is watched."""
PARSING = {"urllib.parse", "urllib.parse.urlsplit", "urllib.parse.unquote", "urllib.parse.quote"}
SERVICE = "auditor/models/service/"
FETCHING = re.compile(
    r"load_state_dict_from_url|from_pretrained|hf_hub_download|snapshot_download|urlretrieve|"
    r"pretrained=True|download_url"
)


def sources():
    return sorted(file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py"))


def test_only_the_client_of_a_service_can_reach_others():
    for file in sources():
        found = {n for n in imports(file) if n.partition(".")[0] in CLIENTS} - PARSING - {"urllib"}
        place = file.relative_to(ROOT).as_posix()
        assert not found or place.startswith(SERVICE), f"{place}: {sorted(found)}"


def test_no_weights_are_asked_of_a_library_that_would_fetch_them():
    for file in sources():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                assert not FETCHING.search(ast.unparse(node)), file


listening: list[str] = []
hearing = [False]


def _hear(event, arguments):
    if hearing[0] and (
        event in ("socket.getaddrinfo", "urllib.Request")
        or (event == "socket.connect" and not isinstance(arguments[1], str | bytes))
    ):
        listening.append(f"{event} {arguments}")


@pytest.fixture
def heard():
    """What this process asks of the network, from now on."""
    if not getattr(sys, "_auditor_listens", False):
        sys.addaudithook(_hear)  # which stays for good
        sys._auditor_listens = True
    listening.clear()
    hearing[0] = True
    yield listening
    hearing[0] = False


def test_an_audit_asks_nothing_of_the_network(audit, write_config, tmp_path, heard):
    code, _, stderr = audit("run", "--config", write_config(), "--out", tmp_path / "out")
    assert code in (0, 4), stderr
    assert heard == []


def test_and_it_would_be_heard(heard, audit, drawn_folder, tmp_path):
    nobody = ["--model", "http://127.0.0.1:9/v2/models/reid", "--card", "torchreid"]
    once = ["--set", "model.service.retries=0"]
    code, _, stderr = audit(
        "run", *nobody, *once, "--data", drawn_folder, "--out", tmp_path / "out"
    )
    assert (code, "does not answer" in stderr) == (2, True)
    assert heard


def test_the_lock_file_holds_packages_and_hashes_and_nothing_else():
    lines = (ROOT / ".ci" / "requirements.lock").read_text().splitlines()
    package = re.compile(r"([a-z0-9-]+)==[\w.+!]+(?: ; [\w .'<>=!]+)? \\")
    pinned = {match[1] for line in lines if (match := package.fullmatch(line))}
    others = [line for line in lines if not package.fullmatch(line)]
    assert all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?", line) for line in others)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    assert {re.match(r"[\w-]+", name)[0].lower() for name in asked} <= pinned
