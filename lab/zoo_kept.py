"""What runs of the zoo found, a line a world, so that a long run can be had in pieces."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from lab.expected import Outcome
from lab.scenario import Scenario, load_scenario
from lab.zoo_record import Circumstances, Result, Verdict


class Found(msgspec.Struct, frozen=True, tag="world", tag_field="kind"):
    """One world that was measured. Its truth is not kept: it is what the scenario says today."""

    name: str
    tier: str
    seed: int
    verdict: Verdict | None
    trouble: str
    symptoms: list[tuple[str, str, str]]  # line, wanted, got
    seconds: float


class Run(msgspec.Struct, frozen=True, tag="run", tag_field="kind"):
    """How a run went whose worlds stand above."""

    circumstances: Circumstances


# Made once, before there are threads: msgspec crashed twice where several of them met a type first.
_LINE = msgspec.json.Decoder(Found | Run)


class Kept:
    """What is known so far, and the file of `--into` where there is one.

    Raises ValueError, in one line, where the file is none of these.
    """

    def __init__(self, path: Path | None, scenarios: Mapping[str, Path]) -> None:
        self.path = path
        self.runs: list[Circumstances] = []
        self._results: dict[tuple[str, str, int], Result] = {}
        lines = path.read_bytes().splitlines() if path and path.exists() else []
        read = dict[str, Scenario]()
        for number, line in enumerate(lines, 1):
            try:
                one = _LINE.decode(line)
            except msgspec.DecodeError as error:
                raise ValueError(f"{path}, line {number}: {error}") from None
            if isinstance(one, Run):
                self.runs.append(one.circumstances)
            elif one.name in scenarios:  # others were taken out of the zoo
                if one.name not in read:
                    read[one.name] = load_scenario(scenarios[one.name])
                self._put(_result(one, read[one.name]))

    @property
    def results(self) -> list[Result]:
        """Return what is known, sorted by tier, name and seed."""
        return [self._results[key] for key in sorted(self._results)]

    def has(self, name: str, tier: str, seed: int) -> bool:
        """Tell whether a world was measured; one in which that failed is measured again."""
        known = self._results.get((tier, name, seed))
        return known is not None and known.verdict is not None

    def add(self, result: Result) -> None:
        """Keep what was found in a world."""
        self._put(result)
        self._write(Found(**{name: getattr(result, name) for name in Found.__struct_fields__}))

    def end(self, circumstances: Circumstances) -> None:
        """Keep how a run went."""
        self.runs.append(circumstances)
        self._write(Run(circumstances))

    def _put(self, result: Result) -> None:
        self._results[result.tier, result.name, result.seed] = result

    def _write(self, one: Found | Run) -> None:
        if self.path is not None:
            with self.path.open("ab") as file:
                file.write(msgspec.json.encode(one) + b"\n")


def _result(one: Found, scenario: Scenario) -> Result:
    return Result(
        title=scenario.title,
        expect=scenario.expect or Outcome(status="accessible"),
        **{name: getattr(one, name) for name in Found.__struct_fields__},
    )
