"""A pedestrian drawn from parameters: who it is (`Person`) and how it is seen (`Pose`).

Everything is drawn in body units: y runs from 0 (crown) to 1 (sole), x from the body's axis, so
that a figure keeps its proportions at every scale.
"""

from PIL import Image, ImageDraw

from auditor.data.synthetic.frontal import draw_frontal
from auditor.data.synthetic.pen import (
    Pen,
    Person,
    Pose,
)
from auditor.data.synthetic.profile import draw_profile


def paint_figure(
    image: Image.Image, person: Person, pose: Pose, *, scale: float, x: float, y: float
) -> None:
    """Draw ``person`` into ``image``: ``scale`` pixels tall, crown at pixel ``(x, y)``."""
    pen = Pen(ImageDraw.Draw(image), scale, x, y, -1 if pose.view == "right" else 1)
    if pose.view in ("front", "back"):
        draw_frontal(pen, person, pose)
    else:
        draw_profile(pen, person, pose)
