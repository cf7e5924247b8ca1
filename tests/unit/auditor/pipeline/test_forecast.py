"""What a run has before it: counted from its plan, its journal and its cache, never by a clock."""

from dataclasses import replace

import pytest
import torch

from auditor import plugins
from auditor.console import Quiet
from auditor.pipeline import forecast, journal
from auditor.pipeline.calibration import Speed, calibrate
from auditor.pipeline.forecast import foresee, warn_of_length
from auditor.pipeline.plan import plan_steps
from auditor.pipeline.steps import World
from tests import worlds
from tests.unit.auditor.pipeline.test_plan import world

SPEED = Speed(pictures=100.0, gflops=50.0, memory=2**30)


def seconds(audited: World, name: str, speed: Speed = SPEED) -> float | None:
    found = foresee(audited, plan_steps(audited), None, speed)
    return {step.name: step.seconds for step in found.steps}[name]


def test_every_step_is_listed_in_order_and_nothing_is_done_yet(tmp_path):
    audited = world(tmp_path / "out")
    steps = plan_steps(audited)
    found = foresee(audited, steps, None, SPEED)
    assert [step.name for step in found.steps] == [step.name for step in steps]
    assert found.kept == 0
    assert not found.unknown
    data = audited.target.data
    assert [e.rows for e in found.features] == [
        len(data.query),
        len(data.gallery),
        len(data.auxiliary),
    ]
    assert found.seconds >= sum(e.rows for e in found.features) / SPEED.pictures


def test_what_the_journal_has_is_done_and_costs_nothing_more(tmp_path):
    audited = world(tmp_path, defenses={})
    steps = plan_steps(audited)
    journal.run(steps[:2], tmp_path / "steps", Quiet(2), lambda results: None)
    found = foresee(audited, steps, tmp_path / "steps", SPEED)
    assert [step.kept for step in found.steps] == [True, True, False, False]
    fresh = foresee(audited, steps, None, SPEED)
    assert found.seconds < fresh.seconds
    assert "2 of 4 steps to do" in found.summary
    other = world(tmp_path, defenses={}, ranking={"expansion": "average"})
    changed = foresee(other, plan_steps(other), tmp_path / "steps", SPEED)
    assert [step.kept for step in changed.steps] == [True, False, False, False]


def test_features_that_are_known_need_not_be_embedded(tmp_path):
    audited = world(tmp_path)
    target, ctx = audited.target, audited.ctx
    known = torch.zeros(len(target.data.gallery), target.extractor.feature_dim)
    ctx.cache.add_features(target.extractor, target.data.gallery, known)
    found = {e.split: e for e in foresee(audited, [], None, SPEED).features}
    assert found["gallery"].kept
    assert found["gallery"].seconds == 0
    assert not found["query"].kept


def test_more_training_more_asking_and_a_slower_machine_take_longer(tmp_path):
    def audited(**attacks):
        return world(tmp_path, attacks=attacks, defenses={}, controls=False)

    brief, long = audited(identity={"epochs": 10}), audited(identity={"epochs": 100})
    assert seconds(long, "none/identity") == pytest.approx(10 * seconds(brief, "none/identity"))
    slow = replace(SPEED, gflops=SPEED.gflops / 4)
    assert seconds(brief, "none/identity", slow) > seconds(brief, "none/identity")
    asking = audited(composite={})
    slow = replace(SPEED, pictures=SPEED.pictures / 10)
    assert seconds(asking, "none/composite", slow) > seconds(asking, "none/composite")


def test_what_training_does_not_repeat_takes_as_long_with_more_of_it(tmp_path, monkeypatch):
    figure = {"seconds": 3.0, "asked": 0, "params": {"epochs": 10}, "once": {"seconds": 2.0}}
    costs = {**forecast._costs(), "attacks": {"identity": figure}}
    monkeypatch.setattr(forecast, "_costs", lambda: costs)

    def took(epochs):
        attacks = {"identity": {"epochs": epochs}}
        return seconds(world(tmp_path, attacks=attacks, defenses={}), "none/identity")

    assert took(100) == pytest.approx(12 / 3 * took(10))


def test_a_copy_of_the_model_takes_longer_with_more_answers_and_not_with_more_people(
    tmp_path, monkeypatch
):
    figure = {"seconds": 0.0, "asked": 0, "params": {"queries": 1000, "copy_epochs": 2}}
    figures = ({**figure, "copy": {"seconds": 8.0, "asked": 0}}, {**figure, "seconds": 3.0})
    audited = world(
        tmp_path,
        attacks={"latent_descent_copy": {"queries": 5000, "copy_epochs": 4}},
        defenses={},
        controls=False,
    )

    def took(figure):
        costs = {**forecast._costs(), "attacks": {"latent_descent_copy": figure}}
        monkeypatch.setattr(forecast, "_costs", lambda: costs)
        return seconds(audited, "none/latent_descent_copy")

    faster = SPEED.gflops / forecast._costs()["gflops"]
    copy, rest = (took(figure) for figure in figures)
    assert copy == pytest.approx(8.0 * 5 * 2 / faster)
    pictures = sum(map(len, forecast._splits(audited).values()))
    people = pictures / forecast._costs()["pictures"]
    # without a figure for the copy, all of it grows with the answers and with the people
    assert rest == pytest.approx(3.0 * 5 * people / faster)
    with_both = took({**figures[0], "seconds": 3.0})
    assert with_both == pytest.approx(copy + 3.0 * people / faster)


def test_a_plug_in_without_a_figure_is_named_and_not_guessed(tmp_path, monkeypatch):
    costs = {**forecast._costs(), "attacks": {}}
    monkeypatch.setattr(forecast, "_costs", lambda: costs)
    found = foresee(world(tmp_path), plan_steps(world(tmp_path)), None, SPEED)
    assert {s.name: s.seconds for s in found.steps}["none/identity"] is None
    assert found.unknown == ("identity",)
    assert "without identity (no figure)" in found.summary


def test_a_model_that_counts_its_questions_is_not_tried(tmp_path):
    class Untouched:
        feature_dim, input_size = 8, (4, 2)

        def __call__(self, images):
            raise AssertionError("asked")

    audited = world(tmp_path)
    audited = replace(audited, metered=True, target=replace(audited.target, extractor=Untouched()))
    found = foresee(audited, plan_steps(audited), None)
    assert found.speed.pictures is None
    assert "the service's answers" in found.unknown


def test_the_machine_is_tried_with_the_model_and_a_product():
    target = worlds.leaky()
    speed = calibrate(target.extractor, target.data.query, worlds.DEVICE)
    assert speed.pictures > 0
    assert speed.gflops > 0
    assert speed.memory > 2**20
    assert calibrate(None, None, worlds.DEVICE).pictures is None


def test_only_a_long_run_says_beforehand_how_long_it_takes(tmp_path):
    short = world(tmp_path)
    assert warn_of_length(short, plan_steps(short), None) == ""
    long = world(tmp_path, attacks={"identity": {"epochs": 1_000_000}})
    said = warn_of_length(long, plan_steps(long), None)
    assert "7 of 7 steps to do: about " in said
    assert "GB of memory" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["attacks", "defenses"])
def test_every_plug_in_that_ships_has_a_figure(kind):
    missing = plugins.installed(kind).keys() - forecast._costs()[kind].keys()
    assert not missing, f"python benchmarks/costs.py --only {' '.join(sorted(missing))}"


def test_what_an_attack_does_whoever_is_there_takes_no_longer_with_more_people(tmp_path):
    def took(people, name):
        few = world(tmp_path, attacks={name: {}}, defenses={}, controls=False)
        data = few.target.data
        rows = torch.arange(len(data.auxiliary)).repeat(people)
        more = replace(data, auxiliary=data.auxiliary.take(rows))
        return seconds(replace(few, target=replace(few.target, data=more)), f"none/{name}")

    assert took(5, "gradient_inversion") == took(1, "gradient_inversion")
    assert took(5, "linkage") > 2 * took(1, "linkage")


def test_workers_share_the_time_but_no_step_and_multiply_the_memory(tmp_path):
    audited = world(tmp_path)
    steps = plan_steps(audited)

    def foreseen(workers):
        return foresee(audited, steps, None, SPEED, workers=workers)

    alone, two, many = foreseen(1), foreseen(2), foreseen(100)
    features = sum(embedding.seconds for embedding in alone.features)
    assert two.seconds - features == pytest.approx((alone.seconds - features) / 2)
    utility = {step.scenario: step.seconds for step in alone.steps if step.kind == "utility"}
    others = [step for step in alone.steps if step.scenario and step.kind != "utility"]
    longest = max(utility[step.scenario] + step.seconds for step in others)
    assert many.seconds - features == pytest.approx(longest)
    assert many.memory == tuple(100 * part for part in alone.memory)
    assert "7 steps to do, 100 at a time" in many.summary
    assert "at a time" not in alone.summary
