"""The log of announced changes, and the messages about them on their way out.

A change is noted once: (subject, turn) is unique and never changed. Which channels are to tell it
is fixed when it is noted, so that a channel set up later is not flooded with the past. A message
keeps its id through all tries, so that whoever takes it twice can tell.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec
from sqlalchemy import Connection, func, insert, select, update

from storage.schema import announcements, deliveries, messages
from storage.store import Store


class Announcement(msgspec.Struct, frozen=True, kw_only=True):
    """One change of an episode; `episode` is JSON, `noticed` UTC text, `turn` counts from 1."""

    subject: str
    turn: int
    kind: str
    noticed: str
    episode: str
    number: int = 0


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message; `body` is JSON, times are UTC text."""

    id: str
    channel: str
    body: str
    made: str
    due: str
    tries: int = 0
    delivered: str | None = None
    failure: str | None = None
    number: int = 0


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """What has not been taken yet: announcements held back, messages, when the next try is due."""

    held: int
    waiting: int
    next_due: str | None
    failure: str | None


class AnnouncementLog:
    """The log and the messages of one database. Every method is one short transaction."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def noted(self) -> list[Announcement]:
        """Return every announcement, in the order of noticing."""
        query = select(announcements).order_by(announcements.c.number)
        return self._store.read(
            lambda c: [Announcement(**row) for row in c.execute(query).mappings()]
        )

    def note(self, changes: Sequence[tuple[Announcement, Collection[str]]]) -> int:
        """Note changes, each with the channels that are to tell it; return how many were new.

        One whose (subject, turn) is there already is left out: somebody else noted it.
        """
        return self._store.write(lambda connection: _note(connection, changes))

    def held(self, channel: str) -> list[Announcement]:
        """Return what this channel is to tell and what is in no message yet."""
        query = select(announcements).join_from(announcements, deliveries)
        query = query.where(deliveries.c.channel == channel, deliveries.c.message.is_(None))
        query = query.order_by(announcements.c.number)
        return self._store.read(
            lambda c: [Announcement(**row) for row in c.execute(query).mappings()]
        )

    def put(self, message: Message, about: Collection[int]) -> bool:
        """Queue a message about these announcements; False if one of them is in another by now."""
        return self._store.write(lambda connection: _put(connection, message, about))

    def due(self, channels: Collection[str], now: str) -> list[Message]:
        """Return the messages by these channels whose next try is due, the oldest first."""
        query = select(messages).where(messages.c.delivered.is_(None), messages.c.due <= now)
        query = query.where(messages.c.channel.in_(channels)).order_by(messages.c.number)
        return self._store.read(lambda c: [Message(**row) for row in c.execute(query).mappings()])

    def claim(self, message: Message, again: str) -> bool:
        """Take a message for one try; nobody else gets it until `again`. False: taken already."""
        change = update(messages).where(
            messages.c.number == message.number,
            messages.c.tries == message.tries,
            messages.c.delivered.is_(None),
        )
        change = change.values(tries=message.tries + 1, due=again)
        return self._store.write(lambda c: c.execute(change).rowcount == 1)

    def delivered(self, message: Message, when: str) -> None:
        """Keep that a message was taken."""
        change = update(messages).where(messages.c.number == message.number)
        change = change.values(delivered=when, failure=None)
        self._store.write(lambda c: c.execute(change))

    def failed(self, message: Message, why: str, again: str) -> None:
        """Keep why a message was not taken, and when to try again."""
        change = update(messages).where(messages.c.number == message.number)
        change = change.values(failure=why, due=again)
        self._store.write(lambda c: c.execute(change))

    def latest(self, channel: str, most: int) -> list[Message]:
        """Return the newest messages of a channel, delivered or not, the newest first."""
        query = select(messages).where(messages.c.channel == channel)
        query = query.order_by(messages.c.number.desc()).limit(most)
        return self._store.read(lambda c: [Message(**row) for row in c.execute(query).mappings()])

    def queue(self, channels: Collection[str]) -> Queue:
        """Return what these channels have not delivered yet, and why the last try failed."""
        return self._store.read(lambda connection: _queue(connection, channels))


def _note(connection: Connection, changes: Sequence[tuple[Announcement, Collection[str]]]) -> int:
    new = 0
    for change, channels in changes:
        known = select(announcements.c.number).where(
            announcements.c.subject == change.subject, announcements.c.turn == change.turn
        )
        if connection.execute(known).first() is not None:
            continue
        row = msgspec.structs.asdict(change)
        del row["number"]
        key = connection.execute(insert(announcements).values(row)).inserted_primary_key
        assert key is not None  # only multi-row inserts have none
        new += 1
        if rows := [{"announcement": key[0], "channel": each} for each in sorted(channels)]:
            connection.execute(insert(deliveries), rows)
    return new


def _put(connection: Connection, message: Message, about: Collection[int]) -> bool:
    free = (
        deliveries.c.announcement.in_(about),
        deliveries.c.channel == message.channel,
        deliveries.c.message.is_(None),
    )
    count = connection.execute(select(func.count()).where(*free)).scalar_one()
    if count != len(about):
        return False
    row = msgspec.structs.asdict(message)
    del row["number"]
    key = connection.execute(insert(messages).values(row)).inserted_primary_key
    assert key is not None  # only multi-row inserts have none
    connection.execute(update(deliveries).where(*free).values(message=key[0]))
    return True


def _queue(connection: Connection, channels: Collection[str]) -> Queue:
    held = select(func.count()).where(
        deliveries.c.message.is_(None), deliveries.c.channel.in_(channels)
    )
    waiting = (messages.c.delivered.is_(None), messages.c.channel.in_(channels))
    counted = select(func.count(), func.min(messages.c.due)).where(*waiting)
    count, next_due = connection.execute(counted).one()
    failed = select(messages.c.failure).where(*waiting, messages.c.failure.is_not(None))
    failure = connection.execute(failed.order_by(messages.c.number.desc()).limit(1)).scalar()
    return Queue(
        held=connection.execute(held).scalar_one(),
        waiting=count,
        next_due=next_due,
        failure=failure,
    )
