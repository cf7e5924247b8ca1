"""A batch is loaded while the one before it is worked on; everything else is as without."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Event, current_thread, main_thread

import pytest
import torch

from auditor import embedding
from auditor.data import open_dataset
from auditor.data.loading_ahead import LoadingAhead
from auditor.data.synthetic.world import save_world
from auditor.embedding import features_of
from auditor.errors import DataError
from auditor.types import RunContext
from tests import worlds

ROWS = torch.arange(10.0)[:, None, None, None].expand(-1, 3, 2, 2)


def test_rows_come_in_order_whatever_is_asked_for():
    with closing(LoadingAhead(lambda rows: ROWS[rows], len(ROWS), pinned=False)) as ahead:
        for rows in (slice(0, 4), slice(4, 8), slice(8, 10), slice(2, 3), slice(3, 5)):
            assert torch.equal(ahead(rows), ROWS[rows])


def test_the_next_batch_is_begun_before_it_is_asked_for_and_no_other():
    begun, asked = Event(), []

    def load(rows):
        asked.append((rows, current_thread() is main_thread()))
        if rows.start == 4:
            begun.set()
        return ROWS[rows]

    with closing(LoadingAhead(load, len(ROWS), pinned=False)) as ahead:
        ahead(slice(0, 4))
        assert begun.wait(30)
        assert asked == [(slice(0, 4), True), (slice(4, 8), False)]


def test_an_error_is_raised_when_its_rows_are_asked_for():
    def load(rows):
        if rows.start:
            raise DataError("a broken picture")
        return ROWS[rows]

    with closing(LoadingAhead(load, len(ROWS), pinned=False)) as ahead:
        ahead(slice(0, 4))
        with pytest.raises(DataError, match="a broken picture"):
            ahead(slice(4, 8))


def test_a_thread_ends_with_whoever_asked(monkeypatch):
    ended = []
    shutdown = ThreadPoolExecutor.shutdown
    monkeypatch.setattr(
        ThreadPoolExecutor,
        "shutdown",
        lambda pool, **how: ended.append(how) or shutdown(pool, **how),
    )
    ahead = LoadingAhead(ROWS.__getitem__, 10, pinned=False)
    with pytest.raises(ValueError, match="stop"), closing(ahead):
        raise ValueError("stop")
    assert ended == [{"wait": True, "cancel_futures": True}]


def test_features_of_files_are_the_same_with_it(tmp_path, monkeypatch):
    save_world(worlds.few(), tmp_path)
    gallery, extractor = open_dataset(tmp_path).gallery, worlds.trainable().extractor
    gallery = gallery.take(
        torch.arange(len(gallery)).repeat(1 + 2 * embedding.BATCH // len(gallery))
    )
    plain = features_of(extractor, gallery, RunContext())
    used = []

    def ahead(load, count, *, pinned):
        used.append(pinned)
        return LoadingAhead(load, count, pinned=False)

    monkeypatch.setattr(embedding, "worth_it", lambda device: True)
    monkeypatch.setattr(embedding, "LoadingAhead", ahead)
    assert torch.equal(features_of(extractor, gallery, RunContext()), plain)
    assert used == [True]
    features_of(extractor, worlds.few().gallery, RunContext())
    assert used == [True]  # pictures that are no files are computed where they are
