"""Defenses written in YAML and after --defend: one meaning, whichever way."""

import pytest
import yaml

from auditor import config, plugins
from auditor.config import chain
from auditor.errors import UsageError
from auditor.evaluation.utility import Utility
from auditor.pipeline.assemble import assemble
from auditor.pipeline.steps import World
from auditor.report import AuditReport
from auditor.types import Target
from tests import worlds


def loaded(text="", defend=(), tmp_path=None):
    path = None
    if text:
        path = tmp_path / "audit.yaml"
        path.write_text(text)
    return config.load(path, {"defenses": chain.parse_all(defend) if defend else None})


PAIRS = [
    ("dp_gallery: {epsilon: 1}", ["dp_gallery:epsilon=1"]),
    ("dp_gallery:", ["dp_gallery"]),
    ("a: {use: dp_gallery, delta: 1.0e-6}", ["a=dp_gallery:delta=1e-6"]),
    (
        "{a: {use: dp_gallery, epsilon: 1}, b: {use: dp_gallery, unit: identity, releases: 3}}",
        ["a=dp_gallery:epsilon=1", "b=dp_gallery:unit=identity,releases=3"],
    ),
    (
        "a: {chain: [dp_gallery, {use: dp_gallery, epsilon: 10.0}]}",
        ["a=dp_gallery+dp_gallery:epsilon=1e+1"],
    ),
]


@pytest.mark.parametrize(("text", "defend"), PAIRS)
def test_the_command_line_says_what_the_file_says(tmp_path, text, defend):
    block = yaml.safe_dump({"defenses": yaml.safe_load(text)})
    in_file, in_flags = (
        resolved.defenses for resolved in (loaded(block, (), tmp_path), loaded(defend=defend))
    )
    assert in_file == in_flags


def test_links_take_the_defaults_of_the_preset():
    resolved = loaded(defend=["x=dp_gallery:epsilon=7+dp_gallery"])
    preset = config.preset_defaults("quick")["defenses"]["dp_gallery"]
    assert resolved.defenses["x"] == (
        plugins.build("defenses", "dp_gallery", {**preset, "epsilon": 7}),
        plugins.build("defenses", "dp_gallery", preset),
    )


def test_flags_come_to_what_the_file_names(tmp_path):
    text = "defenses: {mild: {use: dp_gallery, epsilon: 900, delta: 1.0e-7}}\n"
    resolved = loaded(text, ["strong=dp_gallery:epsilon=1", "mild=dp_gallery:epsilon=8"], tmp_path)
    assert list(resolved.defenses) == ["mild", "strong"]
    (mild,) = resolved.defenses["mild"]
    assert (mild.epsilon, mild.delta) == (8, 1e-7)
    assert set(loaded(text, (), tmp_path).defenses) == {"mild"}


@pytest.mark.parametrize(
    ("text", "params"),
    [
        ("x:a=[1,2],b={c: 1, d: 2}", {"a": [1, 2], "b": {"c": 1, "d": 2}}),
        ("x:a=true,b=,c=word", {"a": True, "b": None, "c": "word"}),
        ("x:a=1e-5,b=2E3,c=one,d=0.5", {"a": 1e-5, "b": 2000.0, "c": "one", "d": 0.5}),
    ],
)
def test_values_are_yaml(text, params):
    assert chain.parse(text) == ("x", {"use": "x", **params})


@pytest.mark.parametrize(
    ("defend", "message"),
    [
        (["dp_gallery", "dp_gallery:epsilon=1"], "already; give it a label"),
        ([""], "write it as"),
        (["a="], "write it as"),
        (["dp_gallery:epsilon"], "write it as"),
        (["dp_gallery:=1"], "write it as"),
        (["dp_gallery:epsilon=[1"], "not YAML"),
        (["dp_galery"], "did you mean 'dp_gallery'"),
        (["x=dp_gallery+dp_galery"], "did you mean 'dp_gallery'"),
        (["x=dp_gallery+dp_gallery:epsilom=1"], "did you mean 'epsilon'"),
        (["none=dp_gallery"], "'none' is taken"),
    ],
)
def test_flags_that_cannot_be_followed(defend, message):
    with pytest.raises(UsageError, match=message):
        loaded(defend=defend)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("{chain: dp_gallery}", "must list"),
        ("{chain: []}", "must list"),
        ("{chain: [3]}", "3 names no defense"),
        ("{chain: [{epsilon: 1}]}", "names no defense"),
        ("{chain: [{use: [a]}]}", "names no defense"),
        ("{chain: [dp_gallery], epsilon: 1}", "own blocks"),
        ("{chain: [dp_gallery], use: dp_gallery}", "own blocks"),
    ],
)
def test_chains_that_cannot_be_followed(tmp_path, block, message):
    with pytest.raises(UsageError, match=message):
        loaded(f"defenses: {{x: {block}}}\n", (), tmp_path)


def test_a_chain_applies_its_links_in_order_and_the_record_says_so(tmp_path):
    resolved = loaded(defend=["x=dp_gallery:epsilon=9+dp_gallery:epsilon=5"])
    ctx = worlds.context(tmp_path)
    head = AuditReport(title="t", config={})
    world = World(
        config=resolved, target=worlds.leaky(), ctx=ctx, distance="cosine", probe=tuple, head=head
    )
    target = world.scenario("x", ctx)
    assert isinstance(target, Target)
    assert [claim.epsilon_claimed for claim in target.claims] == [9, 5]
    assert world.target.claims == ()
    results = {"none/utility": Utility(), "x/utility": Utility(claims=target.claims)}
    record = assemble(resolved, head, results, complete=False)
    scenario = record.scenarios[1]
    assert scenario.plugin == "dp_gallery+dp_gallery"
    assert [link["epsilon"] for link in scenario.params["chain"]] == [9, 5]
    assert scenario.summary
