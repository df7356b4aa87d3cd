"""Adding records by the page: as one by one, and one that is refused hinders no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from storage.bulk import Item
from storage.errors import RefusedError
from storage.records import Exchange, Measurement, digest, utc_text
from storage.store import Store
from storage.train_dictionary import Invention

START = 1497916800.0  # 20 June 2017
BODY = b"<title>blocked</title>" * 20


def made(store: Store, seed: int, **changes: Any) -> Measurement:
    """Return an invented measurement of the store's vantage that names one body."""
    step = Exchange(
        connection=1,
        url="http://site.example/",
        address="192.0.2.1",
        body=digest(BODY),
        start=utc_text(START),
        duration_us=1,
    )
    vantage = store.own_vantage(country="KZ", asn=64500 + seed % 2, network="Invented Telecom")
    fixed = {"vantage": vantage, "time": utc_text(START + seed), "steps": [step]}
    return msgspec.structs.replace(Invention(seed).measurement(), **{**fixed, **changes})


def test_a_page_leaves_what_adding_one_by_one_leaves(tmp_path: Path) -> None:
    with Store(tmp_path / "page.db") as store:
        records = [made(store, seed) for seed in range(6)]
        store.add(records[0], {digest(BODY): BODY}).result()
        added = store.add_page([Item(one, {digest(BODY): BODY}) for one in records]).result()
        assert [one.new for one in added] == [False, True, True, True, True, True]
        store.add(made(store, 6)).result()  # the chain goes on behind a page
        assert store.check() == []
        ids = {stored.id for stored in store.measurements()}
        places = sorted((e.vantage, e.sequence) for id in ids for e in store.envelopes(id))
        assert len(places) == len(set(places)) == 7
        assert store.blob(digest(BODY)) == BODY
        steps_before = store.rebuild_steps()
        assert steps_before == 7
        assert store.check() == []


def test_a_page_of_several_months_has_the_keys_of_each(tmp_path: Path) -> None:
    with Store(tmp_path / "months.db") as store:
        month = 32 * 86400
        records = [made(store, 2 * n, time=utc_text(START + n * month)) for n in range(4)]
        store.add_page([Item(record) for record in records]).result()
        keys = {e.key for stored in store.measurements() for e in store.envelopes(stored.id)}
        assert len(keys) == 4
        assert store.check() == []


def test_a_refused_record_hinders_no_other(tmp_path: Path) -> None:
    with Store(tmp_path / "s.db") as store:
        good, bad = made(store, 1), made(store, 2, time="yesterday")
        stranger = Item(made(store, 3), {digest(b"another"): b"another"})
        added = store.add_page([Item(bad), Item(good), stranger, Item(good)]).result()
        assert [one.new for one in added] == [False, True, False, False]
        assert "yesterday" in str(added[0].refused)
        assert "does not name the blob" in str(added[2].refused)
        assert added[3].refused is None
        assert len(list(store.measurements())) == 1
        assert store.check() == []


def test_of_a_page_with_both_kinds_nothing_enters(tmp_path: Path) -> None:
    with Store(tmp_path / "s.db") as store:
        first = made(store, 1)
        items = [Item(first), Item(made(store, 2, simulated=not first.simulated))]
        with pytest.raises(RefusedError, match="may not enter"):
            store.add_page(items).result()
        assert list(store.measurements()) == []
        assert store.simulated() is None
