"""A pedestrian seen from the side."""

from math import cos, pi, sin

from auditor.data.synthetic.pen import (
    ANKLE,
    FOREARM,
    HIP,
    SHOULDER,
    UPPER_ARM,
    Pen,
    Person,
    Point,
    Pose,
    draw_arm,
    draw_handbag,
    draw_leg,
    draw_skirt,
    leg_joints,
    shade,
)


def draw_profile(pen: Pen, person: Person, pose: Pose) -> None:
    """Somebody walking past, to the left; the pen mirrors it for the right."""
    near = 1 if pose.view == "left" else -1
    far_leg, near_leg = (
        leg_joints(pose.phase + pi, pose.stride),
        leg_joints(pose.phase, pose.stride),
    )
    sink = ANKLE - max(far_leg[1][1], near_leg[1][1])
    pen = Pen(pen.draw, pen.scale, pen.x, pen.y + sink * pen.scale, pen.flip)
    handbag = person.bag == "handbag"
    _arm_profile(pen, person, pose, 1, 0.76)
    if handbag and person.bag_side != near:
        draw_handbag(pen, person, -0.062, strap=False)
    _leg_profile(pen, person, far_leg, 0.76)
    if person.bag == "backpack":
        _backpack_profile(pen, person)
    if person.garment == "skirt":
        _leg_profile(pen, person, near_leg, 1.0)
        draw_skirt(pen, person, -0.062 * person.build, 0.062 * person.build, 0.1 * person.build)
    else:
        _leg_profile(pen, person, near_leg, 1.0)
    _torso_profile(pen, person)
    _head_profile(pen, person)
    _arm_profile(pen, person, pose, -1, 0.92)
    if handbag and person.bag_side == near:
        draw_handbag(pen, person, 0.035)


def _leg_profile(pen: Pen, person: Person, joints: tuple[Point, Point, float], tone: float) -> None:
    """Paint a leg and its shoe from the side."""
    knee, ankle, shin = joints
    turn = min(0.0, shin) * 0.8
    heel = (ankle[0] + 0.012, ankle[1] + 0.03)
    toe = (heel[0] - 0.066 * cos(turn), heel[1] - 0.066 * sin(turn) + 0.004)
    pen.limb(heel, toe, 0.023, 0.018, shade(person.shoes, tone))
    draw_leg(pen, person, (0, HIP), knee, ankle, tone)


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
    """Paint an arm from the side, swinging against the leg of its own side."""
    angle = sign * 0.5 * pose.stride * sin(pose.phase)
    shoulder = (0.006, SHOULDER + 0.012)
    elbow = (shoulder[0] - UPPER_ARM * sin(angle), shoulder[1] + UPPER_ARM * cos(angle))
    angle += 0.1 + pose.elbow
    hand = (elbow[0] - FOREARM * sin(angle), elbow[1] + FOREARM * cos(angle))
    draw_arm(pen, person, shoulder, elbow, hand, tone)


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
    """Paint a bag on the back, from the side."""
    edge, colour = 0.045 * person.build, person.bag_colour
    pen.box((edge - 0.02, 0.2), (edge + 0.09, 0.43), 0.042, colour)
    pen.box((edge + 0.045, 0.32), (edge + 0.108, 0.42), 0.024, shade(colour, 0.78))
