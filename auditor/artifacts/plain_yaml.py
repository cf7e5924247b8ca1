"""YAML as a configuration needs it: plain values, every key once, and no bombs."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from auditor.console import printable
from auditor.errors import UsageError

LARGEST = 2**20
"""Bytes of a file; the longest real policies have some ten thousand."""
MOST_VALUES = 100_000
"""Values of a file once its aliases are written out; aliases of aliases grow without limit."""


class PlainLoader(yaml.SafeLoader):
    """Plain YAML in which no key is given twice, and nothing grows out of aliases."""

    def get_single_node(self) -> yaml.Node | None:
        """See the base class; refuses what its aliases blow up."""
        node: yaml.Node | None = super().get_single_node()
        if node is not None and _values(node, {}) > MOST_VALUES:
            raise yaml.MarkedYAMLError(
                problem=f"its aliases stand for more than {MOST_VALUES} values",
                problem_mark=node.start_mark,
            )
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """See the base class; refuses a key that is given twice."""
        seen = set()
        for key, _ in node.value:
            if key.value != "<<" and isinstance(key.value, str):
                if key.value in seen:
                    raise yaml.MarkedYAMLError(
                        problem=f"the key {printable(key.value, 80)!r} is given twice",
                        problem_mark=key.start_mark,
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _values(node: yaml.Node, known: dict[int, float]) -> float:
    """Return how many values a node stands for; without limit if it contains itself."""
    if id(node) not in known:
        known[id(node)] = float("inf")
        parts: list[yaml.Node] = []
        if isinstance(node, yaml.SequenceNode):
            parts = node.value
        elif isinstance(node, yaml.MappingNode):
            parts = [part for pair in node.value for part in pair]
        known[id(node)] = 1 + sum(_values(part, known) for part in parts)
    return known[id(node)]


def read(path: Path) -> Any:
    """Return the plain content of a YAML file.

    Raises:
        UsageError: if it cannot be read, or is no plain YAML.
    """
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is not a file")  # a pipe, for one, might never answer
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise UsageError(f"{path} has more than {LARGEST} bytes, too many for a configuration")
        return loads(content.decode("utf-8"), str(path))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not YAML: it is not UTF-8 text") from None


def loads(text: str, source: str) -> Any:
    """Return the plain content of YAML.

    Raises:
        UsageError: if it is no plain YAML.
    """
    try:
        return yaml.load(text, Loader=PlainLoader)
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError) as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        place = f", line {mark.line + 1}" if mark else ""
        said = printable(str(problem or error), 200)
        raise UsageError(f"{source} is not YAML{place}: {said}") from None
