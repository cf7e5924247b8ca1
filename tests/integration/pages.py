"""Reads README and the pages of docs/ as a reader would follow them: block by block, in order.

A page is Markdown that reads well without the site, too. What a block is for follows from its
fence:

* ``console``: lines that begin with ``$`` are commands, the lines below one show what it prints;
* ``bash``: every line is a command;
* a block that begins with ``# NAME`` and an ending, such as ``# gates.yaml``: a file of that name,
  written before the commands below it run;
* a comment ``<!-- not run: REASON -->`` right above keeps a block from being run; its commands are
  checked to parse;
* ``<!-- set-up: NAME … -->``: what a reader has at hand already; see `test_docs`.
"""

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMAND_LANGUAGES = ("console", "bash")

FENCE = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^>]+?) -->\n+)?"
    r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
FILE = re.compile(r"# (\S+\.(?:yaml|toml|py))\n")


@dataclass(frozen=True, kw_only=True)
class Command:
    """One line to type, and what a page shows below it."""

    text: str
    shown: tuple[str, ...] = ()

    @property
    def parts(self) -> list[list[str]]:
        """The words of each command that ``&&`` joins."""
        return [shlex.split(part) for part in self.text.split("&&")]


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block of a page; ``reason`` is why it is not run, if it is not."""

    language: str
    body: str
    line: int
    file: str = ""
    reason: str = ""

    @property
    def commands(self) -> list[Command]:
        """What a reader types."""
        if self.language not in COMMAND_LANGUAGES:
            return []
        lines = self.body.replace("\\\n", " ").splitlines()
        if self.language == "bash":
            texts = [line.partition("  #")[0].strip() for line in lines]
            return [Command(text=text) for text in texts if text and not text.startswith("#")]
        found: list[tuple[str, list[str]]] = []
        for line in lines:
            if line.startswith("$ "):
                found.append((line[2:].partition("  #")[0].strip(), []))
            elif line.strip():
                found[-1][1].append(line)
        return [Command(text=text, shown=tuple(shown)) for text, shown in found]


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page: its blocks in order, and what must be at hand to follow it."""

    path: Path
    text: str = field(repr=False)
    blocks: tuple[Block, ...]
    props: tuple[str, ...]

    def __str__(self) -> str:
        return str(self.path.relative_to(ROOT)) if ROOT in self.path.parents else self.path.name

    @property
    def commands(self) -> list[Command]:
        """Every command of the page, also those that are not run."""
        return [command for block in self.blocks for command in block.commands]


def read(path: Path) -> Page:
    """The page at ``path``."""
    text = path.read_text(encoding="utf-8")
    props = " ".join(re.findall(r"<!-- set-up: (.+?) -->", text)).split()
    blocks = tuple(_block(found, text) for found in FENCE.finditer(text))
    return Page(path=path, text=text, blocks=blocks, props=tuple(props))


def _block(found: re.Match[str], text: str) -> Block:
    named = FILE.match(found["body"])
    return Block(
        language=found["info"].strip(),
        body=found["body"],
        line=text.count("\n", 0, found.start("info")) + 1,
        file=named[1] if named else "",
        reason=found["reason"] or "",
    )
