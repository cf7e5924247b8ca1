"""The one-way streets between folders, and that judging needs no torch, read off the imports."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from auditor.report import dumps
from tests.records import powerful_record

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "auditor": set(),
    "attacks": {"auditor"},
    "defenses": {"auditor", "attacks"},
    "reports": {"auditor"},
}
RENDERERS_MAY_SEE = {"__version__", "errors", "report", "gates", "artifacts", "user_study"}
RENDERERS_MAY_SEE |= {"reproduction"}
FOLDERS = sorted(ALLOWED)


def imports(path: Path) -> set[str]:
    """Every module a file imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def crossings(folder: str) -> list[str]:
    """Imports of ``folder`` that go where they must not."""
    wrong = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        for name in sorted(imports(path)):
            top = name.partition(".")[0]
            if top in ALLOWED and top != folder and top not in ALLOWED[folder]:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    return wrong


@pytest.mark.parametrize("folder", FOLDERS)
def test_imports_between_folders_point_one_way(folder):
    assert crossings(folder) == []


def test_a_forbidden_import_would_be_seen(tmp_path, monkeypatch):
    planted = tmp_path / "auditor"
    planted.mkdir()
    (planted / "x.py").write_text("def f():\n    from attacks.identity import IdentityClassifier\n")
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    assert crossings("auditor")


def test_renderers_see_the_record_and_the_verdicts_alone():
    for path in sorted((ROOT / "reports").rglob("*.py")):
        for name in imports(path):
            if name.startswith("auditor."):
                assert name.split(".")[1] in RENDERERS_MAY_SEE, f"{path.name} imports {name}"
            assert name.partition(".")[0] not in {"torch", "torchvision"}


FLOORS = (
    {"allocator", "errors", "resizing", "row_blocks"},
    {"lazy_copies", "report", "releasing"},
    {"feature_cache"},
    {"statistics", "types"},
    {"console"},
    {"artifacts", "plugins"},
    {"gates"},
    {"config"},
    {"data"},
    {"embedding"},
    {"models"},
    {"metrics"},
    {"certification", "evaluation", "user_study"},
    {"training", "pipeline"},
    {"deployment", "reproduction", "api"},
    {"cli"},
    {"__main__"},
)
"""The rooms of `auditor`, lowest first; ARCHITECTURE.md says what is in each."""


def rooms_above() -> list[str]:
    """Imports between rooms of `auditor` that do not go down."""
    floor = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}
    wrong = []
    for path in sorted((ROOT / "auditor").rglob("*.py")):
        own = path.relative_to(ROOT / "auditor").with_suffix("").parts[0]
        if own == "__init__":
            continue
        for name in sorted(imports(path)):
            room = name.split(".")[1] if name.startswith("auditor.") else ""
            if room in floor and room != own and floor[room] >= floor[own]:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    return wrong


def test_every_room_of_the_core_has_a_floor():
    files = {path.stem for path in (ROOT / "auditor").glob("*.py")} - {"__init__"}
    packages = {path.parent.name for path in (ROOT / "auditor").glob("*/__init__.py")}
    assert files | packages == set().union(*FLOORS)


def test_imports_within_the_core_point_down():
    assert rooms_above() == []


def test_modules_of_the_core_form_no_cycle():
    graph = {}
    for path in (ROOT / "auditor").rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        graph[name] = {i for i in imports(path) if i.startswith("auditor")}
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " → ".join([*above[above.index(name) :], name])
        if name in done:
            return
        for child in sorted(graph[name] & graph.keys()):
            # a package's __init__ re-exports its modules; that is no dependency of theirs
            if not name.startswith(child + ".") and child != name:
                visit(child, (*above, name))
        done.add(name)

    for name in sorted(graph):
        visit(name, ())


LONGEST = 40
"""Lines of a function, its docstring aside."""
LONG = {
    "auditor/cli/defend.py defend": "its options, each with its help",
    "auditor/cli/prior.py train": "its options, each with its help",
    "auditor/cli/reproduce.py reproduce": "its options, each with its help",
    "auditor/cli/options.py configure": "its options, each with its help",
    "auditor/cli/shift.py shift": "its options, each with its help",
    "auditor/cli/train.py train": "its options, each with its help",
    "auditor/api/auditing.py audit": "17 arguments, and the settings that they are",
}
"""Functions that are longer, and why."""


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function, its docstring aside."""
    lines = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is not None:
        lines -= function.body[0].end_lineno - function.body[0].lineno + 1
    return lines


def test_functions_are_short():
    long = set()
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                if function and length(node) > LONGEST:
                    long.add(f"{path.relative_to(ROOT).as_posix()} {node.name}")
    assert long == set(LONG)


HEAVY = ("torch", "numpy", "scipy", "sklearn", "pandas", "matplotlib", "openpyxl", "jinja2")
"""What takes longer to import than all that helping, listing and judging need."""


def run_light(script, allowed=()):
    """Run ``script`` in a new interpreter that then holds nothing heavy but what is allowed."""
    heavy = set(HEAVY) - set(allowed)
    script += f"\nfound = {heavy!r} & set(sys.modules)\nassert not found, found\n"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_library_imports_nothing_beyond_python():
    run_light(
        "import sys\nbefore = set(sys.modules)\nimport auditor\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "others = new - sys.stdlib_module_names - {'auditor'}\nassert not others, others"
    )


def test_the_help_of_every_command_imports_nothing_heavy():
    said = run_light(
        "import sys\nimport typer.main\nfrom auditor.cli.main import app, execute\n"
        "def paths(command, above):\n"
        "    yield above\n"
        "    for name, inner in getattr(command, 'commands', {}).items():\n"
        "        yield from paths(inner, [*above, name])\n"
        "for path in paths(typer.main.get_command(app), []):\n"
        "    assert execute([*path, '--help']) == 0, path\n"
    )
    for path in ("run", "gate", "compare", "data check", "study score", "defend"):
        assert f"-c {path} [OPTIONS]" in said


@pytest.mark.parametrize("arguments", [["--version"], ["list"], ["schema"]], ids=" ".join)
def test_listing_imports_nothing_heavy(arguments):
    assert run_light(f"import sys\nfrom auditor.cli.main import execute\nexecute({arguments!r})")


def test_inspecting_a_file_imports_no_torch():
    file = str(ROOT / "auditor" / "models" / "reference.safetensors")
    script = f"import sys\nfrom auditor.cli.main import execute\nexecute(['inspect', {file!r}])"
    assert run_light(script, allowed=set(HEAVY) - {"torch"})


def test_comparing_records_imports_neither_torch_nor_scipy(tmp_path):
    record = tmp_path / "report.json"
    record.write_text(dumps(powerful_record()), encoding="utf-8")
    arguments = ["compare", str(record), str(record)]
    script = f"import sys\nfrom auditor.cli.main import execute\nexecute({arguments!r})"
    assert "no difference shown" in run_light(script, allowed={"numpy"})
