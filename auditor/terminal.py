"""Text from outside on a terminal, which obeys what it is sent."""

REPLACEMENT = "\ufffd"


def printable(text: str, longest: int = 1000) -> str:
    r"""``text`` on one line, without anything that a terminal would obey, cut with an ellipsis.

    >>> printable("none/\x1b[2Jidentity\n"), printable("x" * 9, 5)
    ('none/�[2Jidentity�', 'xxxx…')
    """
    shown = "".join(sign if sign.isprintable() else REPLACEMENT for sign in text[: longest + 1])
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"
