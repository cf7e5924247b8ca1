"""Sphinx configuration: `sphinx-build -W docs docs/_build/html`. Needs no torch and no network."""

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

project = "re-ID privacy auditor"
author = "the authors of the re-ID privacy auditor"
extensions = ["myst_nb"]
exclude_patterns = ["_build"]
nb_execution_mode = "off"  # a test runs the notebook; what it printed is stored in it
nitpicky = True

myst_enable_extensions = ["dollarmath", "deflist", "colon_fence"]
myst_heading_anchors = 4
html_math_renderer = "mathml"

html_theme = "furo"
html_title = project
html_copy_source = False
html_show_sphinx = False


def math(writer: HTML5Translator, node: nodes.math | nodes.math_block) -> None:
    """Write a formula as MathML, which browsers draw by themselves: no script, no other server."""
    text = tex2mathml(node.astext(), as_block=isinstance(node, nodes.math_block))
    writer.body.append(f"<p>{text}</p>" if isinstance(node, nodes.math_block) else text)
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the renderer of formulas."""
    app.add_html_math_renderer("mathml", (math, None), (math, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
