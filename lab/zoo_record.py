"""The zoo's record: what is right and what is wrong, counted, as JSON and as Markdown."""

from __future__ import annotations

import fnmatch
import json
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from lab.expected import CERTAINTIES, Expect, Outcome
from lab.symptoms import Symptom

TIERS = ("probing", "browser-like")
_TRUTHS = ("innocent", "censored")
_STATUSES = ("accessible", "blocked", "down", "restricted", "inconclusive", "offline")
_ALLEGED = ("likely", "confirmed")


class Verdict(msgspec.Struct, frozen=True):
    """The parts of a verdict that are held against the truth."""

    status: str
    layer: str | None = None
    technique: str | None = None
    certainty: str | None = None
    interference: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()

    def in_words(self) -> str:
        return _words(self.status, self.layer, self.technique, self.certainty)


msgspec.json.Decoder(Verdict)  # before threads use it for the first time; see lab.scenario


class Circumstances(msgspec.Struct, frozen=True):
    """How a run went, which readers of its seconds must know."""

    worlds: int
    seconds: float
    worlds_at_once: int
    cores: int
    load: float  # of the last fifteen minutes, at the end
    day: str  # UTC

    def in_words(self) -> str:
        return (
            f"{self.worlds} worlds on {self.day} in {self.seconds:.0f} seconds, at most "
            f"{self.worlds_at_once} at once, on {self.cores} cores; load in the last 15 minutes "
            f"{self.load:.0f}."
        )


class Result(msgspec.Struct, frozen=True):
    """One scenario at one tier: the truth, the verdict, the symptoms."""

    name: str
    title: str
    tier: str
    expect: Expect | Outcome
    verdict: Verdict | None
    trouble: str
    symptoms: list[tuple[str, str, str]]  # line, wanted, got
    seconds: float
    seed: int = 0

    @property
    def truth(self) -> str:
        return self.expect.truth if isinstance(self.expect, Expect) else ""

    @property
    def wanted(self) -> Outcome:
        return self.expect.at(self.tier) if isinstance(self.expect, Expect) else self.expect

    @property
    def symptoms_hold(self) -> bool:
        return bool(self.symptoms) and all(Symptom(*one).holds for one in self.symptoms)

    @property
    def is_right(self) -> bool:
        """Whether the verdict is one of those that the scenario accepts."""
        verdict, wanted = self.verdict, self.wanted
        if verdict is None or verdict.status not in (wanted.status, *wanted.or_status):
            return False
        if not _names(verdict, wanted):
            return False
        if verdict.status != "blocked":
            return verdict.certainty not in _ALLEGED
        reached = CERTAINTIES.index(verdict.certainty)
        named = f"{verdict.layer}.{verdict.technique}"
        techniques = wanted.techniques()
        return reached >= CERTAINTIES.index(wanted.certainty) and (
            not techniques or named in techniques
        )

    @property
    def is_false_alarm(self) -> bool:
        """Whether interference is alleged where there is none."""
        verdict = self.verdict
        return (
            self.truth == "innocent"
            and verdict is not None
            and (verdict.status == "blocked" or verdict.certainty in _ALLEGED)
        )

    @property
    def is_miss(self) -> bool:
        """Whether a blocked target is not called blocked, or interference is not named."""
        verdict, wanted = self.verdict, self.wanted
        if self.truth != "censored":
            return False
        if wanted.status == "blocked":
            return verdict is None or verdict.status != "blocked"
        return verdict is None or not _names(verdict, wanted)


def _names(verdict: Verdict, wanted: Outcome) -> bool:
    """Tell whether all interference that must be seen is named ("*.throttled": in any layer)."""
    return all(fnmatch.filter(verdict.interference, one) for one in wanted.interference)


def as_json(results: Sequence[Result], runs: Sequence[Circumstances]) -> str:
    """Return the whole record as JSON."""
    document = {
        "format": "sitewatch-zoo/2",
        "runs": msgspec.to_builtins(runs),
        "tiers": {tier: _counts(of) for tier, of in _by_tier(results)},
        "scenarios": [
            {
                "name": one.name,
                "title": one.title,
                "tier": one.tier,
                "truth": one.truth,
                "expected": msgspec.to_builtins(one.wanted),
                "verdict": msgspec.to_builtins(one.verdict),
                "trouble": one.trouble,
                "right": one.is_right,
                "false_alarm": one.is_false_alarm,
                "miss": one.is_miss,
                "symptoms": [
                    {"line": line, "wanted": wanted, "got": got}
                    for line, wanted, got in one.symptoms
                ],
                "seed": one.seed,
                "seconds": one.seconds,
            }
            for one in results
        ],
    }
    return json.dumps(document, indent=1) + "\n"


def as_markdown(results: Sequence[Result], runs: Sequence[Circumstances]) -> str:
    """Return the record for people, every scenario in it."""
    parts = [f"# The zoo's record\n\n{_in_words(runs)}\n"]
    for tier, of in _by_tier(results):
        parts.append(_section(tier, of))
    return "\n".join(parts)


def as_page(results: Sequence[Result], runs: Sequence[Circumstances]) -> str:
    """Return the page of the documentation: the record, and how to read it."""
    return f"""# The zoo: what Sitewatch says of worlds whose truth is known

Renewed by `make zoo-docs` and never edited. Each scenario is a simulated internet with one known
way of blocking or one innocent trouble in it (`lab/scenarios/zoo/`). What must be concluded is
written in the scenario from what was set up. `sitewatch measure` runs in the world, and what plain
sockets, resolvers and TLS clients meet there is checked apart from it. Wrong verdicts stand here
until they are mended. What is allowed by more than one answer is right with any of them.

{as_markdown(results, runs).partition(chr(10) * 2)[2]}"""


_BEGIN, _END = "<!-- renewed by make zoo-docs -->\n", "<!-- until here -->\n"


def as_summary(results: Sequence[Result], runs: Sequence[Circumstances]) -> str:
    """Return what of the record belongs to a page about accuracy: counts and confusion matrices."""
    parts = [_in_words(runs) + "\n"]
    for tier, of in _by_tier(results):
        parts.append(f"Tier {tier}: {_in_numbers(of)}\n\n{_confusion(of)}")
    return "\n".join(parts)


def with_summary(page: str, summary: str) -> str:
    """Return a page with a new summary between its two marks. Raises ValueError without them."""
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"the page lacks {_BEGIN.strip()} or {_END.strip()}")
    return f"{before}{begin}\n{summary}\n{end}{after}"


def _in_words(runs: Sequence[Circumstances]) -> str:
    return "\n".join(run.in_words() for run in runs)


def _by_tier(results: Sequence[Result]) -> Iterable[tuple[str, list[Result]]]:
    for tier in TIERS:
        of = [result for result in results if result.tier == tier]
        if of:
            yield tier, of


def _counts(results: Sequence[Result]) -> dict[str, int]:
    censored = [one for one in results if one.truth == "censored"]
    innocent = [one for one in results if one.truth == "innocent"]
    return {
        "scenarios": len({one.name for one in results}),
        "worlds": len(results),
        "innocent": len(innocent),
        "censored": len(censored),
        "right": sum(one.is_right for one in results),
        "false_alarms": sum(one.is_false_alarm for one in innocent),
        "misses": sum(one.is_miss for one in censored),
        "misses_allowed": sum(one.is_miss and one.is_right for one in censored),
        "symptoms_wrong": sum(not one.symptoms_hold for one in results),
    }


# --- Markdown -------------------------------------------------------------------------------------


def _in_numbers(results: Sequence[Result]) -> str:
    counts = _counts(results)
    return f"""{counts["right"]} of {counts["worlds"]} worlds are judged right; they are of
{counts["scenarios"]} scenarios and {len({one.seed for one in results})} seeds. False alarms:
{counts["false_alarms"]} of {counts["innocent"]} innocent ones. Misses: {counts["misses"]} of
{counts["censored"]} censored ones, {counts["misses_allowed"]} of them where the scenario
accepts it, since only some connections meet the censor. Symptom checks that failed:
{counts["symptoms_wrong"]}."""


def _section(tier: str, results: list[Result]) -> str:
    wrong = [one for one in results if not one.is_right]
    return f"""## Tier {tier}

{_in_numbers(results)}

### By status

{_confusion(results)}
### By layer and technique

{_techniques(results)}
### Wrong verdicts

{_wrong(wrong)}
### Every scenario

{_table(results)}"""


def _confusion(results: Sequence[Result]) -> str:
    """Return the confusion matrix: rows are the truth and the first status that it asks for.

    Censored is not always blocked: what is slowed down or disturbed in part stays accessible.
    """
    count: Counter[tuple[str, str, str]] = Counter(
        (one.truth, one.wanted.status, one.verdict.status if one.verdict else "none")
        for one in results
    )
    said = {got for _, _, got in count}
    columns = [status for status in (*_STATUSES, "none") if status in said]
    lines = [f"| truth | {' | '.join(columns)} |", f"|---|{'---:|' * len(columns)}"]
    for truth in _TRUTHS:
        for status in _STATUSES:
            cells = [count[truth, status, column] for column in columns]
            if any(cells):
                row = " | ".join(str(cell or "") for cell in cells)
                lines.append(f"| {truth}, {status} | {row} |")
    return "\n".join(lines) + "\n"


def _techniques(results: Sequence[Result]) -> str:
    """Return for each true technique how often it was named, another was, or none."""
    rows: dict[str, Counter[str]] = {}
    for one in results:
        if one.wanted.status != "blocked":
            continue
        row = rows.setdefault(f"{one.wanted.layer}.{one.wanted.technique}", Counter())
        row["all"] += 1
        verdict = one.verdict
        if verdict is None or verdict.status != "blocked":
            row["missed"] += 1
        elif f"{verdict.layer}.{verdict.technique}" in one.wanted.techniques():
            row["named"] += 1
        else:
            row["other"] += 1
    lines = ["| technique | scenarios | named | another named | not blocked |"]
    lines.append("|---|---:|---:|---:|---:|")
    for name, row in sorted(rows.items()):
        cells = (row["all"], row["named"], row["other"], row["missed"])
        lines.append(f"| {name} | {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def _wrong(results: Sequence[Result]) -> str:
    if not results:
        return "None.\n"
    lines = ["| scenario | truth | verdict | rules |", "|---|---|---|---|"]
    for alike in _alike(results):
        one = alike[0]
        rules = ", ".join(one.verdict.rules) if one.verdict else ""
        lines.append(f"| {one.name} | {_truth(one)} | {_said(one)}{_times(alike)} | {rules} |")
    return "\n".join(lines) + "\n"


def _table(results: Sequence[Result]) -> str:
    lines = ["| scenario | what happens | truth | verdict | | seconds |"]
    lines.append("|---|---|---|---|---|---:|")
    for alike in _alike(results):
        one = alike[0]
        mark = "right" if one.is_right else "**wrong**"
        if not one.symptoms_hold:
            mark += ", symptoms wrong"
        title = one.title.replace("|", "/")
        seconds = sum(each.seconds for each in alike) / len(alike)
        cells = (one.name, title, _truth(one), _said(one), mark + _times(alike), f"{seconds:.0f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _alike(results: Sequence[Result]) -> list[list[Result]]:
    """Put together the worlds of one scenario of which the same was said."""
    groups: dict[tuple[str, str, bool, bool], list[Result]] = {}
    for one in results:
        key = (one.name, _said(one), one.is_right, one.symptoms_hold)
        groups.setdefault(key, []).append(one)
    return list(groups.values())


def _times(alike: Sequence[Result]) -> str:
    return f", {len(alike)} times" if len(alike) > 1 else ""


def _truth(one: Result) -> str:
    wanted = one.wanted
    least = f"at least {wanted.certainty}" if wanted.certainty else None
    words = [_words(wanted.status, wanted.layer, wanted.technique, least), *wanted.or_status]
    if wanted.interference:
        words[0] += f" with {', '.join(wanted.interference)}"
    return f"{one.truth}: {' or '.join(words)}"


def _said(one: Result) -> str:
    if one.verdict is None:
        return one.trouble.replace("|", "/")
    seen = one.verdict.interference if one.verdict.status != "blocked" else ()
    return one.verdict.in_words() + (f" with {', '.join(seen)}" if seen else "")


def _words(status: str, layer: str | None, technique: str | None, certainty: str | None) -> str:
    named = f"{layer}.{technique}" if technique else layer
    return " ".join(filter(None, (status, named, certainty)))
