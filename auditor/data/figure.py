"""A pedestrian drawn from parameters: who it is (`Person`) and how it is seen (`Pose`).

Everything is drawn in body units: y runs from 0 (crown) to 1 (sole), x from the body's axis, so
that a figure keeps its proportions at every scale.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, hypot, pi, sin
from typing import Literal

from PIL import Image, ImageDraw

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
        """A filled ellipse."""
        (x, y), rx, ry = self.at(centre), rx * self.scale, ry * self.scale
        self.draw.ellipse((x - rx, y - ry, x + rx, y + ry), colour)

    def dome(self, centre: Point, rx: float, ry: float, colour: Colour) -> None:
        """The upper half of an ellipse."""
        (x, y), rx, ry = self.at(centre), rx * self.scale, ry * self.scale
        self.draw.pieslice((x - rx, y - ry, x + rx, y + ry), 180, 360, colour)

    def shape(self, points: Sequence[Point], colour: Colour) -> None:
        """A filled polygon."""
        self.draw.polygon([self.at(point) for point in points], colour)

    def line(self, points: Sequence[Point], width: float, colour: Colour) -> None:
        """A stroke of a body-unit ``width``."""
        pixels = max(1, round(width * self.scale))
        self.draw.line([self.at(point) for point in points], colour, pixels, joint="curve")

    def box(self, corner: Point, opposite: Point, radius: float, colour: Colour) -> None:
        """A filled rectangle with rounded corners."""
        (x0, y0), (x1, y1) = self.at(corner), self.at(opposite)
        bounds = (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
        self.draw.rounded_rectangle(bounds, radius * self.scale, colour)

    def limb(self, start: Point, end: Point, r0: float, r1: float, colour: Colour) -> None:
        """A tapered sausage from ``start`` (radius ``r0``) to ``end`` (radius ``r1``)."""
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
    """A darker (factor < 1) or lighter (factor > 1) colour; black gets lighter too."""
    if factor <= 1:
        return int(colour[0] * factor), int(colour[1] * factor), int(colour[2] * factor)
    add = (factor - 1) * 120
    return (
        min(255, int(colour[0] + add)),
        min(255, int(colour[1] + add)),
        min(255, int(colour[2] + add)),
    )


def draw_figure(
    image: Image.Image, person: Person, pose: Pose, *, scale: float, x: float, y: float
) -> None:
    """Draw ``person`` into ``image``: ``scale`` pixels tall, crown at pixel ``(x, y)``."""
    pen = Pen(ImageDraw.Draw(image), scale, x, y, -1 if pose.view == "right" else 1)
    if pose.view in ("front", "back"):
        _frontal(pen, person, pose)
    else:
        _profile(pen, person, pose)


def _frontal(pen: Pen, person: Person, pose: Pose) -> None:
    """Somebody coming (front) or going (back)."""
    front = pose.view == "front"
    swing = pose.stride * sin(pose.phase)
    side = 1 if swing > 0 else -1
    if person.bag == "backpack" and front:
        pen.box((-0.105 * person.build, 0.2), (0.105 * person.build, 0.42), 0.03, person.bag_colour)
    if person.long_hair and front:
        pen.box((-0.07, 0.06), (0.07, 0.245), 0.045, shade(person.hair_colour, 0.8))
    _leg_frontal(pen, person, side, abs(swing), 0.84)
    _leg_frontal(pen, person, -side, 0.0, 1.0)
    _torso_frontal(pen, person, front)
    _arm_frontal(pen, person, side, abs(swing), pose.elbow)
    _arm_frontal(pen, person, -side, -abs(swing), pose.elbow)
    if person.bag == "backpack":
        _backpack_frontal(pen, person, front)
    _head_frontal(pen, person, front)
    if person.bag == "handbag":
        _handbag(pen, person, person.bag_side * (0.135 if front else -0.135) * person.build, front)


def _leg_frontal(pen: Pen, person: Person, side: int, lift: float, tone: float) -> None:
    """A leg seen from the front; the hind one (``lift`` > 0) is foreshortened and darker."""
    x = side * 0.043 * person.build
    knee = (x + side * 0.006, KNEE - 0.02 * lift)
    ankle = (x + side * (0.004 - 0.012 * lift), ANKLE - 0.06 * lift)
    pen.oval((ankle[0] + side * 0.006, ankle[1] + 0.032), 0.027, 0.024, shade(person.shoes, tone))
    _leg(pen, person, (x, HIP + 0.01), knee, ankle, tone)


def _leg(pen: Pen, person: Person, hip: Point, knee: Point, ankle: Point, tone: float) -> None:
    """Thigh and shin in cloth or skin."""
    wide = 0.5 + 0.5 * person.build
    cloth, skin = shade(person.lower, tone), shade(person.skin, tone)
    if person.garment == "trousers":
        pen.limb(hip, knee, 0.05 * wide, 0.038 * wide, cloth)
        pen.limb(knee, ankle, 0.038 * wide, 0.031 * wide, cloth)
        pen.limb(_between(hip, knee, 0.3), knee, 0.018, 0.014, shade(cloth, 1.1))
        pen.limb(knee, _between(knee, ankle, 0.9), 0.014, 0.011, shade(cloth, 1.1))
        return
    pen.limb(hip, knee, 0.045 * wide, 0.031 * wide, skin)
    pen.limb(knee, _between(knee, ankle, 0.45), 0.031 * wide, 0.032 * wide, skin)
    pen.limb(_between(knee, ankle, 0.45), ankle, 0.031 * wide, 0.021 * wide, skin)
    pen.limb(ankle, (ankle[0], ankle[1] + 0.012), 0.022, 0.022, shade(person.shoes, 0.85 * tone))
    if person.garment == "shorts":
        end = _between(hip, knee, 0.72)
        pen.limb(hip, end, 0.054 * wide, 0.05 * wide, cloth)
        pen.limb(_between(hip, knee, 0.35), end, 0.02, 0.022, shade(cloth, 1.1))


def _torso_frontal(pen: Pen, person: Person, front: bool) -> None:
    """Pelvis, skirt and upper garment."""
    b, hem, upper = person.build, person.hem, person.upper
    if person.garment == "skirt":
        _skirt(pen, person, -0.085 * b, 0.085 * b, 0.125 * b)
    else:
        pen.limb((-0.045 * b, 0.49), (0.045 * b, 0.49), 0.045 * b, 0.045 * b, person.lower)
    pen.limb((0, 0.13), (0, 0.19), 0.028, 0.033, shade(person.skin, 0.85))
    shoulder, waist = 0.092 * b, 0.076 * b + 0.012 * (b - 1)
    pen.oval((-shoulder, SHOULDER + 0.004), 0.034, 0.034, upper)
    pen.oval((shoulder, SHOULDER + 0.004), 0.034, 0.034, upper)
    pen.shape(
        [
            (-0.036, 0.17), (0.036, 0.17), (shoulder, 0.186), (shoulder + 0.024, 0.225),
            (waist, 0.385), (0.089 * b, hem), (-0.089 * b, hem), (-waist, 0.385),
            (-shoulder - 0.024, 0.225), (-shoulder, 0.186),
        ],
        upper,
    )  # fmt: skip
    _print_frontal(pen, person, front, waist)
    fold = shade(upper, 0.82)
    pen.line([(-0.089 * b, hem - 0.008), (0.089 * b, hem - 0.008)], 0.014, fold)
    pen.line([(shoulder - 0.012, 0.27), (waist - 0.012, 0.4), (0.075 * b, hem)], 0.012, fold)
    if front:
        pen.shape([(-0.034, 0.172), (0.034, 0.172), (0, 0.22)], shade(person.skin, 0.95))


def _print_frontal(pen: Pen, person: Person, front: bool, waist: float) -> None:
    """What is printed or sewn on the upper garment."""
    colour = person.accent
    if person.print == "band":
        pen.shape([(-waist - 0.018, 0.28), (waist + 0.018, 0.28), (waist + 0.008, 0.33),
                   (-waist - 0.008, 0.33)], colour)  # fmt: skip
    elif person.print == "stripes":
        for y in (0.265, 0.325, 0.385, 0.445):
            pen.line([(-waist - 0.004, y), (waist + 0.004, y)], 0.018, colour)
    elif person.print == "zip" and front:
        pen.line([(0, 0.2), (0, person.hem)], 0.016, colour)
    elif person.print == "badge" and front:
        pen.oval((0, 0.3), 0.036, 0.036, colour)


def _skirt(pen: Pen, person: Person, left: float, right: float, spread: float) -> None:
    """A skirt from the waist to above the knee."""
    middle = (left + right) / 2
    colour, fold = person.lower, shade(person.lower, 0.82)
    pen.shape(
        [(left, 0.44), (right, 0.44), (middle + spread, 0.67), (middle, 0.684),
         (middle - spread, 0.67)], colour)  # fmt: skip
    for part in (-0.45, 0.1, 0.6):
        pen.line([(middle + part * 0.06, 0.5), (middle + part * spread, 0.672)], 0.012, fold)


def _arm_frontal(pen: Pen, person: Person, side: int, swing: float, elbow: float) -> None:
    """An arm seen from the front; swinging it fore or aft shortens it."""
    shoulder = (side * (0.094 * person.build + 0.006), SHOULDER + 0.008)
    joint = (shoulder[0] + side * (0.028 + 0.02 * elbow), shoulder[1] + UPPER_ARM)
    reach = FOREARM * (1 - 0.25 * max(0.0, swing) - 0.2 * elbow)
    hand = (joint[0] - side * (0.04 * elbow - 0.008), joint[1] + reach)
    _arm(pen, person, shoulder, joint, hand, 0.9 if swing < 0 else 0.96)


def _arm(pen: Pen, person: Person, shoulder: Point, elbow: Point, hand: Point, tone: float) -> None:
    """Upper arm, forearm and hand, in a long or a short sleeve."""
    cloth, skin = shade(person.upper, tone), shade(person.skin, tone)
    wide = 0.6 + 0.4 * person.build
    pen.oval(hand, 0.023, 0.025, skin)
    if person.long_sleeves:
        cuff = _between(elbow, hand, 0.88)
        pen.limb(elbow, cuff, 0.029 * wide, 0.024 * wide, cloth)
        pen.limb(shoulder, elbow, 0.034 * wide, 0.029 * wide, cloth)
        pen.limb(elbow, cuff, 0.01, 0.008, shade(cloth, 1.1))
        return
    pen.limb(elbow, hand, 0.025 * wide, 0.018 * wide, skin)
    pen.limb(_between(shoulder, elbow, 0.4), elbow, 0.027 * wide, 0.025 * wide, skin)
    cuff = _between(shoulder, elbow, 0.66)
    pen.limb(shoulder, cuff, 0.034 * wide, 0.031 * wide, cloth)
    pen.limb(_between(shoulder, elbow, 0.3), cuff, 0.01, 0.012, shade(cloth, 1.1))


def _head_frontal(pen: Pen, person: Person, front: bool) -> None:
    """Head, hair and hat from the front or from behind."""
    hair, skin = person.hair_colour, person.skin
    if front:
        pen.oval((0, 0.075), 0.061, 0.069, hair)
        pen.oval((-0.052, 0.095), 0.011, 0.016, shade(skin, 0.9))
        pen.oval((0.052, 0.095), 0.011, 0.016, shade(skin, 0.9))
        pen.oval((0, 0.09), 0.052, 0.066, skin)
        _face(pen, person)
        pen.dome((0, 0.066), 0.055, 0.058, hair)
        if person.long_hair:
            pen.limb((-0.055, 0.07), (-0.058, 0.21), 0.016, 0.02, hair)
            pen.limb((0.055, 0.07), (0.058, 0.21), 0.016, 0.02, hair)
    else:
        pen.oval((0, 0.085), 0.055, 0.07, skin)
        pen.oval((0, 0.073), 0.062, 0.07, hair)
        if person.long_hair:
            pen.box((-0.062, 0.07), (0.062, 0.275), 0.04, hair)
            pen.line([(0.0, 0.12), (0.0, 0.26)], 0.01, shade(hair, 1.2))
        pen.line([(-0.03, 0.03), (0.01, 0.018)], 0.012, shade(hair, 1.25))
    if person.hat:
        pen.dome((0, 0.06), 0.066, 0.068, person.hat_colour)
        brim = shade(person.hat_colour, 0.75)
        pen.line([(-0.066, 0.058), (0.066, 0.058)], 0.016 if front else 0.01, brim)
        if front:
            pen.oval((0, 0.064), 0.05, 0.014, brim)


def _face(pen: Pen, person: Person) -> None:
    """Eyes, cheeks and a mouth."""
    dark = shade(person.hair_colour, 0.5)
    blush = (min(255, person.skin[0] + 12), int(person.skin[1] * 0.82), int(person.skin[2] * 0.8))
    for side in (-1, 1):
        pen.oval((side * 0.03, 0.112), 0.012, 0.009, blush)
        pen.oval((side * 0.021, 0.09), 0.008, 0.011, dark)
    pen.line([(-0.014, 0.128), (0, 0.133), (0.014, 0.128)], 0.008, shade(person.skin, 0.55))


def _backpack_frontal(pen: Pen, person: Person, front: bool) -> None:
    """Straps from the front, the whole bag from behind."""
    b, colour = person.build, person.bag_colour
    if front:
        for side in (-1, 1):
            top, end = (side * 0.062 * b, 0.18), (side * 0.07 * b, 0.39)
            pen.line([top, (side * 0.064 * b, 0.3), end], 0.024, colour)
        return
    pen.box((-0.082 * b, 0.195), (0.082 * b, 0.435), 0.045, colour)
    pen.box((-0.06 * b, 0.33), (0.06 * b, 0.42), 0.02, shade(colour, 0.78))
    pen.line([(-0.058 * b, 0.27), (0.058 * b, 0.27)], 0.01, shade(colour, 0.65))
    pen.line([(-0.055 * b, 0.22), (0.03 * b, 0.212)], 0.012, shade(colour, 1.25))


def _handbag(pen: Pen, person: Person, x: float, strap: bool = True) -> None:
    """A bag at the hip, hanging from the shoulder."""
    colour = person.bag_colour
    pen.line([(x * 0.62, 0.185), (x * 1.12, 0.44)], 0.014, shade(colour, 0.7))
    if strap:
        pen.line([(x * 0.62, 0.185), (x * 0.8, 0.44)], 0.012, shade(colour, 0.7))
    pen.box((x - 0.062, 0.43), (x + 0.062, 0.535), 0.022, colour)
    pen.box((x - 0.062, 0.43), (x + 0.062, 0.472), 0.018, shade(colour, 0.8))
    pen.oval((x, 0.472), 0.009, 0.009, shade(colour, 1.6))


def _profile(pen: Pen, person: Person, pose: Pose) -> None:
    """Somebody walking past, to the left; the pen mirrors it for the right."""
    near = 1 if pose.view == "left" else -1
    far_leg, near_leg = (
        _leg_joints(pose.phase + pi, pose.stride),
        _leg_joints(pose.phase, pose.stride),
    )
    sink = ANKLE - max(far_leg[1][1], near_leg[1][1])
    pen = Pen(pen.draw, pen.scale, pen.x, pen.y + sink * pen.scale, pen.flip)
    handbag = person.bag == "handbag"
    _arm_profile(pen, person, pose, 1, 0.76)
    if handbag and person.bag_side != near:
        _handbag(pen, person, -0.062, strap=False)
    _leg_profile(pen, person, far_leg, 0.76)
    if person.bag == "backpack":
        _backpack_profile(pen, person)
    if person.garment == "skirt":
        _leg_profile(pen, person, near_leg, 1.0)
        _skirt(pen, person, -0.062 * person.build, 0.062 * person.build, 0.1 * person.build)
    else:
        _leg_profile(pen, person, near_leg, 1.0)
    _torso_profile(pen, person)
    _head_profile(pen, person)
    _arm_profile(pen, person, pose, -1, 0.92)
    if handbag and person.bag_side == near:
        _handbag(pen, person, 0.035)


def _leg_joints(phase: float, stride: float) -> tuple[Point, Point, float]:
    """Knee, ankle and the shin's angle of a leg in profile."""
    thigh = 0.46 * stride * sin(phase)
    # the leg that swings forward is the bent one
    bend = 0.06 + 0.75 * stride * max(0.0, cos(phase))
    knee = (-THIGH * sin(thigh), HIP + THIGH * cos(thigh))
    shin = thigh - bend
    return knee, (knee[0] - SHIN * sin(shin), knee[1] + SHIN * cos(shin)), shin


def _leg_profile(pen: Pen, person: Person, joints: tuple[Point, Point, float], tone: float) -> None:
    """A leg and its shoe from the side."""
    knee, ankle, shin = joints
    turn = min(0.0, shin) * 0.8
    heel = (ankle[0] + 0.012, ankle[1] + 0.03)
    toe = (heel[0] - 0.066 * cos(turn), heel[1] - 0.066 * sin(turn) + 0.004)
    pen.limb(heel, toe, 0.023, 0.018, shade(person.shoes, tone))
    _leg(pen, person, (0, HIP), knee, ankle, tone)


def _torso_profile(pen: Pen, person: Person) -> None:
    """Pelvis and upper garment from the side."""
    b, upper, hem = person.build, person.upper, person.hem
    if person.garment != "skirt":
        pen.limb((0, 0.48), (0, 0.5), 0.06 * b, 0.058 * b, person.lower)
    pen.limb((0.002, 0.13), (0.006, 0.19), 0.027, 0.034, shade(person.skin, 0.82))
    pen.limb((0.002, 0.245), (0, 0.42), 0.064 * b, 0.062 * b, upper)
    pen.limb((0.006, 0.205), (0.004, 0.25), 0.04, 0.062 * b, upper)
    pen.shape([(-0.062 * b, 0.4), (0.062 * b, 0.4), (0.066 * b, hem), (-0.066 * b, hem)], upper)
    if person.print == "band":
        pen.shape([(-0.064 * b, 0.28), (0.064 * b, 0.28), (0.063 * b, 0.33), (-0.063 * b, 0.33)],
                  person.accent)  # fmt: skip
    elif person.print == "stripes":
        for y in (0.265, 0.325, 0.385, 0.445):
            pen.line([(-0.062 * b, y), (0.062 * b, y)], 0.018, person.accent)
    fold = shade(upper, 0.82)
    pen.line([(0.05 * b, 0.26), (0.05 * b, hem)], 0.016, fold)
    pen.line([(-0.066 * b, hem - 0.008), (0.066 * b, hem - 0.008)], 0.014, fold)


def _arm_profile(pen: Pen, person: Person, pose: Pose, sign: int, tone: float) -> None:
    """An arm from the side, swinging against the leg of its own side."""
    angle = sign * 0.5 * pose.stride * sin(pose.phase)
    shoulder = (0.006, SHOULDER + 0.012)
    elbow = (shoulder[0] - UPPER_ARM * sin(angle), shoulder[1] + UPPER_ARM * cos(angle))
    angle += 0.1 + pose.elbow
    hand = (elbow[0] - FOREARM * sin(angle), elbow[1] + FOREARM * cos(angle))
    _arm(pen, person, shoulder, elbow, hand, tone)


def _head_profile(pen: Pen, person: Person) -> None:
    """Head, hair and hat from the side, looking left."""
    hair, skin = person.hair_colour, person.skin
    if person.long_hair:
        pen.limb((0.035, 0.08), (0.046, 0.235), 0.034, 0.03, hair)
    pen.oval((0.008, 0.074), 0.06, 0.07, hair)
    pen.oval((-0.006, 0.09), 0.05, 0.063, skin)
    pen.limb((-0.05, 0.095), (-0.059, 0.102), 0.01, 0.008, skin)
    pen.oval((-0.032, 0.087), 0.007, 0.011, shade(hair, 0.5))
    pen.line([(-0.046, 0.127), (-0.03, 0.13)], 0.008, shade(skin, 0.55))
    pen.shape([(0.0, 0.03), (0.064, 0.05), (0.06, 0.11), (0.03, 0.138), (0.018, 0.09)], hair)
    pen.dome((0.0, 0.06), 0.057, 0.056, hair)
    pen.oval((0.012, 0.097), 0.011, 0.015, shade(skin, 0.88))
    if person.hat:
        pen.dome((0.003, 0.06), 0.064, 0.068, person.hat_colour)
        brim = shade(person.hat_colour, 0.75)
        pen.line([(-0.1, 0.062), (0.064, 0.058)], 0.015, brim)


def _backpack_profile(pen: Pen, person: Person) -> None:
    """A bag on the back, from the side."""
    edge, colour = 0.045 * person.build, person.bag_colour
    pen.box((edge - 0.02, 0.2), (edge + 0.09, 0.43), 0.042, colour)
    pen.box((edge + 0.045, 0.32), (edge + 0.108, 0.42), 0.024, shade(colour, 0.78))


def _between(start: Point, end: Point, part: float) -> Point:
    return start[0] + part * (end[0] - start[0]), start[1] + part * (end[1] - start[1])
