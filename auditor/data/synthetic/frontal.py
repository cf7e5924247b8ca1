"""A pedestrian seen from the front or from behind."""

from math import sin

from auditor.data.synthetic.pen import (
    ANKLE,
    FOREARM,
    HIP,
    KNEE,
    SHOULDER,
    UPPER_ARM,
    Pen,
    Person,
    Pose,
    draw_arm,
    draw_face,
    draw_handbag,
    draw_leg,
    draw_skirt,
    shade,
)


def draw_frontal(pen: Pen, person: Person, pose: Pose) -> None:
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
        draw_handbag(
            pen, person, person.bag_side * (0.135 if front else -0.135) * person.build, front
        )


def _leg_frontal(pen: Pen, person: Person, side: int, lift: float, tone: float) -> None:
    """Paint a leg seen from the front; the hind one (``lift`` > 0) is foreshortened and darker."""
    x = side * 0.043 * person.build
    knee = (x + side * 0.006, KNEE - 0.02 * lift)
    ankle = (x + side * (0.004 - 0.012 * lift), ANKLE - 0.06 * lift)
    pen.oval((ankle[0] + side * 0.006, ankle[1] + 0.032), 0.027, 0.024, shade(person.shoes, tone))
    draw_leg(pen, person, (x, HIP + 0.01), knee, ankle, tone)


def _torso_frontal(pen: Pen, person: Person, front: bool) -> None:
    """Pelvis, skirt and upper garment."""
    b, hem, upper = person.build, person.hem, person.upper
    if person.garment == "skirt":
        draw_skirt(pen, person, -0.085 * b, 0.085 * b, 0.125 * b)
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
    """Paint what is printed or sewn on the upper garment."""
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


def _arm_frontal(pen: Pen, person: Person, side: int, swing: float, elbow: float) -> None:
    """Paint an arm seen from the front; swinging it fore or aft shortens it."""
    shoulder = (side * (0.094 * person.build + 0.006), SHOULDER + 0.008)
    joint = (shoulder[0] + side * (0.028 + 0.02 * elbow), shoulder[1] + UPPER_ARM)
    reach = FOREARM * (1 - 0.25 * max(0.0, swing) - 0.2 * elbow)
    hand = (joint[0] - side * (0.04 * elbow - 0.008), joint[1] + reach)
    draw_arm(pen, person, shoulder, joint, hand, 0.9 if swing < 0 else 0.96)


def _head_frontal(pen: Pen, person: Person, front: bool) -> None:
    """Head, hair and hat from the front or from behind."""
    hair, skin = person.hair_colour, person.skin
    if front:
        pen.oval((0, 0.075), 0.061, 0.069, hair)
        pen.oval((-0.052, 0.095), 0.011, 0.016, shade(skin, 0.9))
        pen.oval((0.052, 0.095), 0.011, 0.016, shade(skin, 0.9))
        pen.oval((0, 0.09), 0.052, 0.066, skin)
        draw_face(pen, person)
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
