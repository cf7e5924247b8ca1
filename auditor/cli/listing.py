"""Summaries of the installed plug-ins, read from their source so that no plug-in is imported.

An attack imports torch and more, which takes seconds; its summary is the first line of a docstring.
"""

import ast
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path

from auditor import plugins


def summaries() -> dict[str, list[tuple[str, str]]]:
    """Kind -> rows of (name, one-line summary), sorted by name."""
    kinds: tuple[plugins.Kind, ...] = ("attacks", "defenses", "renderers")
    return {
        kind: [(name, _summary(entry)) for name, entry in plugins.installed(kind).items()]
        for kind in kinds
    }


def _summary(entry: EntryPoint) -> str:
    return _docstring(entry.module, entry.attr) or "(no description)"


def _docstring(module: str, name: str, depth: int = 3) -> str:
    """First docstring line of ``name`` in ``module``, following re-exports a few steps."""
    path = _source(module)
    if path is None:
        return ""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return (ast.get_docstring(node) or "").partition("\n")[0]
        if isinstance(node, ast.ImportFrom) and node.module and not node.level and depth:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return _docstring(node.module, alias.name, depth - 1)
    return ""


def _source(module: str) -> Path | None:
    """Find a module's file from its top-level package alone, as `find_spec` runs the parents."""
    top, *rest = module.split(".")
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.origin.endswith(".py") else None
    base = Path(spec.origin).parent.joinpath(*rest)
    for candidate in (base.with_suffix(".py"), base / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None
