"""A folder is whole, or every difference is named; what was purged is told from what is missing."""

import json
import subprocess
from dataclasses import replace
from shutil import which

import pytest

from auditor.artifacts import manifest, signing
from auditor.artifacts import purge as purging
from auditor.errors import EnvironmentUnmetError, UsageError
from auditor.report import dumps
from tests.records import example_record

PEOPLE = ("personal/none/utility/a.png", "personal/pseudonyms.csv")


@pytest.fixture
def folder(tmp_path):
    """An audit's folder as `audit run` leaves it."""
    place = tmp_path / "out"
    for path in (*PEOPLE, "steps/01-probe.json", "report.html", "report.xlsx"):
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_text(f"the content of {path}")
    (place / "report.json").write_text(dumps(replace(example_record(), real_people=True)))
    manifest.seal(place, [place / "report.html", place / "report.xlsx"], revealed=False)
    return place


@pytest.fixture
def keys(tmp_path):
    """A private and a public key in PEM."""
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric import ed25519

    private = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    plain = (s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())
    public = (s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pem").write_bytes(private.private_bytes(*plain))
    (tmp_path / "public.pem").write_bytes(private.public_key().public_bytes(*public))
    return tmp_path / "key.pem", tmp_path / "public.pem"


class TestVerify:
    def test_an_untouched_folder_is_whole(self, folder):
        found = manifest.verify(folder)
        assert found.whole
        assert set(found.same) == {
            *PEOPLE,
            "steps/01-probe.json",
            "report.html",
            "report.json",
            "report.xlsx",
        }

    def test_digests_are_those_of_another_implementation(self, folder):
        written = json.loads((folder / "manifest.json").read_text())["files"]["report.html"]
        known = subprocess.run(
            ["sha256sum", folder / "report.html"], capture_output=True, text=True, check=True
        )
        assert written["sha256"] == known.stdout.split()[0]
        assert written["size"] == (folder / "report.html").stat().st_size

    def test_every_difference_is_named(self, folder):
        (folder / "report.html").write_text("something else")
        (folder / "report.xlsx").unlink()
        (folder / "personal" / "extra.png").write_text("new")
        (folder / "notes.txt").write_text("new")
        (folder / ".hidden").write_text("new")
        found = manifest.verify(folder)
        assert found.changed == ("report.html",)
        assert found.missing == ("report.xlsx",)
        assert found.added == (".hidden", "notes.txt", "personal/extra.png")
        assert not found.whole

    def test_a_file_that_became_a_link_to_its_like_is_no_difference_but_a_lost_one_is(
        self, folder, tmp_path
    ):
        (folder / "report.html").unlink()
        (folder / "report.html").symlink_to(tmp_path / "nowhere")
        with pytest.raises(UsageError, match=r"report\.html"):
            manifest.verify(folder)

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"created": 1}', "\x00"])
    def test_what_is_no_manifest_is_one_line(self, folder, text):
        (folder / "manifest.json").write_text(text)
        with pytest.raises(UsageError, match=r"^[^\n]*not a manifest of an audit[^\n]*$"):
            manifest.verify(folder)

    def test_a_folder_without_one_says_who_writes_it(self, tmp_path):
        with pytest.raises(UsageError, match="audit run"):
            manifest.verify(tmp_path)


class TestSeal:
    def test_rendering_again_vouches_for_what_was_rendered_alone(self, folder):
        (folder / "report.html").write_text("rendered again")
        (folder / "report.json").write_text(dumps(replace(example_record(), title="forged")))
        manifest.seal(folder, [folder / "report.html"], revealed=False)
        assert manifest.verify(folder).changed == ("report.json",)

    def test_a_folder_without_a_record_is_not_sealed(self, tmp_path):
        (tmp_path / "report.html").write_text("x")
        manifest.seal(tmp_path, [tmp_path / "report.html"], revealed=False)
        assert not (tmp_path / "manifest.json").exists()

    def test_what_shows_people_is_remembered_until_it_does_not(self, folder):
        page = folder / "report.html"
        manifest.seal(folder, [page], revealed=True)
        assert manifest.read(folder).revealed == ("report.html",)
        manifest.seal(folder, [page], revealed=False)
        assert manifest.read(folder).revealed == ()


class TestPurge:
    def test_people_go_with_a_record_and_the_rest_stays_whole(self, folder):
        before = manifest.read(folder).files
        removed = purging.purge(folder)
        assert set(removed.files) == {*PEOPLE, "steps/01-probe.json"}
        assert not (folder / "personal").exists()
        assert not (folder / "steps").exists()
        (kept,) = manifest.purges(folder)
        assert kept == removed
        assert all(kept.files[path] == before[path] for path in kept.files)
        found = manifest.verify(folder)
        assert found.whole
        assert set(found.purged) == set(removed.files)
        assert set(found.same) == {"report.html", "report.json", "report.xlsx"}

    def test_twice_is_once(self, folder):
        purging.purge(folder)
        record = (folder / "purge.json").read_bytes()
        assert purging.purge(folder).files == {}
        assert (folder / "purge.json").read_bytes() == record

    def test_what_came_back_is_purged_again_and_both_are_on_record(self, folder):
        purging.purge(folder)
        (folder / "personal").mkdir()
        (folder / "personal" / "b.png").write_text("again")
        purging.purge(folder)
        assert [len(purge.files) for purge in manifest.purges(folder)] == [3, 1]

    def test_a_rendering_that_names_people_goes_too(self, folder):
        manifest.seal(folder, [folder / "report.html"], revealed=True)
        assert "report.html" in purging.purge(folder).files
        assert not (folder / "report.html").exists()
        assert (folder / "report.xlsx").exists()
        assert manifest.verify(folder).whole

    def test_a_manifest_cannot_name_other_files_to_remove(self, folder, tmp_path):
        (tmp_path / "precious").write_text("x")
        forged = replace(
            manifest.read(folder), revealed=("../precious", "report.json", "report.x/../../y")
        )
        (folder / "manifest.json").write_bytes(manifest.as_json(forged, manifest._MANIFEST))
        purging.purge(folder)
        assert (tmp_path / "precious").exists()
        assert (folder / "report.json").exists()

    def test_what_was_changed_before_it_was_purged_is_told(self, folder):
        (folder / PEOPLE[0]).write_text("another picture")
        purging.purge(folder)
        assert manifest.verify(folder).changed == (PEOPLE[0],)

    def test_what_is_missing_without_a_purge_is_missing(self, folder):
        (folder / PEOPLE[0]).unlink()
        purging.purge(folder)
        assert manifest.verify(folder).missing == (PEOPLE[0],)

    def test_a_folder_that_is_no_audit_is_left_alone(self, tmp_path):
        (tmp_path / "personal").mkdir()
        (tmp_path / "personal" / "mine.txt").write_text("x")
        with pytest.raises(UsageError, match=r"report\.json"):
            purging.purge(tmp_path)
        (tmp_path / "report.json").write_text('{"some": "thing"}')
        with pytest.raises(UsageError, match="not an audit record"):
            purging.purge(tmp_path)
        assert (tmp_path / "personal" / "mine.txt").exists()

    @pytest.mark.parametrize("link", ["personal", "personal/none/utility/a.png"])
    def test_links_are_not_followed(self, folder, tmp_path, link):
        precious = tmp_path / "precious"
        precious.mkdir()
        (precious / "x").write_text("x")
        path = folder / link
        path.rename(tmp_path / "moved")
        path.symlink_to(precious)
        with pytest.raises(UsageError, match="is a link"):
            purging.purge(folder)
        assert (precious / "x").exists()

    def test_a_disk_that_refuses_is_said(self, folder, monkeypatch):
        def refuse(*arguments, **keywords):
            raise PermissionError(1, "Operation not permitted", "a.png")

        monkeypatch.setattr(purging.shutil, "rmtree", refuse)
        with pytest.raises(EnvironmentUnmetError, match="purge again"):
            purging.purge(folder)

    def test_a_broken_record_of_purges_is_not_overwritten(self, folder):
        (folder / "purge.json").write_text("{")
        with pytest.raises(UsageError, match="not a record of a purge"):
            purging.purge(folder)
        assert (folder / "personal").exists()


class TestSigning:
    def test_the_right_key_fits_and_any_change_does_not(self, folder, keys):
        signing.sign(folder, keys[0])
        assert signing.signed(folder, keys[1])
        content = (folder / "manifest.json").read_bytes()
        (folder / "manifest.json").write_bytes(content.replace(b"report.html", b"report.htmm"))
        assert not signing.signed(folder, keys[1])

    def test_it_stays_good_after_a_purge(self, folder, keys):
        signing.sign(folder, keys[0])
        purging.purge(folder)
        assert signing.signed(folder, keys[1])
        assert manifest.verify(folder).whole

    @pytest.mark.skipif(which("openssl") is None, reason="needs openssl")
    def test_another_tool_agrees(self, folder, keys):
        signing.sign(folder, keys[0])
        command = ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", str(keys[1])]
        command += ["-in", str(folder / "manifest.json")]
        command += ["-sigfile", str(folder / "manifest.sig")]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr + done.stdout

    def test_a_key_that_is_none_is_one_line(self, folder, keys, tmp_path):
        signing.sign(folder, keys[0])
        (tmp_path / "bad.pem").write_text("-----BEGIN NONSENSE-----")
        for call in (signing.sign, signing.signed):
            with pytest.raises(UsageError, match=r"^[^\n]*in PEM[^\n]*$"):
                call(folder, tmp_path / "bad.pem")
            with pytest.raises(UsageError, match="cannot read"):
                call(folder, tmp_path / "missing.pem")

    def test_other_kinds_of_keys_are_refused(self, folder, tmp_path):
        from cryptography.hazmat.primitives import serialization as s
        from cryptography.hazmat.primitives.asymmetric import ec

        other = ec.generate_private_key(ec.SECP256R1())
        locked = s.BestAvailableEncryption(b"x")
        for name, how in (("other", s.NoEncryption()), ("locked", locked)):
            pem = other.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, how)
            (tmp_path / f"{name}.pem").write_bytes(pem)
        with pytest.raises(UsageError, match="not an Ed25519 key"):
            signing.sign(folder, tmp_path / "other.pem")
        with pytest.raises(UsageError, match="passphrase"):
            signing.sign(folder, tmp_path / "locked.pem")

    def test_an_unsigned_folder_says_how_to_sign(self, folder, keys):
        with pytest.raises(UsageError, match="audit sign"):
            signing.signed(folder, keys[1])
