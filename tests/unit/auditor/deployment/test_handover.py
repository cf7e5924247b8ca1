"""Both folders, or neither, and what was there before comes back."""

import stat

import pytest

from auditor.deployment.handover import handover, key_folder
from auditor.errors import EnvironmentUnmetError


@pytest.fixture
def earlier(tmp_path):
    out = tmp_path / "out"
    for folder in (out, key_folder(out)):
        folder.mkdir()
        (folder / "old").write_text("kept")
    return out


def test_both_folders_take_the_place_of_earlier_ones(earlier):
    with handover(earlier) as (public, private):
        (public / "new").write_text("given")
        (private / "new").write_text("secret")
    assert [path.name for path in earlier.iterdir()] == ["new"]
    assert (key_folder(earlier) / "new").read_text() == "secret"
    assert stat.S_IMODE(key_folder(earlier).stat().st_mode) == 0o700
    assert len(list(earlier.parent.iterdir())) == 2


def test_a_failure_inside_changes_nothing(earlier):
    def fail():
        with handover(earlier) as (public, _):
            (public / "new").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (earlier / "old").read_text() == "kept"
    assert len(list(earlier.parent.iterdir())) == 2


def test_a_key_that_cannot_be_placed_takes_the_folder_back_too(earlier):
    with pytest.raises(EnvironmentUnmetError, match=r"out\.key"), handover(earlier) as (_, private):
        private.rmdir()
    assert (earlier / "old").read_text() == "kept"
    assert (key_folder(earlier) / "old").read_text() == "kept"
    assert len(list(earlier.parent.iterdir())) == 2
