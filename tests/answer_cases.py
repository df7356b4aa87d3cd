"""Steps of answers in clear that are cut off or changed, for tests of rules."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from storage.records import Arm, Connect, Exchange, Step
from tests.cases import NAME, SITE, START, TIMEOUT, helper
from tests.experiment_cases import ARMS, answer, clear_loads

LENGTH = 20_000


WHOLE = [helper(title="News")]  # a view from abroad of a page of 20,000 bytes


def turns(*, failure: str | None = None, length: int = LENGTH, head: int = LENGTH) -> list[Step]:
    """Return a page contrast: HEAD and the page in short segments, twice."""
    steps: list[Step] = []
    for attempt in range(2):
        asked = answer("name@site", NAME, SITE, number=50 + attempt, attempt=attempt)
        opened = Connect(
            purpose="contrast",
            arm="name@site",
            attempt=attempt,
            connection=60 + attempt,
            address=SITE,
            port=80,
            max_segment=536,
            start=START,
            duration_us=1,
        )
        page = answer(
            "name@site", NAME, SITE, number=60 + attempt, attempt=attempt, failure=failure
        )
        came = {"declared_bytes": None if failure else length, "duration_us": 4_000_000}
        steps += [
            msgspec.structs.replace(asked, method="HEAD", declared_bytes=head),
            opened,
            msgspec.structs.replace(page, **came),
        ]
    return steps


def names(failing: Sequence[Arm], failure: str) -> list[Step]:
    return [
        answer(arm, name, address, number=n, failure=failure if arm in failing else None, title=arm)
        for n, (arm, name, address) in enumerate(ARMS, start=20)
    ]


def transfers(failing: Sequence[Arm], failure: str | None = TIMEOUT) -> list[Step]:
    return [
        msgspec.structs.replace(
            answer(arm, name, address, number=n, failure=failure if arm in failing else None),
            requests=90,
            status=200,
            wire_bytes=15_000 if arm in failing else 41_000,
        )
        for n, (arm, name, address) in enumerate(ARMS, start=20)
    ]


def begun() -> list[Step]:
    """Return loads of a page in clear that begins and stops."""
    return [
        msgspec.structs.replace(step, status=200) if isinstance(step, Exchange) else step
        for step in clear_loads(failure=TIMEOUT)
    ]
