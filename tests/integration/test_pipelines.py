"""The files that put an audit into a pipeline: each parses, and calls what the command knows."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest
import typer
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from auditor.cli.main import app
from auditor.gates import policy
from auditor.report import dumps
from tests.records import detailed_record, example_record, powerful_record

ROOT = Path(__file__).parents[2]
CI = ROOT / "docs" / "ci"
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS = ACTION["runs"]["steps"]


def lines_of(text: str) -> list[str]:
    """Shell lines with continuations joined, and optional parts as if they were given."""
    joined = re.sub(r"\\\n\s*", " ", text)
    return re.sub(r"\$\{\w+:\+([^}]*)\}", r"\1", joined).splitlines()


def commands_in(text: str) -> list[list[str]]:
    """Every call of `audit` in shell text, as its words; a variable stands for some number."""
    calls = [
        call
        for line in lines_of(text)
        for call in re.findall(r"(?:^|[\s'\"])(audit (?:run|gate|compare) [^|;']*)", line)
    ]
    return [shlex.split(re.sub(r"\$\w+", "1", call), comments=True)[1:] for call in calls]


def shells() -> dict[str, str]:
    """Name of a file -> everything in it that a shell runs."""
    gitlab = yaml.safe_load((CI / "gitlab-ci.yml").read_text(encoding="utf-8"))
    scripts = [job["script"] for job in gitlab.values() if isinstance(job, dict)]
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    config = yaml.safe_load((CI / "pre-commit-config.yaml").read_text(encoding="utf-8"))
    (called,) = config["repos"][0]["hooks"]
    readme = (CI / "README.md").read_text(encoding="utf-8")
    return {
        "action.yml": "\n".join(step["run"] for step in STEPS if "run" in step),
        "gitlab-ci.yml": "\n".join(line for script in scripts for line in script),
        "Jenkinsfile": (CI / "Jenkinsfile").read_text(encoding="utf-8"),
        "pre-commit": shlex.join([*shlex.split(hook["entry"]), *called["args"]]),
        "README.md": readme.replace(':/work" reid-privacy-auditor ', ':/work"\naudit '),
    }


@pytest.mark.parametrize("name", shells())
def test_every_command_in_a_pipeline_parses(name):
    calls = commands_in(shells()[name])
    assert calls
    group = typer.main.get_command(app)
    for command, *arguments in calls:
        with group.make_context("audit", [command, *arguments]) as context:
            sub = group.get_command(context, command)
            assert sub is not None
            sub.make_context(command, list(arguments), parent=context)


def test_every_call_is_seen():
    found = {name: [words[0] for words in commands_in(text)] for name, text in shells().items()}
    assert found == {
        "action.yml": ["run", "gate", "compare"],
        "gitlab-ci.yml": ["run", "gate"],
        "Jenkinsfile": ["run", "gate"],
        "pre-commit": ["gate"],
        "README.md": ["gate"],
    }


class TestAction:
    def test_it_names_inputs_and_outputs_that_exist(self):
        text = (ROOT / "action.yml").read_text(encoding="utf-8")
        assert set(re.findall(r"inputs\.([\w-]+)", text)) == set(ACTION["inputs"])
        ids = {step["id"] for step in STEPS if "id" in step}
        assert {name for name, _ in re.findall(r"steps\.(\w+)\.outputs\.([\w-]+)", text)} <= ids
        for key, entry in {**ACTION["inputs"], **ACTION["outputs"]}.items():
            assert entry["description"], key

    def test_no_input_is_pasted_into_a_script(self):
        for step in STEPS:
            assert "${{" not in step.get("run", "")

    def test_the_sample_workflow_uses_it_as_it_is(self):
        workflow = yaml.safe_load((CI / "github.yml").read_text(encoding="utf-8"))
        uses = [
            step["with"]
            for job in workflow["jobs"].values()
            for step in job["steps"]
            if "reid-privacy-auditor" in step["uses"]
        ]
        assert len(uses) == 2
        for given in uses:
            assert set(given) <= set(ACTION["inputs"])
            assert ("report" in given) != ("config" in given)

    def test_what_judging_needs_is_as_in_the_package(self):
        (install,) = [step["run"] for step in STEPS if step.get("name") == "Install"]
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        few = re.findall(r'"(\w+>=[\d.]+)"', install)
        assert len(few) == 5
        assert set(few) <= set(project["dependencies"])

    @pytest.fixture
    def step(self, tmp_path):
        """Run one of the action's steps as the runner would; gives its exit code and outputs."""
        shim = tmp_path / "bin" / "audit"
        shim.parent.mkdir()
        shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m auditor "$@"\n')
        shim.chmod(0o755)

        def run(name, **env):
            (script,) = [s["run"] for s in STEPS if s.get("name") == name]
            files = {key: tmp_path / key for key in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
            for file in files.values():
                file.write_text("")
            place = os.pathsep.join([str(shim.parent), os.environ["PATH"]])
            done = subprocess.run(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
                cwd=tmp_path, capture_output=True, text=True,
                env={**os.environ, "PYTHONPATH": str(ROOT), "PATH": place, **env,
                     **{key: str(file) for key, file in files.items()}},
            )  # fmt: skip
            rows = files["GITHUB_OUTPUT"].read_text().splitlines()
            return done.returncode, dict(row.split("=", 1) for row in rows), done.stderr

        return run

    def judge(self, step, tmp_path, **env):
        plain = {"AUDIT_POLICY": "", "AUDIT_BASELINE": "", "AUDIT_MARGIN": ""}
        return step("Judge", AUDIT_RESULTS="out put", **{**plain, **env})

    def test_a_record_is_judged_and_its_verdict_is_said_at_the_end(self, step, tmp_path):
        record = tmp_path / "a report.json"
        record.write_text(dumps(powerful_record()))  # its own gate fails
        code, outputs, stderr = step(
            "Audit", AUDIT_REPORT=record.name, AUDIT_CONFIG="", AUDIT_OUT=""
        )
        assert (code, outputs) == (0, {"report": record.name}), stderr
        code, outputs, stderr = self.judge(step, tmp_path, AUDIT_REPORT=record.name)
        assert (code, outputs) == (0, {"verdict": "fail", "exit-code": "3"}), stderr
        assert "Privacy audit: ❌ fail" in (tmp_path / "GITHUB_STEP_SUMMARY").read_text()
        names = {path.name for path in (tmp_path / "out put").iterdir()}
        assert names == {"audit.junit.xml", "audit.sarif", "audit.md"}
        assert step("Say the verdict", AUDIT_CODE="3")[0] == 3
        assert step("Say the verdict", AUDIT_CODE="")[0] == 1  # a step before it broke

    def test_a_policy_and_a_baseline_count(self, step, tmp_path):
        new = powerful_record()
        more = replace(new, scenarios=(*new.scenarios, replace(new.scenarios[1], defense="gone")))
        for name, record in (("new", new), ("old", example_record()), ("more", more)):
            (tmp_path / f"{name}.json").write_text(dumps(record))
        gate = {"address": "none/utility/rank1", "min": 0.5, "cites": "x"}
        (tmp_path / "p.yaml").write_text(yaml.safe_dump({"version": 1, "gates": [gate]}))
        judged = {"AUDIT_REPORT": "new.json", "AUDIT_POLICY": "p.yaml"}
        assert self.judge(step, tmp_path, **judged)[1]["verdict"] == "pass"
        # the old record's inversion has no power, which can hide no leak of the new one
        compared = {"AUDIT_BASELINE": "old.json", "AUDIT_MARGIN": "0.1"}
        assert self.judge(step, tmp_path, **judged, **compared)[1]["verdict"] == "pass"
        # figures that are gone might have got worse
        compared["AUDIT_BASELINE"] = "more.json"
        assert self.judge(step, tmp_path, **judged, **compared)[1] == {
            "verdict": "inconclusive",
            "exit-code": "4",
        }
        assert "Privacy audit compared" in (tmp_path / "GITHUB_STEP_SUMMARY").read_text()

    def test_a_fault_is_no_verdict(self, step, tmp_path):
        code, outputs, _ = self.judge(step, tmp_path, AUDIT_REPORT="nowhere.json")
        assert (code, outputs) == (0, {"verdict": "error", "exit-code": "2"})
        code, outputs, _ = step(
            "Audit", AUDIT_REPORT="", AUDIT_CONFIG="nowhere.yaml", AUDIT_OUT="o"
        )
        assert (code, outputs) == (2, {})


def brought_by(names: set[str]) -> set[str]:
    """Top-level modules of distributions and of everything that these require."""
    todo, closed = set(names), set()
    while todo:
        name = todo.pop()
        closed.add(name)
        for line in metadata.requires(name) or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                todo |= {canonicalize_name(requirement.name)} - closed
    modules = metadata.packages_distributions().items()
    return {module for module, owners in modules if closed & set(map(canonicalize_name, owners))}


def test_judging_needs_no_more_than_the_action_installs(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text(dumps(detailed_record()))
    few = brought_by({"pydantic", "pyyaml", "typer", "numpy", "scipy"}) | {"auditor", "reports"}
    barred = set(metadata.packages_distributions()) - few
    assert {"torch", "pandas", "matplotlib", "jinja2", "openpyxl"} <= barred
    script = f"""
import sys
class Fence:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {barred!r}:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Fence())
from auditor.cli.main import main
for arguments in (
    ["gate", "a", "--policy", {str(CI / "policy.yaml")!r}, "--junit", "j", "--sarif", "s",
     "--markdown", "m"],
    ["compare", "a", "b", "--markdown", "c", "--fail-on-regression", "0.1"],
):
    try:
        main(arguments)
    except SystemExit as stop:
        assert stop.code in (0, 3, 4), stop.code
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {"j", "s", "m", "c"} <= {path.name for path in tmp_path.iterdir()}


def test_the_sample_policy_is_one():
    read = policy.load(CI / "policy.yaml")
    assert all(limit.cites for limit in read.gates)
    assert read.claims
    assert read.waivers


def test_the_hook_runs_once_and_only_where_it_matters():
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert (hook["id"], hook["pass_filenames"]) == ("audit-gate", False)
    pattern = re.compile(hook["files"])
    for name in ("report.json", "audits/report.json", "audits/policy.yaml", "policy.yml"):
        assert pattern.search(name)
    for name in ("my-report.json", "report.jsonl", "audits/policy.yaml.bak"):
        assert not pattern.search(name)


def test_gitlab_keeps_the_results_and_nobodys_pictures():
    jobs = yaml.safe_load((CI / "gitlab-ci.yml").read_text(encoding="utf-8"))
    assert {jobs[name]["stage"] for name in ("audit", "gate")} == set(jobs["stages"])
    for name in ("audit", "gate"):
        assert jobs[name]["artifacts"]["when"] == "always"
        for path in jobs[name]["artifacts"]["paths"]:
            assert not path.endswith("/")  # no whole folder
            assert "personal" not in path
    assert jobs["gate"]["artifacts"]["reports"]["junit"] in " ".join(jobs["gate"]["script"])


def test_the_jenkinsfile_is_balanced_and_publishes_what_the_gate_writes():
    text = (CI / "Jenkinsfile").read_text(encoding="utf-8")
    bare = re.sub(r"'[^'\n]*'|\"[^\"\n]*\"|//[^\n]*", "", text)
    for opening, closing in ("{}", "()", "[]"):
        assert bare.count(opening) == bare.count(closing)
    assert text.count("'") % 2 == 1  # the apostrophe of the remark, and pairs
    for name in re.findall(r"--(?:junit|sarif|markdown) (\S+?)'?\)?(?=\s|')", text):
        assert text.count(name) == 2


DOCKER = [
    line
    for line in lines_of((ROOT / "Dockerfile").read_text(encoding="utf-8"))
    if line and not line.startswith("#")
]


class TestDockerfile:
    def test_every_line_is_an_instruction(self):
        known = {"FROM", "RUN", "ENV", "WORKDIR", "COPY", "USER", "ENTRYPOINT", "CMD"}
        assert {line.split()[0] for line in DOCKER} == known
        assert DOCKER[0].startswith("FROM python:")

    def test_what_is_copied_exists_and_is_not_ignored(self):
        kept = {
            line.removeprefix("!")
            for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
            if line.startswith("!")
        }
        copied = {
            word
            for line in DOCKER
            if line.startswith("COPY ") and "--from" not in line
            for word in line.split()[1:-1]
        }
        assert copied == kept
        for name in copied:
            assert (ROOT / name).exists(), name
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
        wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
        assert set(wheel["packages"]) | {project["project"]["readme"]} <= kept

    def test_it_runs_the_command_and_not_as_root(self):
        assert 'ENTRYPOINT ["audit"]' in DOCKER
        assert "USER auditor" in DOCKER
        assert DOCKER.index("USER auditor") < DOCKER.index('ENTRYPOINT ["audit"]')

    def test_torch_is_asked_for_as_the_package_asks(self):
        text = "\n".join(DOCKER)
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        assert set(re.findall(r'"(torch\w*>=[\d.]+)"', text)) <= set(project["dependencies"])
