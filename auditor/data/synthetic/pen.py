"""The synthetic people's bodies, and the pen they are drawn with."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, hypot, sin
from typing import Literal

from PIL import ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]
View = Literal["front", "back", "left", "right"]

HIP, KNEE, ANKLE, SHOULDER = 0.50, 0.725, 0.945, 0.215
"""Heights of the joints of a standing figure."""
THIGH, SHIN, UPPER_ARM, FOREARM = KNEE - HIP, ANKLE - KNEE, 0.145, 0.135


@dataclass(frozen=True, kw_only=True)
class Person:
    """What stays the same about somebody, from every side and all day long.

    Attributes:
        height: relative to the average.
        build: width relative to the average.
        skin: colour, as the others are: of hair, upper and lower garment, shoes, hat and bag.
        accent: colour of the print on the upper garment.
        print: what is on the upper garment: "plain", "zip", "band", "stripes" or "badge".
        hem: height at which the upper garment ends.
        bag_side: 1 carries a handbag on the left, −1 on the right.
        garment: below the waist: "trousers", "shorts" or "skirt".
        bag: "none", "backpack" or "handbag".
    """

    height: float
    build: float
    skin: Colour
    hair_colour: Colour
    upper: Colour
    lower: Colour
    shoes: Colour
    hat_colour: Colour
    bag_colour: Colour
    accent: Colour
    print: str
    hem: float
    bag_side: int
    long_hair: bool
    long_sleeves: bool
    garment: str
    hat: bool
    bag: str


@dataclass(frozen=True, kw_only=True)
class Pose:
    """How somebody is met.

    Attributes:
        view: which side the camera sees.
        phase: of the walking cycle, in radians.
        stride: 0 stands, 1 strides out.
        elbow: bend of the arms in radians.
    """

    view: View
    phase: float
    stride: float
    elbow: float


@dataclass(frozen=True)
class Pen:
    """Draws on a picture in body units.

    Attributes:
        draw: on the picture.
        scale: pixels per body height.
        x: pixel column of the body's axis.
        y: pixel row of the crown.
        flip: −1 mirrors the figure.
    """

    draw: ImageDraw.ImageDraw
    scale: float
    x: float
    y: float
    flip: int = 1

    def at(self, point: Point) -> Point:
        """Pixel position of a point."""
        return self.x + self.flip * self.scale * point[0], self.y + self.scale * point[1]

    def oval(self, centre: Point, rx: float, ry: float, colour: Colour) -> None:
        """Paint a filled ellipse."""
        (x, y), rx, ry = self.at(centre), rx * self.scale, ry * self.scale
        self.draw.ellipse((x - rx, y - ry, x + rx, y + ry), colour)

    def dome(self, centre: Point, rx: float, ry: float, colour: Colour) -> None:
        """Paint the upper half of an ellipse."""
        (x, y), rx, ry = self.at(centre), rx * self.scale, ry * self.scale
        self.draw.pieslice((x - rx, y - ry, x + rx, y + ry), 180, 360, colour)

    def shape(self, points: Sequence[Point], colour: Colour) -> None:
        """Paint a filled polygon."""
        self.draw.polygon([self.at(point) for point in points], colour)

    def line(self, points: Sequence[Point], width: float, colour: Colour) -> None:
        """Paint a stroke of a body-unit ``width``."""
        pixels = max(1, round(width * self.scale))
        self.draw.line([self.at(point) for point in points], colour, pixels, joint="curve")

    def box(self, corner: Point, opposite: Point, radius: float, colour: Colour) -> None:
        """Paint a filled rectangle with rounded corners."""
        (x0, y0), (x1, y1) = self.at(corner), self.at(opposite)
        bounds = (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
        self.draw.rounded_rectangle(bounds, radius * self.scale, colour)

    def limb(self, start: Point, end: Point, r0: float, r1: float, colour: Colour) -> None:
        """Paint a tapered sausage from ``start`` (radius ``r0``) to ``end`` (radius ``r1``)."""
        (x0, y0), (x1, y1) = self.at(start), self.at(end)
        r0, r1 = r0 * self.scale, r1 * self.scale
        length = hypot(x1 - x0, y1 - y0) or 1.0
        nx, ny = (y1 - y0) / length, (x0 - x1) / length
        self.draw.polygon(
            [
                (x0 + nx * r0, y0 + ny * r0),
                (x1 + nx * r1, y1 + ny * r1),
                (x1 - nx * r1, y1 - ny * r1),
                (x0 - nx * r0, y0 - ny * r0),
            ],
            colour,
        )
        self.draw.ellipse((x0 - r0, y0 - r0, x0 + r0, y0 + r0), colour)
        self.draw.ellipse((x1 - r1, y1 - r1, x1 + r1, y1 + r1), colour)


def shade(colour: Colour, factor: float) -> Colour:
    """Return a darker (factor < 1) or lighter (factor > 1) colour; black gets lighter too."""
    if factor <= 1:
        return int(colour[0] * factor), int(colour[1] * factor), int(colour[2] * factor)
    add = (factor - 1) * 120
    return (
        min(255, int(colour[0] + add)),
        min(255, int(colour[1] + add)),
        min(255, int(colour[2] + add)),
    )


def draw_leg(pen: Pen, person: Person, hip: Point, knee: Point, ankle: Point, tone: float) -> None:
    """Thigh and shin in cloth or skin."""
    wide = 0.5 + 0.5 * person.build
    cloth, skin = shade(person.lower, tone), shade(person.skin, tone)
    if person.garment == "trousers":
        pen.limb(hip, knee, 0.05 * wide, 0.038 * wide, cloth)
        pen.limb(knee, ankle, 0.038 * wide, 0.031 * wide, cloth)
        pen.limb(between(hip, knee, 0.3), knee, 0.018, 0.014, shade(cloth, 1.1))
        pen.limb(knee, between(knee, ankle, 0.9), 0.014, 0.011, shade(cloth, 1.1))
        return
    pen.limb(hip, knee, 0.045 * wide, 0.031 * wide, skin)
    pen.limb(knee, between(knee, ankle, 0.45), 0.031 * wide, 0.032 * wide, skin)
    pen.limb(between(knee, ankle, 0.45), ankle, 0.031 * wide, 0.021 * wide, skin)
    pen.limb(ankle, (ankle[0], ankle[1] + 0.012), 0.022, 0.022, shade(person.shoes, 0.85 * tone))
    if person.garment == "shorts":
        end = between(hip, knee, 0.72)
        pen.limb(hip, end, 0.054 * wide, 0.05 * wide, cloth)
        pen.limb(between(hip, knee, 0.35), end, 0.02, 0.022, shade(cloth, 1.1))


def draw_skirt(pen: Pen, person: Person, left: float, right: float, spread: float) -> None:
    """Paint a skirt from the waist to above the knee."""
    middle = (left + right) / 2
    colour, fold = person.lower, shade(person.lower, 0.82)
    pen.shape(
        [(left, 0.44), (right, 0.44), (middle + spread, 0.67), (middle, 0.684),
         (middle - spread, 0.67)], colour)  # fmt: skip
    for part in (-0.45, 0.1, 0.6):
        pen.line([(middle + part * 0.06, 0.5), (middle + part * spread, 0.672)], 0.012, fold)


def draw_arm(
    pen: Pen, person: Person, shoulder: Point, elbow: Point, hand: Point, tone: float
) -> None:
    """Upper arm, forearm and hand, in a long or a short sleeve."""
    cloth, skin = shade(person.upper, tone), shade(person.skin, tone)
    wide = 0.6 + 0.4 * person.build
    pen.oval(hand, 0.023, 0.025, skin)
    if person.long_sleeves:
        cuff = between(elbow, hand, 0.88)
        pen.limb(elbow, cuff, 0.029 * wide, 0.024 * wide, cloth)
        pen.limb(shoulder, elbow, 0.034 * wide, 0.029 * wide, cloth)
        pen.limb(elbow, cuff, 0.01, 0.008, shade(cloth, 1.1))
        return
    pen.limb(elbow, hand, 0.025 * wide, 0.018 * wide, skin)
    pen.limb(between(shoulder, elbow, 0.4), elbow, 0.027 * wide, 0.025 * wide, skin)
    cuff = between(shoulder, elbow, 0.66)
    pen.limb(shoulder, cuff, 0.034 * wide, 0.031 * wide, cloth)
    pen.limb(between(shoulder, elbow, 0.3), cuff, 0.01, 0.012, shade(cloth, 1.1))


def draw_face(pen: Pen, person: Person) -> None:
    """Eyes, cheeks and a mouth."""
    dark = shade(person.hair_colour, 0.5)
    blush = (min(255, person.skin[0] + 12), int(person.skin[1] * 0.82), int(person.skin[2] * 0.8))
    for side in (-1, 1):
        pen.oval((side * 0.03, 0.112), 0.012, 0.009, blush)
        pen.oval((side * 0.021, 0.09), 0.008, 0.011, dark)
    pen.line([(-0.014, 0.128), (0, 0.133), (0.014, 0.128)], 0.008, shade(person.skin, 0.55))


def draw_handbag(pen: Pen, person: Person, x: float, strap: bool = True) -> None:
    """Paint a bag at the hip, hanging from the shoulder."""
    colour = person.bag_colour
    pen.line([(x * 0.62, 0.185), (x * 1.12, 0.44)], 0.014, shade(colour, 0.7))
    if strap:
        pen.line([(x * 0.62, 0.185), (x * 0.8, 0.44)], 0.012, shade(colour, 0.7))
    pen.box((x - 0.062, 0.43), (x + 0.062, 0.535), 0.022, colour)
    pen.box((x - 0.062, 0.43), (x + 0.062, 0.472), 0.018, shade(colour, 0.8))
    pen.oval((x, 0.472), 0.009, 0.009, shade(colour, 1.6))


def leg_joints(phase: float, stride: float) -> tuple[Point, Point, float]:
    """Knee, ankle and the shin's angle of a leg in profile."""
    thigh = 0.46 * stride * sin(phase)
    # the leg that swings forward is the bent one
    bend = 0.06 + 0.75 * stride * max(0.0, cos(phase))
    knee = (-THIGH * sin(thigh), HIP + THIGH * cos(thigh))
    shin = thigh - bend
    return knee, (knee[0] - SHIN * sin(shin), knee[1] + SHIN * cos(shin)), shin


def between(start: Point, end: Point, part: float) -> Point:
    """Return the point that lies ``part`` of the way from ``start`` to ``end``."""
    return start[0] + part * (end[0] - start[0]), start[1] + part * (end[1] - start[1])
