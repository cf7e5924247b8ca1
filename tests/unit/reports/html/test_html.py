"""The page: verdict first, nothing loaded, nothing run, nobody shown unasked."""

import base64
import hashlib
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from auditor.errors import EnvironmentUnmetError
from auditor.gates import Gate, check
from auditor.report import Adversary, AuditReport, dumps
from reports.html import page, render
from reports.html.exhibits import BLURRED
from reports.html.sections.results import fold
from reports.plots import projection
from tests.records import (
    HOSTILE,
    detailed_record,
    example_record,
    failed_record,
    hostile_record,
    inversion,
    measured,
    over_claimed,
    pictured_record,
    powerful_record,
    private_training,
    rank_lists,
)

NOWHERE = Path("nowhere")
any_text = st.text(st.characters(exclude_categories=[]), max_size=40)
VOID = {"meta", "img", "link", "br", "hr", "wbr", "input"}


class Reader(HTMLParser):
    """Tags with their attributes, the texts, and whether every tag was closed in turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs), f"an attribute of <{tag}> is given twice"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def show(report: AuditReport, *gates: Gate, root: Path = NOWHERE, reveal: bool = False) -> str:
    return page(report, check(report, gates), root=root, reveal=reveal)


def read(report: AuditReport, *gates: Gate, **how) -> Reader:
    return Reader(show(report, *gates, **how))


def assert_inert(text: str) -> Reader:
    """Well-formed, without anything that runs, loads or styles, and fit for UTF-8."""
    text.encode()
    reader = Reader(text)
    assert reader.open == []
    for tag, attributes in reader.tags:
        assert tag not in {"script", "iframe", "object", "embed", "link", "base", "form", "image"}
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        for name in ("src", "href", "xlink:href", "action", "srcset"):
            target = attributes.get(name) or "#"
            assert re.match("#|data:image/(png|webp);base64,", target)
    assert "<script" not in text.lower()
    assert not re.search(r"https?:", text)
    return reader


RECORDS = [example_record, failed_record, pictured_record]


class TestSafety:
    @pytest.mark.parametrize("make", RECORDS)
    def test_the_page_is_inert(self, make):
        assert_inert(show(make()))

    @pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:12]))
    def test_a_strangers_text_stays_text(self, text):
        reader = assert_inert(show(hostile_record(text)))
        shown = reader.text
        assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", shown)
        assert "49" not in shown.split()  # {{ 7 * 7 }} is not evaluated
        assert "/home/" not in shown

    def test_a_long_name_is_cut(self):
        assert len(show(hostile_record("x" * 40_000))) < 600_000

    @settings(max_examples=15, deadline=None)
    @given(st.lists(st.sampled_from(HOSTILE) | any_text, max_size=3))
    def test_any_text_stays_text(self, parts):
        text = "".join(part[:200] for part in parts)
        page = show(hostile_record(text))
        assert_inert(page)
        drawings = re.findall(r"<svg[^>]*role=.*?</svg>", page, re.S)
        assert len(drawings) > 5  # the text is in the drawings too, as their labels and titles
        for drawing in drawings:
            ElementTree.fromstring(drawing)  # a drawing taken out of the page is XML

    def test_the_policy_allows_this_style_and_nothing_else(self):
        text = show(example_record())
        style = re.search(r"<style>(.*?)</style>", text, re.S)[1]
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        (policy,) = [
            meta["content"]
            for meta in Reader(text).all("meta")
            if meta.get("http-equiv") == "Content-Security-Policy"
        ]
        assert policy.startswith("default-src 'none'; img-src data:; ")
        assert f"style-src 'sha256-{digest}'" in policy
        assert "unsafe" not in policy
        assert "url(" not in style
        assert "@import" not in style

    def test_folders_stay_at_home(self, tmp_path):
        report = replace(
            example_record(),
            environment={"command": "audit run --model /home/someone/models/best.pth"},
        )
        path = tmp_path / "report.html"
        render(report, [], path, root=tmp_path, reveal=True)
        text = path.read_text(encoding="utf-8")
        assert "someone" not in text
        assert "…/best.pth" in text
        assert str(tmp_path) not in text

    def test_names_of_people_stay_in_the_record(self):
        report = replace(example_record(), data={"identity_names": ["Ada Example"], "junk": 1})
        assert "Ada" not in show(report)

    def test_the_same_record_gives_the_same_page(self):
        assert show(example_record()) == show(example_record())


def test_how_a_defense_was_applied_is_said():
    report = example_record()
    noted = replace(report.scenarios[0], notes=("poses come from: a silhouette",))
    assert "Poses come from: a silhouette." in read(replace(report, scenarios=(noted,))).text


def test_scores_made_of_biased_utility_are_marked_and_the_bias_is_told():
    report = example_record()
    bare, noisy = report.scenarios
    biased = replace(noisy, utility_bias="the key <knows> whom a query shows")
    text = show(replace(report, scenarios=(bare, biased)))
    rows = [row for row in text.split("<tr>") if ">biased</" in row]
    assert len(rows) == len(noisy.scores) > 0
    assert all("<td>dp_gallery" in row.replace("<wbr>", "") for row in rows)
    assert "is overestimated: The key &lt;knows&gt; whom a query shows." in text
    assert "biased" not in show(report)


class TestExhibits:
    def record(self, place: str = "a.png", *, real: bool = False) -> AuditReport:
        report = example_record()
        finding = replace(inversion(0.4, 0.03), exhibits={"reconstructions": place})
        bare = replace(report.scenarios[0], findings=(finding,))
        return replace(report, scenarios=(bare,), real_people=real)

    @pytest.fixture
    def root(self, tmp_path):
        root = tmp_path / "run"
        root.mkdir()
        Image.linear_gradient("L").resize((24, 8)).convert("RGB").save(root / "a.png")
        Image.new("RGB", (24, 8), "teal").save(tmp_path / "outside.png")
        (root / "b.png").write_text("<svg onload=alert(1)>")
        (root / "huge.png").write_bytes((root / "a.png").read_bytes() + bytes(9 * 2**20))
        return root

    @staticmethod
    def strips(reader: Reader) -> list[dict[str, str | None]]:
        """The pictures of the results; the first screen cuts people out of the same strips."""
        return [a for a in reader.all("img") if not (a["alt"] or "").startswith("Person ")]

    def test_synthetic_people_are_shown(self, root):
        (image,) = self.strips(read(self.record(), root=root))
        content = base64.b64decode(image["src"].removeprefix("data:image/png;base64,"))
        assert content == (root / "a.png").read_bytes()
        assert (image["width"], image["height"]) == ("24", "8")
        assert "none" in image["alt"]

    def test_a_large_picture_is_shrunk_and_stays_the_same_to_the_eye(self, root):
        noise = np.random.default_rng(0).integers(90, 130, (96, 240, 4), np.uint8)
        noise[:, 120:, 3] = 0  # what no picture covers stays transparent
        noise[:, :120, 3] = 255
        Image.fromarray(noise).save(root / "a.png")
        (image,) = self.strips(read(self.record(), root=root))
        content = base64.b64decode(image["src"].removeprefix("data:image/webp;base64,"))
        assert len(content) < (root / "a.png").stat().st_size / 3
        shown = np.asarray(Image.open(io.BytesIO(content)).convert("RGBA")).astype(int)
        assert (shown[:, 120:, 3] == 0).all()
        assert abs(shown[:, :120, :3] - noise[:, :120, :3].astype(int)).mean() < 12
        assert (image["width"], image["height"]) == ("240", "96")

    def test_a_large_file_that_is_no_picture_breaks_nothing(self, root):
        whole = (root / "a.png").read_bytes()
        (root / "a.png").write_bytes(whole[:40] + bytes(20_000))
        (image,) = self.strips(read(self.record(), root=root))
        assert image["src"].startswith("data:image/png")
        huge = whole[:16] + b"\x7f\xff\xff\xff" * 2 + bytes(20_000)
        (root / "a.png").write_bytes(huge)
        (image,) = self.strips(read(self.record(), root=root))
        assert image["src"].startswith("data:image/png")

    def test_a_page_of_many_scenarios_says_what_it_does_not_draw(self, monkeypatch):
        monkeypatch.setattr(projection, "DRAWN", 1)
        assert show(pictured_record()).count("Not drawn, for the page has many of these") == 1

    def test_ten_scenarios_stay_below_ten_megabytes(self, root):
        """Of real size: four rungs, each with a strip, and six rank lists per scenario."""
        noise = np.random.default_rng(0).integers(0, 256, (144, 450, 3), np.uint8)
        for n in range(6):
            # a third of a camera's grain, so that no picture compresses like a drawn one
            smooth = Image.fromarray(noise).resize((150, 48)).resize((450, 144))
            smooth.save(root / f"rank-list-{n}.png")
        smooth.save(root / "strip.png")
        report = pictured_record()
        lists = tuple(replace(rank_lists()[0], picture=f"rank-list-{n}.png") for n in range(6))
        shown = replace(inversion(0.4, 0.03), exhibits={"reconstructions": "strip.png"})
        rungs = tuple(replace(shown, attack=f"rung{n}", family="inversion") for n in range(4))
        scenarios = tuple(
            replace(
                report.scenarios[n % 2],
                defense=f"defense{n}",
                rank_lists=lists,
                findings=rungs,
            )
            for n in range(10)
        )
        text = show(replace(report, scenarios=scenarios, real_people=False), root=root)
        assert text.count("data:image/") == 100
        assert len(text.encode()) < 10 * 2**20

    def test_real_people_are_blurred_until_somebody_asks(self, root):
        sharp = base64.b64encode((root / "a.png").read_bytes()).decode()
        text = show(self.record(real=True), root=root)
        assert sharp not in text
        assert len(self.strips(Reader(text))) == 1
        assert BLURRED in Reader(text).text
        revealed = show(self.record(real=True), root=root, reveal=True)
        assert sharp in revealed
        assert BLURRED not in Reader(revealed).text
        assert "Real people are shown and named" in Reader(revealed).text
        assert "Real people are shown and named" not in Reader(text).text

    def test_a_picture_that_cannot_be_blurred_is_not_shown(self, root):
        (root / "c.png").write_bytes((root / "a.png").read_bytes()[:60])
        reader = read(self.record("c.png", real=True), root=root)
        assert reader.all("img") == []
        assert "cannot be decoded" in reader.text

    @pytest.mark.parametrize(
        ("place", "reason"),
        [
            ("missing.png", "not in the folder"),
            ("b.png", "not a PNG"),
            ("huge.png", "too large"),
            ("../outside.png", "outside the folder"),
            (".", "not in the folder"),
            ("nul\x00.png", "not in the folder"),
        ],
    )
    def test_what_cannot_be_shown_is_said(self, root, place, reason):
        reader = read(self.record(place), root=root)
        assert reader.all("img") == []
        assert reason in reader.text

    def test_a_link_out_of_the_folder_is_not_followed(self, root):
        (root / "link.png").symlink_to(root.parent / "outside.png")
        assert read(self.record("link.png"), root=root).all("img") == []


class TestRankLists:
    def record(self, *rows: str, real: bool = False) -> AuditReport:
        report = example_record()
        bare = replace(report.scenarios[0], rank_lists=rank_lists(rows))
        return replace(report, scenarios=(bare,), real_people=real)

    @pytest.fixture
    def root(self, tmp_path):
        place = tmp_path / "personal" / "none" / "utility"
        place.mkdir(parents=True)
        for number in (1, 2):
            Image.new("RGBA", (48, 14), "teal").save(place / f"rank-list-{number}.png")
        return tmp_path

    def test_right_and_wrong_are_said_in_words_and_not_by_colour_alone(self, root):
        text = show(self.record("01000", "11111"), root=root)
        assert_inert(text)
        kinds = [item.get("class") for item in Reader(text).all("li") if item.get("class")]
        shown = [kind for kind in kinds if kind in ("query", "right", "wrong")][2:]  # the key first
        assert shown == ["query", "wrong", "right", *["wrong"] * 3, "query", *["right"] * 5]
        section = Reader(text).text.partition("nearest gallery entries by the plain distance")[2]
        words = (
            "appears at rank 2 Query camera 0 wrong, similarity 0.910 camera 1 right, similarity"
        )
        assert words in section
        assert "Query 2: the right person comes first" in section
        # the glyphs are the style's, so that nobody hears them read out
        style = re.search(r"<style>(.*?)</style>", text, re.S)[1]
        assert '.right { --mark: var(--pass); --glyph: "✓"; }' in style
        assert '.wrong { --mark: var(--fail); --glyph: "✕"; }' in style

    def test_every_strip_is_embedded_with_what_it_shows(self, root):
        images = read(self.record("01000", "11111"), root=root).all("img")
        strips = [image for image in images if "best matches" in (image["alt"] or "")]
        assert [image["alt"].partition(" and")[0] for image in strips] == ["Query 1", "Query 2"]
        assert all("scenario none" in image["alt"] for image in strips)
        assert (strips[0]["width"], strips[0]["height"]) == ("48", "14")

    def test_real_people_are_blurred_and_the_figures_stay(self, root):
        record = self.record("01000", "11111", real=True)
        reader = read(record, root=root)
        assert len(reader.all("img")) == 2
        section = reader.text.partition("nearest gallery entries by the plain distance")[2]
        assert section.count(BLURRED) == 1
        assert "wrong, similarity 0.910" in section
        revealed = read(record, root=root, reveal=True)
        assert len(revealed.all("img")) == 2
        assert BLURRED not in revealed.text

    def test_identities_stay_in_the_record(self, root):
        lists = tuple(replace(x, query_id="ada-7", picture="") for x in rank_lists())
        report = self.record()
        report = replace(report, scenarios=(replace(report.scenarios[0], rank_lists=lists),))
        assert "ada-7" not in show(report, root=root)

    def test_a_record_without_them_has_no_section(self):
        text = show(self.record())
        assert "rank-lists" not in text
        assert "Rank lists" not in Reader(text).text

    def test_a_missing_picture_or_an_unknown_camera_is_said(self):
        lists = (replace(rank_lists()[0], query_camera="-1", rank=17.5),)
        report = self.record()
        shown = read(replace(report, scenarios=(replace(report.scenarios[0], rank_lists=lists),)))
        assert "its file is not in the folder" in shown.text
        assert "appears at rank 17.5 Query camera unknown" in shown.text


class TestContent:
    def test_the_verdict_comes_first(self):
        gates = [
            Gate(address="none/identity/top1", limit=0.1),
            Gate(address="dp_gallery/identity/top1", limit=0.15),
        ]
        shown = read(example_record(), *gates).text
        assert "Verdict Fail 1 of 2 gate verdicts failed: none/identity/top1." in shown
        assert shown.index("Fail 1 of 2") < shown.index("Scope and release context What was")

    @pytest.mark.parametrize(
        ("make", "limit", "words"),
        [
            (powerful_record, 0.15, "Pass The gate is met, and every attack"),
            (powerful_record, 0.12, "Inconclusive 1 of 1 gate verdicts could not be decided"),
            (example_record, 0.15, "Not everything planned was shown: none/inversion"),
        ],
    )
    def test_outcomes(self, make, limit, words):
        gate = Gate(address="dp_gallery/identity/top1", limit=limit)
        assert words in read(make(), gate).text

    def test_without_gates_nothing_is_judged(self):
        words = "No gates were set: the figures are measured, not judged."
        assert f"Measured, not judged {words}" in read(powerful_record()).text
        doubtful = read(example_record()).text
        assert f"Inconclusive {words}" in doubtful
        assert "did not pass its controls" in doubtful

    def test_an_interrupted_audit_says_so(self):
        assert "Interrupted." in read(failed_record()).text
        assert "Interrupted." not in read(example_record()).text

    def test_no_figure_is_rounded_onto_its_limit(self):
        report = powerful_record()
        bare = report.scenarios[0]
        top1 = replace(bare.findings[0].measurements[0], low=0.1, high=0.100004, value=0.1)
        finding = replace(bare.findings[0], measurements=(top1,))
        report = replace(report, scenarios=(replace(bare, findings=(finding,)),))
        shown = read(report, Gate(address="none/identity/top1", limit=0.1)).text
        assert "0.100004" in shown

    def test_numbers_travel_with_interval_and_chance(self):
        shown = read(example_record()).text
        assert "identity: Top-1 90.3% 95% interval 86.2–94.4% chance 1.2%" in shown
        assert "17.21 dB 16.90–17.52 dB 14.02 dB" in shown
        assert "URR-1 dp_gallery 3.410" in shown
        assert "mAP" in shown

    def test_both_rankings_are_shown_with_how_the_second_came_about(self):
        report = example_record()
        mended = measured("map_reranked", 0.91, None, 0.02, "lower", note="re-ranked figures: so")
        bare = replace(report.scenarios[0], utility=(*report.scenarios[0].utility, mended))
        shown = read(replace(report, scenarios=(bare,))).text
        assert "mAP 83.2%" in shown
        assert "mAP, re-ranked 91.0% 95% interval 89.0–93.0% Re-ranked figures: so." in shown

    def test_claims_show_epsilon_three_ways(self):
        shown = read(example_record()).text
        assert "ε claimed 300 ε certified 299.96 ε per person 1902.4" in shown
        assert "only the attacks say what is protected" in shown

    def test_an_audited_claim_shows_verdict_experiment_and_what_it_means(self):
        report = example_record()
        bare, noisy = report.scenarios
        shown = read(
            replace(report, scenarios=(bare, replace(noisy, claims=(over_claimed(),))))
        ).text
        assert "dp_gallery OVER-CLAIMED Gaussian by the recipe" in shown
        assert "ε claimed 0.1 ε certified 462.31 ε audited, at least 7.9" in shown
        assert "ε audited, sharper 211 (assumes Gaussian)" in shown
        assert "lower bound at 95% confidence" in shown
        assert "two rows of one person (median) 0.713 88.1" in shown
        assert "the two rows farthest apart 1.310 unbounded" in shown
        assert "right at most 99.9% of the time with one stored row" in shown
        assert "Measured: identity: Top-1" in shown

    def test_a_private_training_shows_its_noise_its_steps_and_both_accountants(self):
        report = example_record()
        bare, noisy = report.scenarios
        claimed = replace(noisy, claims=(private_training(),))
        shown = read(replace(report, scenarios=(bare, claimed))).text
        assert "Two training sets are neighbours with one image added or taken away" in shown
        assert (
            "noise multiplier 0.61 gradients clipped at 1 sampling rate 0.0526 steps 1,900" in shown
        )
        assert "ε by Opacus (RDP) 7.97 ε by dp-accounting (RDP) unbounded" in shown
        assert "σ per coordinate" not in shown

    def test_certificates_say_whether_power_was_shown(self):
        shown = read(example_record()).text
        assert shown.count("Power certificate controls passed") == 2
        assert shown.count("Power certificate planted leak missed") == 1
        assert "Power certificate not tried" in read(failed_record()).text

    def test_the_strongest_rung_comes_first_and_its_rungs_after_it(self):
        shown = read(detailed_record()).text
        card = shown[shown.index("Leakage, lower is better") :]
        top = card.index("identity, strongest rung: Top-1 57.8%")
        assert top < card.index("identity: Top-1 57.8%") < card.index("identity_lda: Top-1 5.0%")
        assert "another rung of the ladder passed its controls" in card
        assert "the strongest of 3 rungs counts" in shown
        assert "another rung of its family passed its controls" in shown

    def test_a_lone_attack_has_no_ladder(self):
        assert "rungs counts" not in read(example_record()).text

    def test_the_most_exposed_people_have_pseudonyms(self):
        shown = read(detailed_record()).text
        section = shown[shown.index("Most exposed people An average") :]
        assert "of 120 people" in section
        for person in detailed_record().scenarios[0].exposure.most:
            assert person.pseudonym in section
        missing = "cannot say who is most exposed"
        assert missing not in section
        assert missing in read(example_record()).text

    def test_groups_are_shown_with_the_difference_and_small_ones_are_not(self):
        shown = read(detailed_record()).text
        assert "gender: female is more exposed than male by 20.0 percentage points" in shown
        assert "(p = 0.002 after Holm" in shown
        assert "bag 1 value not shown: too few people" in shown
        assert "hat: female is more exposed" not in shown

    def test_curves_are_drawn_with_what_they_say(self):
        text = show(detailed_record())
        shown = Reader(text).text
        figures = [x for x in Reader(text).texts if x.startswith("Top-1 against auxiliary people")]
        assert len(figures) == 6  # two drawings, each with a caption, a title and a table
        assert "Not saturated: from 94 to 375 auxiliary people it gains 16.0 points." in shown
        assert "38: 31.0% (27.0% to 35.0%); 94:" in shown
        assert "false-positive rate" in shown

    def test_limitations(self):
        shown = read(failed_record()).text
        limits = shown[shown.index("Limitations, and what was not tested This report") :]
        for words in (
            "does not constitute a determination of anonymity or of compliance",
            "none/identity failed: RuntimeError: the classifier diverged.",
            "none/attribute does not apply: no attribute is annotated",
            "The scenario dp_gallery failed",
            "The audit was interrupted",
        ):
            assert words in limits

    def test_sections_come_in_the_order_of_an_assessment(self):
        headings = [a["id"] for tag, a in read(detailed_record()).tags if tag == "section"]
        assert headings == [
            *(
                "verdict",
                "key-findings",
                "scope",
                "threats",
                "results",
                "defenses",
                "claims",
                "people",
            ),
            *("rank-lists", "power", "limits", "annexes", "reproducibility", "glossary", "signoff"),
        ]

    def test_every_attack_has_its_threat_model_in_four_parts(self):
        report = example_record()
        adversary = Adversary(knowledge="half the names", access="the gallery", auxiliary="none")
        bare = report.scenarios[0]
        told = replace(bare.findings[0], adversary=adversary)
        bare = replace(bare, findings=(told, *bare.findings[1:]))
        shown = read(replace(report, scenarios=(bare, *report.scenarios[1:]))).text
        words = "half the names the gallery none epochs 40, train share 0.5"
        assert f"with a softmax classifier. {words}" in shown
        # a plug-in that does not say it in parts is quoted
        assert "Has the stored gallery and own, annotated pictures of other people." in shown

    def test_results_stand_under_the_risk_they_try(self):
        shown = read(example_record()).text
        results = shown[shown.index("Results Grouped by the three risks") :]
        places = [
            results.index(words)
            for words in (
                "Singling out Whether",
                "identity Names the person",
                "Linkability Whether",
                "not tested No attack in this audit tests this risk.",
                "Inference Whether",
                "attribute Reads attributes",
                "inversion Reconstructs",
            )
        ]
        assert places == sorted(places)
        assert "Other attacks" not in shown

    def test_an_unknown_family_has_a_group_of_its_own(self):
        report = example_record()
        bare = report.scenarios[0]
        stranger = replace(bare.findings[0], attack="gait", family="gait")
        shown = read(replace(report, scenarios=(replace(bare, findings=(stranger,)),))).text
        assert "Other attacks gait Names the person" in shown

    def test_what_was_not_tested_is_said(self):
        shown = read(example_record()).text
        limits = shown[shown.index("Not tested Not tested:") :]
        assert "linking two releases of the gallery (linkability; attack family linkage)" in limits
        assert "attack family identity)" not in limits
        crashed = read(failed_record()).text
        assert "attack family identity)" in crashed  # it was planned, but there is no result

    def test_the_change_from_the_bare_model_is_said(self):
        shown = read(example_record()).text
        assert "9.7% 5.6–13.8% −80.6 points" in shown
        assert "61.0% 58.0–64.0% −22.1 points" in shown

    def test_the_page_needs_no_wall_clock(self):
        shown = read(example_record()).text
        assert "2026" not in shown
        assert "seed 0" in shown

    def test_the_page_names_the_record_it_shows(self):
        report = example_record()
        assert hashlib.sha256(dumps(report).encode()).hexdigest() in show(report)

    def test_a_record_of_nothing_still_renders(self):
        shown = assert_inert(show(AuditReport(title="nothing", config={}))).text
        assert "Inconclusive" in shown
        assert "No scenario was measured." in shown


class TestFolding:
    def test_of_many_metrics_those_of_attributes_and_groups_fold_away(self):
        headline = ["described_rank1", "anonymity_median", "reid_rank1.osnet"]
        groups = [f"anonymity_median@hat={value}" for value in ("yes", "no")]
        single = [f"{name}.share_error" for name in "abcd"]
        few = [measured(name, 0.5, 0.1, 0.1) for name in (*headline, *groups)]
        many = [measured(name, 0.5, 0.1, 0.1) for name in (*headline, *groups, *single)]
        assert fold(few) == ([*headline, *groups], [])
        assert fold(many) == (headline, [*groups, *single])


def _with(finding, more):
    return replace(finding, measurements=(*finding.measurements, *more))


class TestAccess:
    @pytest.mark.parametrize("make", RECORDS)
    def test_tables_have_captions_and_scopes(self, make):
        reader = read(make(), Gate(address="*/identity/top1", limit=0.1))
        names = [tag for tag, _ in reader.tags]
        assert names.count("table") == names.count("caption") > 2
        assert all(head.get("scope") for head in reader.all("th"))

    def test_landmarks_language_and_one_title(self):
        reader = read(example_record())
        names = [tag for tag, _ in reader.tags]
        assert reader.all("html") == [{"lang": "en"}]
        assert [names.count(tag) for tag in ("main", "nav", "header", "footer", "h1")] == [1] * 5
        levels = [int(name[1]) for name in names if re.fullmatch(r"h\d", name)]
        assert all(after <= before + 1 for before, after in pairwise(levels))

    @pytest.mark.parametrize("make", RECORDS)
    def test_names_are_unique_and_every_link_arrives(self, make):
        reader = read(make())
        names = [a["id"] for _, a in reader.tags if a.get("id")]
        assert len(names) == len(set(names))
        targets = [a["href"] for _, a in reader.tags if (a.get("href") or "").startswith("#")]
        labels = [a["aria-labelledby"] for _, a in reader.tags if a.get("aria-labelledby")]
        assert {target[1:] for target in targets} | set(labels) <= set(names)

    def test_each_table_that_scrolls_has_a_name_of_its_own(self):
        groups = [measured(f"top1@hat={name}", 0.5, 0.1, 0.1) for name in range(9)]
        crowded = [
            replace(
                scenario, findings=tuple(_with(finding, groups) for finding in scenario.findings)
            )
            for scenario in example_record().scenarios
        ]
        reader = read(replace(example_record(), scenarios=tuple(crowded)))
        regions = [
            a["aria-label"]
            for _, a in reader.tags
            if a.get("role") == "region" and "aria-label" in a
        ]
        assert sum("groups" in name for name in regions) > 1
        assert len(regions) == len(set(regions))

    def test_bars_are_hidden_and_drawings_are_read_out(self):
        reader = read(pictured_record())
        bars = [a for a in reader.all("svg") if a.get("class") == "bar"]
        drawings = [a for a in reader.all("svg") if a.get("class") != "bar"]
        assert len(bars) > 10
        assert all(bar.get("aria-hidden") == "true" for bar in bars)  # the numbers stand beside
        names = {a.get("id") for _, a in reader.tags}
        assert len(drawings) > 8
        for drawing in drawings:
            assert drawing["role"] == "img"
            assert {drawing["aria-labelledby"], drawing["aria-describedby"]} <= names

    def test_every_drawing_has_a_table_with_the_same_numbers(self):
        reader = read(pictured_record())
        drawings = [a for a in reader.all("svg") if a.get("class") != "bar"]
        assert reader.texts.count("As a table") == len(drawings)


def test_a_page_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    render(example_record(), [], path, root=tmp_path, reveal=False)
    before = path.read_bytes()

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(EnvironmentUnmetError, match="No space left"):
        render(failed_record(), [], path, root=tmp_path, reveal=False)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
