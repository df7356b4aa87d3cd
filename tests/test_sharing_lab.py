"""Sharing by real programs: measured in the lab, exported, verified, merged, judged, compared."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lab.described import Network
from lab.network import World
from lab.scenario import Scenario, load_scenario
from storage.store import Store
from tests.lab_worlds import require_lab

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("sharing")]

PATIENCE = 120  # seconds that one program may take on a busy machine
PROGRAM = [sys.executable, "-m", "sitewatch"]
WATCHED, DEAD = "https://watched.example/", "https://dead.example/"

# Volunteers, and the network on which each stands.
ALIKE = {"aigul": "isp", "dana": "isp", "timur": "rival"}  # in the scenario tls-drop
WITNESSES = {"aset": "isp", "saule": "rival", "watcher": "outside"}  # in the one below

# One operator cuts a name off and a rival of the same country does not; a second site answers
# nobody in the world. No helper is asked and the field's tier sends no contrast, so that what
# other vantages hand in is all the evidence there is from elsewhere.
WITNESSED = f"""
country = "KZ"
targets = ["{WATCHED}", "{DEAD}"]
helpers = []
[[networks]]
name = "isp"
asn = 64496
[[networks]]
name = "rival"
asn = 64497
[[networks]]
name = "outside"
asn = 64498
country = "NL"
[[censors]]
kind = "tls-reset"
names = ["watched.example"]
networks = ["isp"]
[[downs]]
hosts = ["dead.example"]
[sitewatch.limits]
dns_timeout = 1.0
connect_timeout = 1.0
tls_timeout = 2.0
http_timeout = 2.0
[sitewatch.safety]
tier = "browser-like"
"""


def alike() -> Scenario:
    """Return the scenario tls-drop with a second network, whose operator censors alike."""
    scenario = load_scenario("tls-drop")
    # Most of the time is silence: be less patient, and leave out the walk that ends each suspicion.
    quicker = {"tls_timeout": 1.0, "sensitive_per_target_day": 1}
    limits = {**scenario.sitewatch["limits"], **quicker}
    return msgspec.structs.replace(
        scenario,
        networks=(*scenario.networks, Network(name="rival", asn=64497, title="Rival Telecom")),
        sitewatch={**scenario.sitewatch, "limits": limits},
    )


def measured(scenario: Scenario, volunteers: Mapping[str, str], folder: Path) -> dict[str, Path]:
    """Measure the targets for all volunteers at once, each with a database and keys of its own.

    A volunteer on the network "outside" runs a reference vantage. Return everybody's exact bundle.
    """
    with World(scenario, seed=3) as world:
        if "outside" in world.clients:
            make_reference(world.config_path("outside"))

        def share(volunteer: str) -> Path:
            client, bundle = volunteers[volunteer], folder / f"{volunteer}.bundle"
            database = ["--database", str(bundle.with_suffix(".db"))]
            run_inside(world, client, ["measure", "--json", *scenario.targets, *database])
            run_inside(world, client, ["export", "--exact", str(bundle), *database])
            return bundle

        with ThreadPoolExecutor(len(volunteers)) as pool:
            return dict(zip(volunteers, pool.map(share, volunteers), strict=True))


def make_reference(config: Path) -> None:
    """Change a client's configuration to that of a reference vantage in another country."""
    text = config.read_text()
    assert 'country = "KZ"' in text
    config.write_text(text.replace('country = "KZ"', 'country = "NL"\nkind = "reference"'))


def run_inside(world: World, client: str, words: Sequence[str]) -> None:
    process = world.popen(
        client, [*PROGRAM, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, f"{words}: {errors.decode()}"


def sitewatch(*words: str | Path) -> str:
    """Run the program as anybody would; return what it printed. It has to exit with 0."""
    argv = [*PROGRAM, *map(str, words)]
    done = subprocess.run(argv, capture_output=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, f"{argv}: {done.stderr.decode()}"
    return done.stdout.decode()


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Everybody's bundle, by name. Both worlds run at once: most of the time is waiting."""
    require_lab()
    folder = tmp_path_factory.mktemp("volunteers")
    (folder / "witnessed.toml").write_text(WITNESSED)
    witnessed = load_scenario(folder / "witnessed.toml")
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(measured, alike(), ALIKE, folder)
        second = pool.submit(measured, witnessed, WITNESSES, folder)
        return {**first.result(), **second.result()}


# --- several volunteers' bundles in one database --------------------------------------------------


def told_of(database: Path, files: Sequence[Path], day: str) -> dict[str, str]:
    """Import files into a new database; return all that is told of it.

    That is the document of episodes, the root over its chains and each file of a report.
    """
    folder = database.with_suffix("")
    sitewatch("import", *files, "--database", database)
    episodes = sitewatch("episodes", "--json", "--exact", "--database", database)
    span = ("--from", day, "--to", day)
    sitewatch("report", *span, "--output", folder, "--database", database)
    return {
        "episodes": episodes,
        "root": sitewatch("export", "--root", "--database", database),
        **{file.name: file.read_text() for file in folder.iterdir()},
    }


def test_every_bundle_is_intact_and_of_its_own_keys(bundles: dict[str, Path]) -> None:
    files = [bundles[name] for name in ALIKE]
    with ThreadPoolExecutor(len(files)) as pool:
        found = [
            json.loads(told) for told in pool.map(partial(sitewatch, "verify", "--json"), files)
        ]
    for findings in found:
        assert findings["healthy"] is True
        assert findings["simulated"] is True
        (chain,) = findings["chains"]
        assert chain["intact"] == chain["last"] - chain["first"] + 1 > 1
    assert len({findings["chains"][0]["vantage"] for findings in found}) == len(ALIKE)
    assert len({findings["chains"][0]["keys"][0]["key"] for findings in found}) == len(ALIKE)


def test_the_order_of_bundles_changes_no_byte(bundles: dict[str, Path], tmp_path: Path) -> None:
    files = [bundles[name] for name in ALIKE]
    with Store(files[0].with_suffix(".db"), create=False) as store:
        day = next(store.rounds()).record.time[:10]
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(told_of, tmp_path / "one.db", files, day)
        second = pool.submit(told_of, tmp_path / "other.db", [*reversed(files), *files], day)
        one, other = first.result(), second.result()
    assert one == other
    assert {"report.html", "report.md", "episodes.json"} <= one.keys()
    assert "watched.example" in one["report.html"]
    episodes = json.loads(one["episodes"])["episodes"]
    assert {(e["asn"], e["vantages"], e["blocked"]) for e in episodes} == {
        (64496, 2, 2),
        (64497, 1, 1),
    }
    for episode in episodes:
        assert (episode["url"], episode["certainty"]) == (WATCHED, "confirmed")
        assert episode["techniques"] == {"tls.timeout": episode["blocked"]}


# --- a reference vantage as witness -------------------------------------------------------------


def conclusions(database: Path) -> dict[tuple[str, int | None, str], str]:
    """Return what every vantage's measurement came to, by its kind, ASN and URL."""
    with Store(database, create=False) as store:
        return {
            (row.vantage_kind, row.asn, row.url): " ".join(
                filter(None, [row.verdict.status, row.verdict.certainty])
            )
            for row in store.judged()
            if row.verdict is not None
        }


def judged(database: Path, *files: Path) -> list[dict[str, Any]]:
    """Import bundles and judge everything; return what is judged differently now."""
    sitewatch("import", *files, "--database", database)
    document = json.loads(sitewatch("judge", "--all", "--json", "--database", database))
    return list(document["changed"])


def test_a_reference_vantage_tells_a_dead_site_from_a_blocked_one(
    bundles: dict[str, Path], tmp_path: Path
) -> None:
    database = tmp_path / "merged.db"
    judged(database, bundles["aset"], bundles["saule"])
    unsure = "inconclusive suspected"
    assert conclusions(database) == {
        ("field", 64496, WATCHED): unsure,
        ("field", 64496, DEAD): unsure,
        ("field", 64497, WATCHED): "accessible",
        ("field", 64497, DEAD): unsure,
    }
    changed = judged(database, bundles["watcher"])
    assert conclusions(database) == {
        ("field", 64496, WATCHED): "blocked likely",
        ("field", 64496, DEAD): "down",
        ("field", 64497, WATCHED): "accessible",
        ("field", 64497, DEAD): "down",
        ("reference", 64498, WATCHED): "accessible",
        ("reference", 64498, DEAD): unsure,  # nobody else was abroad
    }
    (cut_off,) = [each["after"] for each in changed if each["after"]["status"] == "blocked"]
    assert (cut_off["layer"], cut_off["technique"]) == ("tls", "reset")
    assert cut_off["rules"] == ["two-witnesses"]
    down = [each for each in changed if each["after"]["status"] == "down"]
    assert {each["url"] for each in down} == {DEAD}
    assert all(each["after"]["rules"] == ["site.down"] for each in down)
    # What the reference vantage itself could not reach is nobody's episode.
    episodes = json.loads(sitewatch("episodes", "--json", "--database", database))["episodes"]
    assert [(e["country"], e["asn"], e["url"]) for e in episodes] == [("KZ", 64496, WATCHED)]
    assert episodes[0]["certainty"] == "likely"


def test_a_reference_vantage_alone_weakens_nothing_and_proves_no_block(
    bundles: dict[str, Path], tmp_path: Path
) -> None:
    database = tmp_path / "merged.db"
    judged(database, bundles["watcher"], bundles["aset"])
    found = conclusions(database)
    assert found["field", 64496, WATCHED] == "inconclusive suspected"
    assert found["field", 64496, DEAD] == "down"
