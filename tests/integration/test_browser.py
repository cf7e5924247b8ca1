"""The page in a real browser: axe-core, narrow screens, and Jenkins' policy.

Needs chromium; the accessibility check also ``axe-core``, from a ``node_modules`` here (``npm
install axe-core``) or named by AUDIT_TEST_AXE. What is not there is skipped.
"""

import json
import os
import re
import shutil
import subprocess
from html import escape
from pathlib import Path

import pytest

from auditor.gates import Gate, check
from reports.html import page
from tests.records import failed_record, pictured_record

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
AXE = Path(os.environ.get("AUDIT_TEST_AXE", "node_modules/axe-core/axe.min.js"))
JENKINS = "sandbox; default-src 'none'; img-src 'self'; style-src 'self';"
DARK = "--blink-settings=preferredColorScheme=0"
LIGHT = "--blink-settings=preferredColorScheme=1"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium"),
]


def shown(make) -> str:
    report = make()
    gates = [Gate(address="*/identity/top1", limit=0.1), Gate(address="*/utility/map", limit=0.5)]
    return page(report, check(report, gates), root=Path("nowhere"), reveal=False)


def without_policy(text: str) -> str:
    return re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)


def dom(text: str, tmp_path: Path, *flags: str) -> str:
    """The document after its scripts ran, as chromium prints it."""
    file = tmp_path / "page.html"
    file.write_text(text, encoding="utf-8")
    quiet = ["--disable-background-networking", "--disable-sync", "--no-first-run"]
    quiet += ["--disable-component-update", "--disable-quic"]
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", *quiet, *flags]
    command += [f"--user-data-dir={tmp_path / 'chrome'}", "--virtual-time-budget=60000"]
    done = subprocess.run(
        [*command, "--dump-dom", file.as_uri()], capture_output=True, timeout=180, check=True
    )
    return done.stdout.decode()


def answer(text: str, tmp_path: Path, script: str, *flags: str):
    """What ``script`` hands to ``tell`` on a copy of the page that may run scripts."""
    told = 'const tell = x => { document.title = "told" + JSON.stringify(x) + "!"; };'
    copy = without_policy(text).replace("</body>", f"<script>{told}{script}</script></body>")
    found = re.search(r"<title>told(.*)!</title>", dom(copy, tmp_path, *flags), re.S)
    assert found, "the script came to no end"
    return json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))


@pytest.mark.skipif(not AXE.is_file(), reason="there is no axe-core")
@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("make", [pictured_record, failed_record])
def test_axe_finds_nothing(make, scheme, tmp_path):
    # what is folded away is checked too
    text = shown(make).replace("<details>", "<details open>")
    script = (
        AXE.read_text(encoding="utf-8")
        + "axe.run({resultTypes: ['violations']}).then(r => tell(r.violations.map(v => "
        "[v.impact, v.id, v.nodes.slice(0, 3).map(n => n.html.slice(0, 200))])));"
    )
    found = answer(text, tmp_path, script, scheme)
    assert found == []  # nor anything less


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_wider_than_the_screen(width, tmp_path):
    # a headless window is never narrower than 500 pixels; a frame may be
    text = shown(pictured_record).replace("<details>", "<details open>")
    frame = f'<iframe id="f" width="{width}" height="800" srcdoc="{escape(without_policy(text))}">'
    script = (
        "const f = document.getElementById('f'); const look = () => { const d = f.contentDocument;"
        "tell([d.documentElement.scrollWidth, f.clientWidth, d.title.length]); };"
        "f.onload = look;"
    )
    head = "<!doctype html><html><head><title>x</title></head>"
    outer = f"{head}<body>{frame}</iframe></body></html>"
    wide, screen, title = answer(outer, tmp_path, script)
    assert title > 20
    assert wide <= screen


def test_the_page_reads_under_jenkins_policy(tmp_path):
    """No style, no embedded picture: the order, the words and the drawings are still there."""
    policy = f'<meta http-equiv="Content-Security-Policy" content="{JENKINS}">'
    text = shown(pictured_record).replace("<head>", f"<head>{policy}")
    seen = dom(text, tmp_path)
    words = ["Verdict", "Scope and release context", "Threat models", "Results", "Power cert"]
    places = [seen.index(f"{word}", seen.index("<main>")) for word in words]
    assert places == sorted(places)
    for drawing in re.findall(r"<svg[^>]*role=[^>]*>", seen):
        assert re.search(r'width="\d+" height="\d+"', drawing)
