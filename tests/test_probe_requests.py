"""Experiments on requests in clear, on loopback: long transfers, heads, short segments."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from probes.arms import request_in_clear
from probes.contrasts import Contrast, plan
from probes.prober import NeutralHost
from probes.suspicion import Suspect, failed_request, looks_wrong
from probes.trace import Stage
from probes.transfers import ENOUGH, try_transfer
from storage.failures import Failure
from storage.records import Connect, Exchange, Step
from tests.cases import NAME, TIMEOUT, helper, lookup
from tests.experiment_cases import answer, clear_loads
from tests.loopback import Handler, serving, trace
from tests.test_probe_quic import prober

HOST = "127.0.0.1"
FIRST = b"GET /long?a=1 HTTP/1.1\r\nHost: watched.example"
FURTHER = b"GET / HTTP/1.1\r\nHost: www.example.com"
SHORT = b"HTTP/1.1 404 Not Found\r\nContent-Length: 200\r\n\r\n" + b"x" * 200


def talking(most: int | None = None, *, then_close: bool = True) -> Handler:
    """Return a handler that answers every request shortly, `most` of them at the most.

    The first alone must carry the watched name and path.
    """

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answered = 0
        while most is None or answered < most:
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(FURTHER if answered else FIRST), head
            writer.write(SHORT)
            await writer.drain()
            answered += 1
        if not then_close:
            while await reader.read(65536):
                pass  # until the client goes

    return handler


def _stage(arm: Contrast) -> Stage:
    return Stage("contrast", 0, 0, arm.arm)


async def transfer(handler: Handler, timeout: float = 20.0) -> tuple[bool | None, Exchange]:
    made, found = prober(timeout), trace()
    async with serving(handler) as port:
        arm = Contrast("name@site", "watched.example", HOST, port, "/long?a=1")
        went_on = await try_transfer(made, found, _stage(arm), arm, further="www.example.com")
    step = found.steps[-1]
    assert isinstance(step, Exchange)
    return went_on, step


async def test_many_short_answers_are_a_long_transfer() -> None:
    went_on, step = await transfer(talking())
    assert (went_on, step.failure, step.status) == (True, None, 404)
    assert (step.wire_bytes or 0) >= ENOUGH
    assert (step.requests or 0) > 100


async def test_no_more_answers_are_asked_for_than_are_needed() -> None:
    page = b"HTTP/1.1 200 OK\r\nContent-Length: 12000\r\n\r\n" + b"x" * 12_000

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(page)
            await writer.drain()

    went_on, step = await transfer(handler)
    assert went_on is True
    assert step.requests == 3


@pytest.mark.parametrize(
    ("handler", "timeout", "went_on", "failure"),
    [
        (talking(40, then_close=False), 0.5, False, Failure.TIMEOUT),  # silence after 10 KB
        (talking(1), 20.0, None, Failure.EOF),  # a server that closes after an answer
    ],
)
async def test_a_transfer_that_stops_is_told_from_one_that_is_ended(
    handler: Handler, timeout: float, went_on: bool | None, failure: Failure
) -> None:
    found, step = await transfer(handler, timeout)
    assert found is went_on
    assert step.failure in (failure, Failure.CONNECTION_RESET if went_on is None else failure)
    assert (step.wire_bytes or 0) < ENOUGH


async def test_the_head_of_a_page_is_kept_with_its_length() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HEAD /page HTTP/1.1\r\n")
        assert b"Accept-Encoding: identity\r\n" in head
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n")

    found = trace()
    async with serving(handler) as port:
        arm = Contrast("name@site", NAME, HOST, port, "/page")
        stage = Stage("contrast", 0, 0, arm.arm)
        options = {"method": "HEAD", "max_segment": 536, "uncompressed": True}
        step = await request_in_clear(prober(20.0), found, stage, arm, **options)  # type: ignore[arg-type]
    assert step is not None
    assert (step.method, step.status, step.declared_bytes) == ("HEAD", 200, 4000)
    assert (step.received_bytes, step.failure) == (0, None)
    assert isinstance(found.steps[0], Connect)
    assert found.steps[0].max_segment == 536


def failing(url: str, **how: object) -> list[Step]:
    return [lookup(), answer(None, NAME, "192.0.66.88", **how)]  # type: ignore[arg-type]


def test_a_suspect_request_keeps_its_path_and_whether_its_answer_began() -> None:
    steps = clear_loads(failure=TIMEOUT)
    found = failed_request(steps, [], 2)
    assert found == Suspect(NAME, "192.0.66.88", 80, "/", False)
    arms = plan(
        Suspect(NAME, "192.0.66.88", 80, "/a?b=c"),
        [NeutralHost("www.example.com", "93.184.215.14"), NeutralHost("www.iana.org", "192.0.2.8")],
        80,
    )
    assert {arm.path for arm in arms} == {"/a?b=c"}
    assert len(arms) == 6


@pytest.mark.parametrize(("length", "wrong"), [(400, True), (9_000, False)])
def test_a_page_of_which_most_is_missing_looks_wrong(length: int, wrong: bool) -> None:
    steps = [
        msgspec.structs.replace(step, body_bytes=length) if isinstance(step, Exchange) else step
        for step in clear_loads(title="News")
    ]
    assert looks_wrong(steps, [helper(title="News")], 0) is wrong
