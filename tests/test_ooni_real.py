"""Real measurements of ten years, where they lie beside the project."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reports.cases import gather
from reports.verdicts import judge
from sitewatch.ooni_files import import_ooni
from storage.store import Store
from tests.ooni_reading import SAMPLES

REAL = {
    # The page was reached inside TLS.
    "01202003026e2b60ffaa8e1b2bc7865d0bc26659": ("accessible", None, (False, True)),
    "20221110100919.165568_US_webconnectivity_782abf479bf32868": (
        "accessible",
        None,
        (False, True),
    ),
    "issue-2456": ("accessible", None, (False, True)),
    # It led over plain HTTP to another site, whose page is the one that the helper got as well.
    "firefoxcom": ("accessible", None, (False, True)),
    # A redirect to a block page of another host: OONI took shared header names for agreement.
    "20250527233111.802678_ID_webconnectivity_5a37ec909dbf14e3": (
        "inconclusive",
        "http.redirect",
        (False, True),
    ),
    # Port 80 is dead for the helper too: OONI leaves such measurements without a verdict.
    "dnsgoogle80": ("down", None, (None, None)),
    # The helper failed as well, but with "unknown_error", which is not provably the same way.
    "20201029043459.005820_RU_webconnectivity_604f1cb2579d144d": (
        "inconclusive",
        None,
        (False, False),
    ),
    # A forged private address: without an encrypted resolver only suspected.
    "web_connectivity_ir_fp": ("blocked", "dns.forged-address", ("dns", False)),
    # A network's login page at a private address.
    "web_connectivity_b64_hdr": ("inconclusive", None, ("http-failure", False)),
    # A name that does not exist abroad either; the network shows a search page instead.
    "web_connectivity_odd_hdr": ("inconclusive", None, ("dns", False)),
}


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the real measurements are not here")
def test_all_real_measurements_are_read_and_judged_soberly(tmp_path: Path) -> None:
    seen = {}
    for path in sorted(SAMPLES.glob("*.json")):
        with Store(tmp_path / f"{path.stem}.db") as store:
            done = import_ooni(store, path)
            assert (done.new, done.broken) == (1, 0), done
            (case,) = gather(store.measurements())
            assert store.check() == []
        found = judge(case)
        keys = json.loads(path.read_bytes())["test_keys"]
        technique = f"{found.layer}.{found.technique}" if found.layer else None
        seen[path.stem] = (found.status, technique, (keys["blocking"], keys["accessible"]))
    assert seen == REAL
