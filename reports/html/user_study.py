"""The page of a quiz: pictures and lines to write on; no script, no other file, no answers."""

import base64
from pathlib import Path

from markupsafe import Markup

from auditor.artifacts.atomic import write
from auditor.user_study.quiz import Quiz
from reports.html.page import environment, load_style


def render(quiz: Quiz, path: Path) -> None:
    """Write the page, readable by its owner alone.

    Args:
        quiz: the questions.
        path: the file to write, whole or not at all.
    """
    template = environment().get_template("study.html.j2")
    page = template.render(quiz=quiz, picture=_address, **load_style("study.css"))
    write(path, page.encode(), mode=0o600)


def _address(content: bytes) -> Markup:
    return Markup("data:image/png;base64," + base64.b64encode(content).decode())
