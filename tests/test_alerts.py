"""Alerts on their way: told at least once, never twice, later when it fails, not in the night."""

from __future__ import annotations

import asyncio
import json
import stat
import xml.etree.ElementTree as ElementTree
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, TextClause, text

from probes.rounds import RoundDone
from sitewatch.alert_channels import channels_of, feed_path
from sitewatch.alerts import Alerts, note_changes
from sitewatch.config import Config, load_config
from sitewatch.installation import Installation
from sitewatch.pausing import pause, resume
from sitewatch.rejudging import rejudge
from storage.announcements import AnnouncementLog
from storage.records import Line, Round, utc_text
from storage.store import Store, StoreError
from tests import cases
from tests.loopback import serving

START = 1_497_916_800.0  # 20 June 2017, 00:00 UTC
HOUR = 3600.0
NAMES = [f"site{number}.example" for number in range(6)]


class Stepping:
    """A clock that only moves when somebody waits, and remembers for how long."""

    def __init__(self, start: float) -> None:
        self.now = start
        self.waits: list[float] = []

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "x.db") as opened:
        yield opened


def configured(folder: Path, **alerts: str) -> Config:
    lines = [f"{key} = {json.dumps(value)}" for key, value in alerts.items()]
    (folder / "sitewatch.toml").write_text(
        "\n".join(['[schedule]\ntime_zone = "UTC"', "[alerts]", *lines, ""])
    )
    return load_config(folder / "sitewatch.toml", {})


def measured(store: Store, when: float, *, blocked: bool, names: list[str] | None = None) -> None:
    """Add a measurement of each name and judge it, as a round does."""
    vantage = store.own_vantage(country="KZ", asn=64500, network="Invented Telecom")
    for name in names or NAMES[:1]:
        url = f"https://{name}/"
        how: dict[str, Any] = {"tls": cases.TIMEOUT} if blocked else {}
        steps = cases.loads(3 if blocked else 1, name=name, **how)
        record = cases.measurement(steps, url=url, time=utc_text(when), vantage=vantage)
        id = store.add(record).result()
        if blocked:
            contrast = cases.measurement(
                cases.arms(name=name),
                url=url,
                time=utc_text(when + 30),
                vantage=vantage,
                follows=id,
            )
            store.add(contrast).result()
    list(rejudge(store, everything=False))


def opening(store: Store, names: list[str] | None = None) -> None:
    measured(store, START, blocked=False, names=names)
    measured(store, START + HOUR, blocked=True, names=names)


async def after_round(alerts: Alerts, store: Store, config: Config) -> None:
    record = Round(
        simulated=True,
        tool="test",
        time=utc_text(START),
        vantage=cases.FIELD,
        line=Line(state="up"),
        targets=1,
    )
    await alerts(store, Installation(config, store.name), RoundDone("sha256:0", record, []))


class Hook:
    """A web address that notes what is posted and answers as told, 200 in the end."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.received: list[dict[str, Any]] = []

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length: ")[1].split("\r\n")[0])
        self.received.append(json.loads(await reader.readexactly(length)))
        status = self.statuses.pop(0) if self.statuses else 200
        where = "location: http://127.0.0.1:1/\r\n" if status == 302 else ""
        writer.write(f"HTTP/1.1 {status} x\r\n{where}content-length: 0\r\n\r\n".encode())
        await writer.drain()


@asynccontextmanager
async def hooked(hook: Hook, folder: Path, **alerts: str) -> AsyncIterator[Config]:
    async with serving(hook.handle) as port:
        yield configured(folder, webhook=f"http://127.0.0.1:{port}/told", **alerts)


async def test_opening_and_end_are_told_once_however_many_rounds_follow(
    store: Store, config_folder: Path
) -> None:
    hook, clock = Hook(), Stepping(START + 2 * HOUR)
    opening(store)
    async with hooked(hook, config_folder) as config:
        for _ in range(3):
            await after_round(Alerts(clock), store, config)
        for hour in (3, 4, 5):
            measured(store, START + hour * HOUR, blocked=False)
            clock.now = START + hour * HOUR + 60
            await after_round(Alerts(clock), store, config)
    kinds = [change["kind"] for body in hook.received for change in body["changes"]]
    assert kinds == ["opened", "ended"]
    assert hook.received[0]["text"].startswith("SIMULATED: site0.example on AS64500")
    assert "between 00:00 and 01:00 UTC on 20 June 2017" in hook.received[0]["text"]


async def test_what_is_not_taken_is_tried_again_later_and_later_with_the_same_id(
    store: Store, config_folder: Path
) -> None:
    hook, clock = Hook(500, 404, 302, 503), Stepping(START + 2 * HOUR)
    opening(store)
    async with hooked(hook, config_folder) as config:
        await after_round(Alerts(clock), store, config)
    assert len(hook.received) == 5
    assert len({body["id"] for body in hook.received}) == 1
    assert clock.waits == [60.0, 120.0, 300.0, 900.0]
    assert AnnouncementLog(store).queue(["webhook"]).waiting == 0


async def test_nobody_listening_is_kept_with_its_reason_and_told_after_a_restart(
    store: Store, config_folder: Path
) -> None:
    clock = Stepping(START + 2 * HOUR)
    opening(store)
    dead = configured(config_folder, webhook="http://127.0.0.1:1/")
    queue = await Alerts(clock).once(store, dead)
    assert (queue.waiting, queue.failure) == (1, "connection_refused")
    hook = Hook()
    async with hooked(hook, config_folder) as config:
        assert (await Alerts(clock).once(store, config)).waiting == 1  # not due yet
        clock.now += 61
        assert (await Alerts(clock).once(store, config)).waiting == 0
    assert len(hook.received) == 1


async def test_a_delivery_cut_off_in_the_middle_is_made_again_with_the_same_id(
    store: Store, config_folder: Path
) -> None:
    """It may have been heard: told at least once, and recognisable when told twice."""
    clock, hook = Stepping(START + 2 * HOUR), Hook()
    opening(store)
    heard = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        heard.set()
        await reader.read()

    async with serving(silent) as port:
        config = configured(config_folder, webhook=f"http://127.0.0.1:{port}/")
        delivering = asyncio.create_task(Alerts(clock).once(store, config))
        await heard.wait()
        delivering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await delivering
    async with hooked(hook, config_folder) as config:
        queue = await Alerts(clock).once(store, config)
        # The claim holds for a while, in case somebody is still at it.
        assert (queue.waiting, hook.received) == (1, [])
        clock.now += 181
        await Alerts(clock).once(store, config)
    (message,) = AnnouncementLog(store).latest("webhook", 9)
    assert [body["id"] for body in hook.received] == [message.id]
    assert message.tries == 2


async def test_two_processes_share_the_work_and_tell_it_once(
    store: Store, config_folder: Path, tmp_path: Path
) -> None:
    hook, clock = Hook(), Stepping(START + 2 * HOUR)
    opening(store)
    async with hooked(hook, config_folder) as config:
        with Store(tmp_path / "x.db") as other:
            await asyncio.gather(
                Alerts(clock).once(store, config), Alerts(clock).once(other, config)
            )
    assert len(hook.received) == 1


async def test_much_at_once_is_one_digest(store: Store, config_folder: Path) -> None:
    hook, clock = Hook(), Stepping(START + 2 * HOUR)
    opening(store, NAMES)
    async with hooked(hook, config_folder) as config:
        await after_round(Alerts(clock), store, config)
    (body,) = hook.received
    assert "6 targets became unreachable between 00:00 and 01:00 UTC" in body["text"]
    assert len(body["changes"]) == 6


async def test_in_quiet_hours_nothing_is_told_and_afterwards_all_of_it_together(
    store: Store, config_folder: Path
) -> None:
    hook, clock = Hook(), Stepping(START + 2 * HOUR)
    async with hooked(hook, config_folder, quiet_hours="22:00-07:00") as config:
        opening(store, NAMES[:1])
        queue = await Alerts(clock).once(store, config)
        assert (queue.held, queue.waiting, hook.received) == (1, 0, [])
        measured(store, START, blocked=False, names=NAMES[1:2])
        measured(store, START + 2 * HOUR, blocked=True, names=NAMES[1:2])
        clock.now += HOUR
        await after_round(Alerts(clock), store, config)
    (body,) = hook.received
    assert len(body["changes"]) == 2
    assert clock.wall() == START + 7 * HOUR


async def test_while_paused_nothing_is_sent_and_it_is_told_afterwards(
    store: Store, config_folder: Path
) -> None:
    hook, clock = Hook(), Stepping(START + 2 * HOUR)
    opening(store)
    async with hooked(hook, config_folder) as config:
        pause(config, clock)
        await after_round(Alerts(clock), store, config)
        assert hook.received == []
        resume(config)
        await after_round(Alerts(clock), store, config)
    assert len(hook.received) == 1


async def test_the_program_gets_the_message_and_its_failure_is_no_end(
    store: Store, config_folder: Path
) -> None:
    told, tries = config_folder / "told.json", config_folder / "tries"
    program = config_folder / "hook.sh"
    program.write_text(
        f'#!/bin/sh\necho x >> {tries}\n[ "$(wc -l < {tries})" -lt 3 ] && exit 7\n'
        f'cat > {told}; echo "$SITEWATCH_ALERT" >> {tries}\n'
    )
    program.chmod(0o755)
    opening(store)
    clock = Stepping(START + 2 * HOUR)
    config = configured(config_folder, command=f"{program} 'one argument'")
    await after_round(Alerts(clock), store, config)
    assert clock.waits == [60.0, 120.0]
    body = json.loads(told.read_text())
    assert body["changes"][0]["kind"] == "opened"
    assert tries.read_text().splitlines()[-1] == body["text"]


@pytest.mark.parametrize("command", ["/no/such/program", "'unclosed", "/"])
async def test_a_program_that_cannot_be_run_is_a_reason_and_no_error(
    store: Store, config_folder: Path, command: str
) -> None:
    opening(store)
    config = configured(config_folder, command=command)
    queue = await Alerts(Stepping(START + 2 * HOUR)).once(store, config)
    assert queue.waiting == 1
    assert queue.failure
    assert queue.failure.startswith("cannot be run: ")


async def test_the_feed_holds_every_message_and_is_well_formed(
    store: Store, config_folder: Path
) -> None:
    config = configured(config_folder, atom="feeds/alerts.xml")
    clock = Stepping(START + 2 * HOUR)
    opening(store)
    await after_round(Alerts(clock), store, config)
    measured(store, START + 3 * HOUR, blocked=False)
    measured(store, START + 4 * HOUR, blocked=False)
    clock.now = START + 5 * HOUR
    await after_round(Alerts(clock), store, config)
    feed = feed_path(config)
    assert stat.S_IMODE(feed.stat().st_mode) == 0o600
    names = {"a": "http://www.w3.org/2005/Atom"}
    entries = ElementTree.parse(feed).getroot().findall("a:entry", names)
    titles = [entry.findtext("a:title", "", names) for entry in entries]
    assert ["can be reached again" in titles[0], "became unreachable" in titles[1]] == [True] * 2
    assert len({entry.findtext("a:id", "", names) for entry in entries}) == len(entries) == 2
    assert not list(feed.parent.glob("*.xml?*"))


async def test_a_feed_that_cannot_be_written_is_a_reason(store: Store, config_folder: Path) -> None:
    (config_folder / "file").touch()
    config = configured(config_folder, atom="file/alerts.xml")
    opening(store)
    queue = await Alerts(Stepping(START + 2 * HOUR)).once(store, config)
    assert queue.failure
    assert "cannot be written" in queue.failure


async def test_without_a_channel_nothing_is_noted(store: Store, config_folder: Path) -> None:
    opening(store)
    config = configured(config_folder)
    assert channels_of(config) == []
    await after_round(Alerts(Stepping(START + 2 * HOUR)), store, config)
    assert AnnouncementLog(store).noted() == []


async def test_a_channel_set_up_later_is_not_flooded_with_the_past(
    store: Store, config_folder: Path
) -> None:
    opening(store, NAMES[:1])  # over a week later
    measured(store, START + 3 * HOUR, blocked=False, names=NAMES[:1])
    measured(store, START + 4 * HOUR, blocked=False, names=NAMES[:1])
    opening(store, NAMES[1:2])  # still going on
    hook, clock = Hook(), Stepping(START + 8 * 24 * HOUR)
    async with hooked(hook, config_folder) as config:
        await Alerts(clock).once(store, config)
    (body,) = hook.received
    assert [change["url"] for change in body["changes"]] == [f"https://{NAMES[1]}/"]
    assert len(AnnouncementLog(store).noted()) == 3


def execute(statement: TextClause, connection: Connection) -> None:
    connection.execute(statement)


def test_what_was_announced_can_not_be_changed(store: Store, config_folder: Path) -> None:
    opening(store)
    config = configured(config_folder, atom="feed.xml")
    assert note_changes(store, config, START + 2 * HOUR) == 1
    assert note_changes(store, config, START + 2 * HOUR) == 0
    for statement in ("UPDATE announcements SET kind = 'ended'", "DELETE FROM announcements"):
        change = text(statement)
        with pytest.raises(StoreError, match="append-only"):
            store.write(partial(execute, change))
