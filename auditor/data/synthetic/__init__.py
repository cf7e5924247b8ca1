"""Synthetic people: a re-ID dataset without anybody in it, for demos, tests and controls."""

from auditor.data.synthetic.figure import draw_figure
from auditor.data.synthetic.pen import Person, Pose
from auditor.data.synthetic.world import ATTRIBUTES, draw_world, make_person, take_picture

__all__ = [
    "ATTRIBUTES",
    "Person",
    "Pose",
    "draw_figure",
    "draw_world",
    "make_person",
    "take_picture",
]
