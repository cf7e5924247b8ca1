"""What README and the notebook say of the Python package is what it does: both are run."""

import ast
import os
import re
import subprocess
import sys

import nbformat
import pytest

import auditor
from auditor.data.synthetic.world import save_world
from tests import worlds
from tests.integration.pages import ROOT
from tests.unit.auditor.api.own import NearestPicture, Net

NOTEBOOK = ROOT / "docs" / "tutorial" / "python.ipynb"
RUN = """
import sys
import nbformat
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[2])
"""


def test_the_lines_of_readme_run(tmp_path, monkeypatch):
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    save_world(worlds.few(), tmp_path / "data" / "market")
    monkeypatch.chdir(tmp_path)
    known = {"net": Net(), "MyAttack": NearestPicture}
    *statements, last = ast.parse(block).body
    exec(compile(ast.Module(statements, []), "README.md", "exec"), known)
    report = known["report"]
    assert isinstance(report["noise/nearest_picture/top1"], auditor.Measurement)
    assert (tmp_path / "out" / "report.html").is_file()
    with pytest.raises(auditor.VerdictError, match="verdict"):  # nobody knows which eight people
        exec(compile(ast.Module([last], []), "README.md", "exec"), known)


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The notebook, run afresh in a kernel of its own."""
    out = tmp_path_factory.mktemp("notebook") / "python.ipynb"
    quiet = {**os.environ, "PYTHONWARNINGS": "default"}
    command = [sys.executable, "-c", RUN, str(NOTEBOOK), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=out.parent, env=quiet)
    assert done.returncode == 0, done.stderr[-3000:]
    return nbformat.read(out, as_version=4)


def test_the_notebook_runs_and_shows_what_it_says(executed):
    kinds = [set(output.get("data", ())) for cell in cells(executed) for output in cell.outputs]
    assert any("image/png" in kind for kind in kinds)
    framed = [
        output.data["text/html"]
        for cell in cells(executed)
        for output in cell.outputs
        if "<iframe sandbox" in output.get("data", {}).get("text/html", "")
    ]
    assert len(framed) >= 2
    assert "verdict: FAIL" in printed(executed)
    # its own attack is certified by the default controls
    assert re.search(r"named; it recovers (0\.9|1\.0)", printed(executed))


def test_the_stored_notebook_is_the_one_that_runs(executed):
    stored = nbformat.read(NOTEBOOK, as_version=4)
    for cell, again in zip(cells(stored), cells(executed), strict=True):
        kinds, kinds_again = (
            [output.output_type for output in found.outputs if output.get("name") != "stderr"]
            for found in (cell, again)
        )
        assert kinds == kinds_again, cell.source


def cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(notebook):
    outputs = [output for cell in cells(notebook) for output in cell.outputs]
    return "".join(o.text for o in outputs if o.output_type == "stream" and o.name == "stdout")
