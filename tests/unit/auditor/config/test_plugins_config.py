"""Plug-ins found by entry point, and a configuration's layers: preset, file, settings, flags."""

import json
import math
import re
import shutil
from dataclasses import fields
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import pytest

from attacks.identity import IdentityClassifier
from auditor import config, plugins
from auditor.config import AuditConfig
from auditor.errors import EnvironmentUnmetError, ModelError, UsageError
from auditor.gates import Gate
from auditor.models.prior import WEIGHTS
from auditor.plugins import registry
from auditor.plugins.declaring import checked_dataclass


def write(folder, text, name="audit.yaml"):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def no_weights_from_outside(monkeypatch):
    monkeypatch.delenv("AUDIT_WEIGHTS", raising=False)


class TestPlugins:
    def test_built_with_defaults_and_with_plain_data(self):
        noise = plugins.build("defenses", "dp_gallery", {"epsilon": 8, "unit": "identity"})
        assert (noise.epsilon, noise.unit, noise.releases) == (8.0, "identity", 1)
        assert plugins.parameters(noise)["delta"] == 1e-5
        assert plugins.build("attacks", "identity", {}).epochs > 0

    def test_yaml_lists_become_sizes(self):
        assert plugins.build("attacks", "inversion", {"image_size": [32, 16]}).image_size == (
            32,
            16,
        )

    def test_a_file_is_told_by_its_name_and_content(self, tmp_path):
        file = tmp_path / "mine.safetensors"
        file.write_bytes(WEIGHTS.read_bytes())
        attack = plugins.build("attacks", "prior_inversion", {"prior": str(file)})
        assert plugins.parameters(attack)["prior"] == str(file)
        before = plugins.recorded(attack)["prior"]
        assert re.fullmatch(r"mine\.safetensors \(sha256 [0-9a-f]{12}\)", before)
        file.write_bytes(WEIGHTS.read_bytes() + b" ")
        assert plugins.recorded(attack)["prior"] != before
        file.unlink()
        assert plugins.recorded(attack)["prior"] == "mine.safetensors"

    def test_a_prior_is_looked_at_before_an_audit_begins(self, tmp_path):
        with pytest.raises(EnvironmentUnmetError, match="there is no such prior"):
            plugins.build("attacks", "latent_descent", {"prior": str(tmp_path / "none")})
        cut = tmp_path / "cut.safetensors"
        cut.write_bytes(WEIGHTS.read_bytes()[:99_999])
        with pytest.raises(ModelError, match="contains no prior"):
            plugins.build("attacks", "prior_inversion", {"prior": str(cut)})

    @pytest.mark.parametrize(
        "block", ["alignment: {own_model: osnt}", "prior_inversion: {networks: [osnt]}"]
    )
    def test_a_judge_that_nobody_named_is_refused_before_an_audit_begins(self, block):
        judge = "judges={osnet: {path: osnet.pth}}"
        with pytest.raises(UsageError, match=r"'osnt', which is not under judges; there is none"):
            config.load(None, {}, [f"attacks={{{block}}}"])
        with pytest.raises(UsageError, match=r"not under judges; did you mean 'osnet'\?"):
            config.load(None, {}, [f"attacks={{{block}}}", judge])
        assert config.load(None, {}, [f"attacks={{{block.replace('osnt', 'osnet')}}}", judge])

    def test_unknown_names_get_a_hint(self):
        with pytest.raises(UsageError, match=r"no attack named 'identty'; did you mean 'identity'"):
            plugins.build("attacks", "identty", {})
        with pytest.raises(UsageError, match=r"no defense named 'zzz'; installed: .*dp_gallery"):
            plugins.load("defenses", "zzz")

    def test_unknown_parameters_get_a_hint(self):
        with pytest.raises(UsageError, match=r"no parameter 'epsilom'; did you mean 'epsilon'"):
            plugins.build("defenses", "dp_gallery", {"epsilom": 1})
        with pytest.raises(UsageError, match=r"'zzz'; it takes epsilon, delta"):
            plugins.build("defenses", "dp_gallery", {"zzz": 1})

    @pytest.mark.parametrize("value", ["many", None, [1], {"a": 1}, 1.5])
    def test_wrong_types_name_the_parameter(self, value):
        with pytest.raises(UsageError, match="attack 'identity': epochs: "):
            plugins.build("attacks", "identity", {"epochs": value})

    @pytest.mark.parametrize("value", [10**12, 10**5000], ids=["billions", "digits"])
    def test_a_count_that_would_never_end_is_refused(self, value):
        with pytest.raises(UsageError, match=r"'identity': epochs: more than 10000000 would never"):
            plugins.build("attacks", "identity", {"epochs": value})

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    @pytest.mark.parametrize("kind", ["attacks", "defenses"])
    def test_no_parameter_of_any_plug_in_may_be_infinite_or_no_number(self, kind, value):
        for name in registry.installed(kind):
            for field in fields(registry.load(kind, name)):
                with pytest.raises(UsageError, match=field.name):
                    registry.build(kind, name, {field.name: value})
                if type(field.default) is float:  # in Python, too
                    with pytest.raises(ValueError, match=r"finite|less than|greater than"):
                        registry.load(kind, name)(**{field.name: value})

    @pytest.mark.parametrize("kind", ["attacks", "defenses"])
    def test_no_plug_in_counts_below_zero(self, kind):
        for name in registry.installed(kind):
            for field in fields(registry.load(kind, name)):
                if type(field.default) is int:
                    with pytest.raises(UsageError, match=field.name):
                        registry.build(kind, name, {field.name: -1})

    def test_what_a_plug_in_refuses_is_told(self):
        with pytest.raises(UsageError, match="31×16 is not 8×4 doubled"):
            plugins.build("attacks", "inversion", {"image_size": [31, 16]})

    def test_renderers_take_no_parameters(self, monkeypatch):
        entry = EntryPoint("json", "json:dumps", "auditor.renderers")
        monkeypatch.setattr(registry, "entry_points", lambda group: [entry])
        with pytest.raises(UsageError, match="is not a dataclass"):
            plugins.build("renderers", "json", {})
        assert plugins.load("renderers", "json") is json.dumps

    def test_two_packages_may_not_claim_one_name(self, monkeypatch):
        ours, theirs = (
            EntryPoint("identity", f"{module}:Attack", "auditor.attacks") for module in "ab"
        )
        monkeypatch.setattr(registry, "entry_points", lambda group: [theirs, ours])
        with pytest.raises(UsageError, match="claim the attack 'identity': a:Attack and b:Attack"):
            plugins.installed("attacks")

    def test_the_same_entry_twice_is_one_plug_in(self, monkeypatch):
        # an editable install lists its entry points twice
        entry = EntryPoint("identity", "a:Attack", "auditor.attacks")
        monkeypatch.setattr(registry, "entry_points", lambda group: [entry, entry])
        assert list(plugins.installed("attacks")) == ["identity"]

    def test_what_is_installed_is_read_once_until_a_folder_of_the_path_changes(
        self, monkeypatch, tmp_path
    ):
        read, times = registry.entry_points, []
        monkeypatch.setattr(
            registry, "entry_points", lambda group: times.append(0) or read(group=group)
        )
        monkeypatch.syspath_prepend(tmp_path)
        before = plugins.installed("attacks")
        assert plugins.installed("attacks") == before
        assert len(times) == 1
        info = tmp_path / "new.dist-info"
        made = tmp_path.parent / "made"
        made.mkdir()
        (made / "METADATA").write_text("Metadata-Version: 2.1\nName: new\nVersion: 1\n")
        (made / "entry_points.txt").write_text("[auditor.attacks]\nnew = new:Attack\n")
        made.rename(info)
        assert plugins.installed("attacks").keys() == {*before, "new"}
        assert len(times) == 2

    def test_a_plug_in_that_does_not_import_is_named(self, monkeypatch):
        entry = EntryPoint("broken", "no_such_package_here:Attack", "auditor.attacks")
        monkeypatch.setattr(registry, "entry_points", lambda group: [entry])
        with pytest.raises(UsageError, match="'broken' does not import: No module named"):
            plugins.load("attacks", "broken")

    def test_a_plug_in_whose_class_is_gone_is_named(self, monkeypatch):
        entry = EntryPoint("gone", "json:NoSuchAttack", "auditor.attacks")
        monkeypatch.setattr(registry, "entry_points", lambda group: [entry])
        with pytest.raises(UsageError, match="'gone' does not import"):
            plugins.load("attacks", "gone")

    def test_docstrings_speak_for_plug_ins(self):
        attack = plugins.load("attacks", "identity")
        assert plugins.summary(attack) == attack.__doc__.splitlines()[0]
        assert plugins.threat_model(attack).startswith("has the stored gallery")
        assert "\n" not in plugins.threat_model(attack)


class TestLayers:
    def test_a_preset_alone(self):
        loaded = config.load(None, {})
        assert loaded.preset == "quick"
        assert {"identity", "attribute", "inversion"} <= set(loaded.attacks)
        assert loaded == AuditConfig.model_validate(config.preset_defaults("quick"))

    @pytest.mark.parametrize("preset", config.PRESETS)
    def test_every_preset_builds(self, preset):
        loaded = config.load(None, {"preset": preset})
        assert loaded.defenses
        said, written = config.preset_defaults(preset), loaded.to_record()
        for kind in ("attacks", "defenses"):
            assert list(written[kind]) == list(said[kind])
            for label, block in said[kind].items():
                assert {key: written[kind][label][key] for key in block} == block

    def test_whatever_is_shipped_gates_ladders_and_no_single_attack(self):
        root = Path(config.__file__).parents[2]
        shipped = [*(root / "auditor" / "presets").glob("*.yaml"), root / "README.md"]
        shipped += (root / "docs").rglob("*.md")
        addresses = [
            found
            for path in shipped
            for found in re.findall(r"address: *\"?([^\s\",}]+)", path.read_text("utf-8"))
        ]
        assert len(addresses) > 10
        for address in addresses:
            assert address.split("/")[1] in ("ladder", "utility", "scores", "claims"), address

    def test_what_is_written_is_read_as_the_same(self):
        chain = {"chain": ["blur", {"use": "dp_gallery", "epsilon": 3}]}
        given = {
            "attacks": {"lda": {"use": "identity_lda"}, "inversion": {"image_size": [32, 16]}},
            "defenses": {"both": chain, "blur": {"kernel": [5, 3]}},
        }
        first = AuditConfig.model_validate(given)
        written = json.loads(json.dumps(first.to_record()))
        again = AuditConfig.model_validate({kind: written[kind] for kind in given})
        assert (again.attacks, again.defenses) == (first.attacks, first.defenses)
        assert written["attacks"]["lda"]["use"] == "identity_lda"
        assert "use" not in written["attacks"]["inversion"]

    def test_later_layers_win(self, tmp_path):
        path = write(tmp_path, "seed: 1\ndevice: cpu\nattacks: {identity: {epochs: 2, lr: 0.5}}\n")
        assert config.load(path, {}).seed == 1
        settings = ["seed=2", "attacks.identity.lr=0.25"]
        assert config.load(path, {}, settings).seed == 2
        assert config.load(path, {"seed": 3}, settings).seed == 3
        loaded = config.load(path, {"seed": None, "device": None}, settings)
        assert (loaded.seed, loaded.device) == (2, "cpu")
        assert loaded.attacks == {"identity": IdentityClassifier(epochs=2, lr=0.25)}

    def test_a_named_block_takes_the_presets_parameters(self, tmp_path):
        path = write(tmp_path, "attacks: {inversion: {width: 8}, identity:}\ndefenses: {}\n")
        loaded, preset = config.load(path, {}), config.preset_defaults("quick")["attacks"]
        assert "epochs" in preset["inversion"]
        inversion = {**preset["inversion"], "width": 8}
        assert loaded.attacks["inversion"] == plugins.build("attacks", "inversion", inversion)
        assert loaded.attacks["identity"] == IdentityClassifier(**preset["identity"])
        assert "attribute" not in loaded.attacks
        assert loaded.defenses == {}

    def test_budget_fractions_come_from_the_preset_the_file_or_a_setting(self, tmp_path):
        assert config.load(None, {}).budget == []
        assert config.load(None, {"preset": "full"}).budget == [0.1, 0.25, 0.5]
        path = write(tmp_path, "preset: full\nbudget: []\n")
        assert config.load(path, {}).budget == []
        assert config.load(path, {}, ["budget=[0.5]"]).budget == [0.5]
        assert config.load(path, {"budget": ["0.25", "0.5"]}).budget == [0.25, 0.5]

    def test_a_label_of_its_own_uses_a_plug_in(self, tmp_path):
        path = write(
            tmp_path,
            "defenses: {mild: {use: dp_gallery, epsilon: 900}, strict: {use: dp_gallery}}\n",
        )
        loaded, preset = config.load(path, {}), config.preset_defaults("quick")["defenses"]
        assert loaded.defenses == {
            label: (plugins.build("defenses", "dp_gallery", {**preset["dp_gallery"], **own}),)
            for label, own in (("mild", {"epsilon": 900}), ("strict", {}))
        }

    def test_settings_reach_into_nested_keys(self):
        loaded = config.load(None, {}, ["data.path=x", "data.cross_camera=false", "model.path=m"])
        assert loaded.data.cross_camera is False
        assert loaded.model.path == Path("m")

    def test_relative_paths_start_at_the_file(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        path = write(
            tmp_path / "deep",
            "model: {path: m.pt}\ndata: {path: ../pictures}\nweights: /opt/w\n"
            "judges: {osnet: {path: j.pth, arch: osnet_x0_25}}\n",
        )
        loaded = config.load(path, {})
        assert loaded.model.path == tmp_path / "deep" / "m.pt"
        assert loaded.data.path.resolve() == tmp_path / "pictures"
        assert loaded.judges["osnet"].path == tmp_path / "deep" / "j.pth"
        assert loaded.weights == Path("/opt/w")
        assert config.load(path, {"model": {"path": "here.pt"}}).model.path == Path("here.pt")

    def test_paths_in_blocks_of_plug_ins_start_at_the_file_too(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "train").mkdir()  # which the word is not
        path = write(
            tmp_path / "deep",
            "attacks: {identity_lda: {}, pictures: {use: composite}}\n"
            "defenses:\n"
            "  heads: {use: remove_head, keypoints: points.csv}\n"
            "  deployed: {folder: ../out}\n"
            "  pis: {partners: train, keypoints: /opt/points.csv}\n"
            "  both: {chain: [blur, {use: pis, partners: other, epochs: 1}]}\n",
        )
        defenses = config.load(path, {}).defenses
        here = tmp_path / "deep"
        assert defenses["heads"][0].keypoints == str(here / "points.csv")
        assert Path(defenses["deployed"][0].folder).resolve() == tmp_path / "out"
        assert defenses["pis"][0].partners == "train"
        assert defenses["pis"][0].keypoints == "/opt/points.csv"
        assert defenses["both"][1].partners == str(here / "other")
        settings = ["defenses.heads.keypoints=here.csv"]
        assert config.load(path, {}, settings).defenses["heads"][0].keypoints == "here.csv"

    def test_each_of_several_paths_starts_at_the_file(self, tmp_path, monkeypatch):
        @checked_dataclass
        class Several:
            files: tuple[Path, ...] = ()

            def run(self, target, ctx):
                """See `auditor.types.Attack`."""

        entry = SimpleNamespace(load=lambda: Several, attr="Several")
        monkeypatch.setattr(registry, "installed", lambda kind: {"several": entry})
        monkeypatch.setattr(plugins, "installed", registry.installed)
        path = write(tmp_path, "attacks: {several: {files: [a, /opt/b]}}\ndefenses: {}\n")
        assert config.load(path, {}).attacks["several"].files == (tmp_path / "a", Path("/opt/b"))

    def test_a_prior_lies_beside_the_file_that_names_it(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        path = write(
            tmp_path / "deep",
            "attacks: {prior_inversion: {prior: my.safetensors}, "
            "copied: {use: latent_descent, prior: my.safetensors}, "
            "shipped: {use: prior_inversion, prior: ''}}\n",
        )
        shutil.copy(WEIGHTS, path.parent / "my.safetensors")
        attacks = config.load(path, {}).attacks
        for label in ("prior_inversion", "copied"):
            assert attacks[label].prior == str(path.parent / "my.safetensors")
        assert attacks["shipped"].prior == ""

    def test_weights_from_the_environment_yield_to_the_file(self, tmp_path, monkeypatch):
        monkeypatch.setenv("AUDIT_WEIGHTS", "/from/environment")
        assert config.load(None, {}).weights == Path("/from/environment")
        path = write(tmp_path, "weights: /from/file\n")
        assert config.load(path, {}).weights == Path("/from/file")
        monkeypatch.setenv("AUDIT_WEIGHTS", "")
        assert config.load(None, {}).weights is None

    def test_an_empty_file_is_the_preset(self, tmp_path):
        assert config.load(write(tmp_path, "# nothing\n"), {}) == config.load(None, {})

    def test_the_shipped_example_can_be_followed(self):
        path = Path(config.__file__).parents[1] / "presets" / "audit.yaml"
        loaded = config.load(path, {})
        assert loaded.gates
        assert config.gates_in(path) == loaded.gates


class TestRefusals:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("sede: 1", r"sede: .*not permitted; did you mean 'seed'"),
            ("zzz: 1", r"zzz: .*not permitted$"),
            ("model: {path: m, pth: 1}", r"model\.pth"),
            ("data: {path: d, layout: voc}", r"data\.layout"),
            ("data: {layout: folder}", r"data\.path: Field required"),
            ("seed: -1", "seed"),
            ("budget: [0.5, 1.0]", r"budget\.1: .*less than 1"),
            ("budget: [x]", r"budget\.0: .*number"),
            ("budget_scenarios: [nne]", "no scenario named 'nne'; did you mean 'none'"),
            ("attacks: {ladder: {use: identity}}", "'ladder' is taken"),
            ("preset: slow", "no preset named 'slow'; there are quick, full, demo"),
            ("attacks: {identty: {}}", "did you mean 'identity'"),
            ("attacks: {identity: {epoch: 3}}", "did you mean 'epochs'"),
            ("attacks: {identity: 3}", r"attacks\.identity"),
            ("attacks: [identity]", "attacks"),
            ("attacks: {}", "no attacks are configured"),
            ("attacks: {a/b: {use: identity}}", "contains a slash"),
            ("defenses: {none: {use: dp_gallery}}", "'none' is taken"),
            ("attacks: {utility: {use: identity}}", "'utility' is taken"),
            ("defenses: {dp_gallery: {epsilon: -1}}", "epsilon: Input should be greater than 0"),
            ("gates: [{address: none/identty/top1, limit: 1}]", "did you mean 'identity'"),
            ("gates: [{address: nose/identity/top1, limit: 1}]", "did you mean 'none'"),
            ("gates: [{address: identity, limit: 1}]", "scenario/attack/metric"),
            ("gates: [{address: none/identity/top1}]", r"gates\.0\.limit"),
            ("gates: [{address: a/b/c, limit: 1, level: fatal}]", r"gates\.0\.level"),
            ("- a\n- b\n", "contains a list; expected keys"),
            ("seed", "contains a str; expected keys"),
        ],
    )
    def test_what_cannot_be_followed(self, tmp_path, text, message):
        with pytest.raises(UsageError, match=message):
            config.load(write(tmp_path, text), {})

    @pytest.mark.parametrize(
        "text", ["model: 3", "data: here", "judges: 3", "judges: [a]", "judges: {a: 3}", "gates: 3"]
    )
    def test_a_scalar_where_keys_are_expected_is_named(self, tmp_path, text):
        with pytest.raises(UsageError, match=text.partition(":")[0]):
            config.load(write(tmp_path, text), {})

    @pytest.mark.parametrize(
        ("text", "message"),
        [("attacks: {identity: {use: [a]}}", "identity"), ("1: 2", "1"), ("attacks: {1: {}}", "1")],
    )
    def test_names_that_are_no_text(self, tmp_path, text, message):
        with pytest.raises(UsageError, match=message):
            config.load(write(tmp_path, text), {})

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("attacks: [identity]", "attacks: must be a mapping, such as {NAME: {}}"),
            ("defenses: blur", "defenses: must be a mapping, such as {NAME: {}}"),
            ("judges: {a: 3}", "judges.a: must be a mapping, such as {KEY: VALUE}"),
            ("budget: 3", r"budget: must be a list, such as \[FIRST, SECOND\]"),
        ],
    )
    def test_the_shape_that_is_expected_is_shown(self, tmp_path, text, message):
        with pytest.raises(UsageError, match=message):
            config.load(write(tmp_path, text), {})

    @pytest.mark.parametrize("text", ["model: 3", "model: [a]"])
    def test_flags_win_over_a_scalar(self, tmp_path, text):
        path = write(tmp_path, text)
        assert config.load(path, {"model": {"path": "m.pt"}}).model.path == Path("m.pt")
        with pytest.raises(UsageError, match="model"):
            config.load(path, {"model": {"arch": None}})

    def test_settings_through_a_scalar(self, tmp_path):
        with pytest.raises(UsageError, match="'seed' has no keys"):
            config.load(write(tmp_path, "seed: 1"), {}, ["seed.x=2"])

    def test_a_block_left_blank_can_be_set(self, tmp_path):
        path = write(tmp_path, "data:\nmodel:\n")
        assert config.load(path, {}).data is None
        assert config.load(path, {}, ["data.path=x"]).data.path == Path("x")

    @pytest.mark.parametrize("setting", ["seed", "=3", "seed=[1", ""])
    def test_settings_of_another_form(self, setting):
        with pytest.raises(UsageError, match="--set"):
            config.load(None, {}, [setting])

    def test_broken_yaml_is_placed(self, tmp_path):
        with pytest.raises(UsageError, match="is not YAML, line 2"):
            config.load(write(tmp_path, "seed: 1\n\tdata: x\n"), {})

    def test_yaml_may_not_build_objects(self, tmp_path):
        with pytest.raises(UsageError, match="is not YAML"):
            config.load(write(tmp_path, "seed: !!python/object/apply:os.getpid []\n"), {})

    def test_a_file_that_is_no_text(self, tmp_path):
        path = tmp_path / "audit.yaml"
        path.write_bytes(b"seed: \xff\xfe\n")
        with pytest.raises(UsageError, match="is not YAML"):
            config.load(path, {})

    def test_a_file_that_is_not_there(self, tmp_path):
        with pytest.raises(UsageError, match=r"cannot read .*none\.yaml: No such file"):
            config.load(tmp_path / "none.yaml", {})

    def test_gates_of_a_file_without_gates(self, tmp_path):
        with pytest.raises(UsageError, match="sets no gates"):
            config.gates_in(write(tmp_path, "seed: 1\n"))


class TestRecord:
    def test_no_folder_of_this_machine_gets_into_the_record(self, tmp_path):
        path = write(
            tmp_path,
            "model: {path: secret/m.pt}\ndata: {path: /home/ann/market}\nweights: w\n"
            "judges: {osnet: {path: j.pth}}\n"
            "attacks: {identity: {}}\n"
            "defenses: {blur: {}, heads: {use: remove_head, keypoints: secret/points.csv}, "
            "both: {chain: [blur, {use: pis, partners: secret/them}]}}\n"
            "gates: [{address: none/identity/top1, limit: 0.1, level: warn}]\n",
        )
        plain = config.load(path, {}).to_record()
        text = json.dumps(plain)
        assert str(tmp_path) not in text
        assert "/home" not in text
        assert "secret" not in text
        assert (plain["model"]["path"], plain["data"]["path"]) == ("m.pt", "market")
        assert (plain["judges"]["osnet"]["path"], plain["weights"]) == ("j.pth", "w")
        assert plain["defenses"]["heads"]["keypoints"] == "points.csv"
        assert plain["defenses"]["both"]["chain"][1]["partners"] == "them"
        assert Gate(**plain["gates"][0]) == Gate(
            address="none/identity/top1", limit=0.1, level="warn"
        )

    def test_a_demo_has_neither_model_nor_data(self):
        plain = config.load(None, {"preset": "demo"}).to_record()
        assert plain["model"] is None
        assert plain["preset"] == "demo"

    def test_the_demos_gates_go_with_its_own_attacks_and_defenses(self):
        assert len(config.load(None, {"preset": "demo"}).gates) == 3
        for setting in ("attacks={identity: {}}", "defenses={dp_gallery: {}}", "gates=[]"):
            assert config.load(None, {"preset": "demo"}, [setting]).gates == []
        assert config.load(None, {"preset": "quick"}).gates == []
