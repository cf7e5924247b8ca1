"""What every installed renderer owes the core."""

import subprocess
import sys

import pytest

from auditor import plugins
from auditor.errors import EnvironmentUnmetError
from auditor.gates import Gate, check
from auditor.report import dumps
from tests.records import example_record

NAMES = list(plugins.installed("renderers"))
GATES = [Gate(address="none/identity/top1", limit=0.1), Gate(address="*/utility/map", limit=0.5)]


def render(name, path):
    record = example_record()
    plugins.load("renderers", name)(
        record, check(record, GATES), path, root=path.parent, reveal=False
    )
    return path.read_bytes()


def test_the_built_in_renderers_are_installed():
    assert {"html", "xlsx", "junit.xml", "md", "sarif"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_renderer_writes_one_file_and_the_same_bytes_twice(name, tmp_path):
    first = render(name, tmp_path / f"a.{name}")
    assert len(first) > 1000
    assert first == render(name, tmp_path / f"b.{name}")
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"a.{name}", f"b.{name}"]


@pytest.mark.parametrize("name", NAMES)
def test_a_renderer_that_cannot_write_says_so_and_leaves_nothing(name, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EnvironmentUnmetError, match="cannot write"):
        render(name, tmp_path / "file" / f"report.{name}")


@pytest.mark.parametrize("name", NAMES)
def test_a_renderer_imports_no_torch(name, tmp_path):
    # also not while it renders
    script = (
        "import sys\nfrom pathlib import Path\nfrom auditor import plugins\n"
        "from auditor.report import AuditReport\n"
        f"render = plugins.load('renderers', {name!r})\n"
        f"path = Path({str(tmp_path / 'report')!r})\n"
        "render(AuditReport(title='', config={}), [], path, root=path.parent, reveal=False)\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_a_renderer_leaves_the_record_as_it_was(name, tmp_path):
    record = example_record()
    verdicts = check(record, GATES)
    before = (dumps(record), list(verdicts))
    plugins.load("renderers", name)(record, verdicts, tmp_path / "x", root=tmp_path, reveal=True)
    assert (dumps(record), verdicts) == before
