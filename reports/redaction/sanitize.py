"""Makes a stranger's text safe to show: no control characters, no tricks of direction, no folders.

Names of files, people and models come from outside. What XML cannot hold, what a terminal or a page
would obey, and the folders somebody keeps their models in, never reach a rendered report.
"""

import re

REPLACEMENT = "\ufffd"
LONGEST = 2_000
"""Characters of one text on a page; nobody reads more, and a longer name breaks the layout."""

_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters but tab and newline
    "\ud800-\udfff\ufffe\uffff"  # halves of a character, and what XML does not know
    "\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]"  # marks that turn the writing direction
)
_FOLDERS = re.compile(r"(?<![^\s'\"`(=\[,:])(?:[A-Za-z]:[\\/]|~?/)(?:[^\s/\\'\"<>|]+[/\\])+")


def clean(text: str, longest: int = LONGEST) -> str:
    r"""Return ``text`` without forbidden characters and folders, cut at ``longest`` characters.

    >>> clean("cannot open '/home/someone/models/best.pth'\x00")
    "cannot open '…/best.pth'�"
    >>> clean("none/identity/top1")
    'none/identity/top1'
    """
    shown = _FOLDERS.sub("…/", _FORBIDDEN.sub(REPLACEMENT, text[: longest + 1]))
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"
