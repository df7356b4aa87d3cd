"""Conditions about answers in clear: what is cut off or changed for what stands in it."""

from __future__ import annotations

from reports.conditions import Finding, found
from reports.evidence import Evidence
from reports.outside import View
from reports.page_conditions import altered_plain
from reports.text import plain
from storage.records import Exchange

_SAME_LENGTH = 0.9  # of a page that may change a little from load to load


def answer_cut(e: Evidence) -> Finding | None:
    """The page is cut off again and again, but its head comes: the same as abroad.

    So the server serves this very page to this visitor, and neither its country nor the name in
    the request is what ends it. Short segments rule out a link that swallows long ones; a view from
    abroad that was soon done, a slow server; where the page had begun, a long transfer from the
    same address under another name rules out that long ones stop there anyway.
    """
    failed, head = e.failed, e.page_contrast.head
    if failed is None or failed.secure or failed.layer != "http" or failed.technique is None:
        return None
    if head is None or not (e.repeated and e.page_contrast.page_never_came):
        return None
    begun = failed.technique in ("stalled", "truncated")
    if begun and not e.contrasts("transfer").passes("neutral@site"):
        return None
    same = [view for view in e.reached_abroad if _told_by(view, head) and _was_quick(view, e)]
    return found(failed, length=str(head.declared_bytes)) if same else None


def _told_by(view: View, head: Exchange) -> bool:
    """Did the server say of the page what a view from abroad got?"""
    lengths = sorted((view.body_length or 0, head.declared_bytes or 0))
    return view.status == head.status and lengths[0] > 0 and lengths[0] >= _SAME_LENGTH * lengths[1]


def _was_quick(view: View, e: Evidence) -> bool:
    """Was a view from abroad done in half the time for which we waited in vain?"""
    waited = min(step.duration_us for step in e.page_contrast.pages)
    return not e.page_contrast.timed_out or (view.took_us or waited) <= waited / 2


def answer_altered(e: Evidence) -> Finding | None:
    """Another page comes each time than the server says that it is, who tells us abroad's length.

    A server that shows this country another page says so in its head as well.
    """
    contrast, differs = e.page_contrast, altered_plain(e)
    if differs is None or differs.technique != "altered" or len(e.pages) < 2:
        return None
    head, length = contrast.head, contrast.page_length
    if head is None or length is None or head.declared_bytes in (None, 0, length):
        return None
    told = [v for v in e.abroad if (v.status, v.body_length) == (head.status, head.declared_bytes)]
    if not told:
        return None
    titles = {page.title for page in e.pages if page.title}
    others = ("neutral@site", "foreign@neutral", "neutral@neutral")
    if any(isinstance(s, Exchange) and s.arm in others and s.title in titles for s in e.steps):
        return None  # a notice that replaces every page, as providers show it to who has not paid
    words = {
        "name": plain(e.name),
        "declared": str(head.declared_bytes),
        "length": str(length),
    }
    return Finding(layer="http", technique="altered", words=words)


def path_alone(e: Evidence) -> Finding | None:
    """Another page of the same host came while this one failed: part of a site is blocked."""
    failed, front = e.failed, e.page_contrast.front
    if failed is None or failed.technique is None or failed.secure or failed.layer != "http":
        return None
    if front is None or front.status is None or front.failure is not None:
        return None
    return found(failed)
