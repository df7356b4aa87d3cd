"""Conditions about a page that came: whether it is the site's own, and what the site said."""

from __future__ import annotations

from reports.attempts import host_of, same_site
from reports.body_text import text_of
from reports.conditions import Finding
from reports.evidence import Evidence
from reports.experiment_conditions import page_forged
from reports.filter_evidence import may_be_own_filter
from reports.fingerprints import Fingerprint
from reports.name_conditions import agreed_in_clear, known_lie, lies_by
from reports.outside import View
from reports.techniques import is_special
from reports.text import plain
from storage.records import Exchange

REFUSALS = frozenset({403, 429, 451})


def _page(e: Evidence, verified: bool) -> Exchange | None:
    outcome = e.outcome
    if outcome is None or outcome.page is None or outcome.verified is not verified:
        return None
    return outcome.page


def _challenged(page: Exchange) -> bool:
    return any(k.lower() == "cf-mitigated" and v == "challenge" for k, v in page.headers)


def _refused(page: Exchange) -> bool:
    return page.status in REFUSALS or _challenged(page)


def refused_by_site(e: Evidence) -> Finding | None:
    page = _page(e, verified=True)
    if page is None or not _refused(page) or _led_astray(e):
        return None
    return Finding(words={"name": plain(e.name), "status": str(page.status)})


def broken_by_site(e: Evidence) -> Finding | None:
    page = _page(e, verified=True)
    if page is None or _refused(page) or (page.status or 0) < 500 or _led_astray(e):
        return None
    return Finding(words={"name": plain(e.name), "status": str(page.status)})


def reached_verified(e: Evidence) -> Finding | None:
    page = _page(e, verified=True)
    if page is None or _refused(page) or (page.status or 0) >= 500 or _led_astray(e):
        return None
    return Finding(words={"name": plain(e.name), "status": str(page.status)})


def reached_plain(e: Evidence) -> Finding | None:
    """A page over plain HTTP (or after an unauthenticated redirect to a stranger) that a helper
    got as well."""
    page = _unproven_page(e)
    if page is None or _special_page(page) or not any(_agrees(page, v) for v in e.abroad):
        return None
    if _refused(page) or (page.status or 0) >= 500 or page_forged(e) is not None:
        return None
    return Finding(words={"name": plain(e.name), "status": str(page.status)})


def same_refusal_plain(e: Evidence) -> Finding | None:
    page = _unproven_page(e)
    if page is None or _special_page(page) or not _refused(page):
        return None
    if not any(_agrees(page, view) for view in e.abroad):
        return None
    return Finding(words={"name": plain(e.name), "status": str(page.status)})


def same_error_plain(e: Evidence) -> Finding | None:
    page = _unproven_page(e)
    if page is None or _special_page(page) or (page.status or 0) < 500:
        return None
    if not any(view.status == page.status for view in e.abroad):
        return None
    return Finding(words={"name": plain(e.name), "status": str(page.status)})


def unremarkable_plain(e: Evidence) -> Finding | None:
    """A page over plain HTTP where no helper could be asked and nothing looks wrong."""
    page = _unproven_page(e)
    if page is None or _special_page(page) or _refused(page) or (page.status or 0) >= 500:
        return None
    if e.abroad or _led_astray(e) or e.racing or e.false_answers:
        return None
    if page_forged(e) is not None or known_block_page(e) is not None:
        return None
    if page_at_known_address(e) is not None:
        return None
    return Finding(words={"name": plain(e.name), "status": str(page.status)})


def altered_plain(e: Evidence) -> Finding | None:
    page = _unproven_page(e)
    pages = [view for view in e.abroad if view.status is not None and view.status < 400]
    if page is None or not pages or any(_agrees(page, view) for view in e.abroad):
        return None
    technique = "redirect" if _led_astray(e) else "altered"
    words = {"name": plain(e.name), "path": f"http.{technique}"}
    return Finding(layer="http", technique=technique, words=words)


def known_block_page(e: Evidence) -> Finding | None:
    """A page or redirect in clear that is known as this country's, and that nobody abroad got."""
    rows, technique = _known(e)
    country = e.measurement.vantage.country
    known = next((row for row in rows if row.is_artefact_in(country)), None)
    if known is None or _same_abroad(e):
        return None
    words = {"name": plain(e.site), "known": plain(known.name), "source": plain(known.source)}
    return Finding(layer="http", technique=technique, words=words)


def page_at_known_address(e: Evidence) -> Finding | None:
    """A page in clear that nobody abroad got, from what is known as this country's lie."""
    page = _page_led_to(e)
    if page is None or _same_abroad(e):
        return None
    known = known_lie(e, [page.address, *sorted(e.further_names)])
    if known is None:
        return None
    answer, row = known
    words = {"name": plain(e.name), "address": plain(answer), "known": plain(row.name)}
    return Finding(layer="dns", technique=lies_by(e, "forged-address"), words=words)


def page_at_reserved_address(e: Evidence) -> Finding | None:
    """The same from a reserved address, while authenticated answers agree on another."""
    page = _page_led_to(e)
    agreed = agreed_in_clear(e)
    if page is None or altered_plain(e) is None or not is_special(page.address):
        return None
    if not agreed or may_be_own_filter(e):
        return None
    words = {
        "name": plain(e.name),
        "address": plain(page.address),
        "true": plain(min(agreed)),
    }
    return Finding(layer="dns", technique=lies_by(e, "forged-address"), words=words)


def _page_led_to(e: Evidence) -> Exchange | None:
    """A page in clear that came again from where the system's resolver led, and nobody else."""
    page = _unproven_page(e)
    if page is None or not page.url.startswith("http:"):
        return None
    led = page.address in e.answers("system") - e.named_elsewhere
    again = [each for each in e.pages if each.address in e.answers("system") - e.named_elsewhere]
    return page if led and len(again) >= _AGAIN else None


def likely_block_page(e: Evidence) -> Finding | None:
    """A page or redirect in clear that is known elsewhere, repeated, and other than abroad."""
    rows, technique = _known(e)
    # A product's or an institution's notice may be the volunteer's own network's.
    known = next((r for r in rows if r.is_trusted and r.scope not in ("prod", "inst")), None)
    if known is None or not e.reached_abroad or _same_abroad(e) or not _known_again(e):
        return None
    words = {"name": plain(e.site), "known": plain(known.name), "source": plain(known.source)}
    return Finding(layer="http", technique=technique, words=words)


def altered_for_certain_places(e: Evidence) -> Finding | None:
    """The page repeatedly differs from abroad's, and another network of the country got abroad's.

    So neither the visitor's country nor a change in these minutes explains it.
    """
    page = _unproven_page(e)
    if page is None or altered_plain(e) is None or _refused(page) or (page.status or 0) >= 500:
        return None
    differing = [each for each in e.pages if not any(_agrees(each, view) for view in e.abroad)]
    if len(differing) < _AGAIN:
        return None
    same = [i for i in e.reached_inside for a in e.abroad if a.reached and _alike(i, a)]
    if not same:
        return None
    technique = "redirect" if _led_astray(e) else "altered"
    words = {"name": plain(e.site), "path": f"http.{technique}", "who": plain(same[0].who)}
    return Finding(layer="http", technique=technique, words=words)


def _known(e: Evidence) -> tuple[list[Fingerprint], str]:
    """Return the fingerprints of what came in clear or unverified; none where one is innocent's."""
    rows: list[Fingerprint] = []
    technique = "block-page"
    for page in e.unproven_pages:
        found, how = _known_of(e, page)
        rows += found
        technique = how if found and how == "redirect" else technique
    return ([] if any(row.is_innocent for row in rows) else rows), technique


def _known_of(e: Evidence, page: Exchange) -> tuple[list[Fingerprint], str]:
    headers = e.fingerprints.of_headers(page.headers)
    rows = [*e.fingerprints.of_text("title", page.title or ""), *headers]
    body = e.case.bodies.get(page.body or "")
    if body is not None:
        rows += e.fingerprints.of_text("body", text_of(body, page.headers))
    redirects = any(row.place == "header.location" for row in headers)
    return rows, "redirect" if redirects else "block-page"


def _same_abroad(e: Evidence) -> bool:
    page = _unproven_page(e)
    return page is not None and any(_agrees(page, view) for view in e.abroad)


def _known_again(e: Evidence) -> bool:
    """Did what is known come in more loads than one?"""
    return len({page.attempt for page in e.unproven_pages if _known_of(e, page)[0]}) >= _AGAIN


_AGAIN = 2  # loads: what came once may have been a moment's


def _alike(one: View, other: View) -> bool:
    return one.status == other.status and bool(one.title) and one.title == other.title


def _unproven_page(e: Evidence) -> Exchange | None:
    """A page that no TLS ties to the site: plain HTTP, or TLS of a host that a plain-HTTP
    redirect named."""
    page = _page(e, verified=False)
    if page is None and _led_astray(e):
        page = _page(e, verified=True)
    return page


def _special_page(page: Exchange) -> bool:
    # What was imported of older probes does not always tell the address.
    return bool(page.address) and is_special(page.address)


def _led_astray(e: Evidence) -> bool:
    """Did an answer without TLS send the visitor to another site?"""
    outcome = e.outcome
    start = e.measurement.url
    if outcome is None or outcome.hop == 0 or not start.startswith("http:"):
        return False
    return not same_site(host_of(start), outcome.name)


def _agrees(page: Exchange, view: View) -> bool:
    """Tell whether a page is the one that was seen abroad, as far as a helper tells."""
    if view.status != page.status:
        return False
    ours, theirs = page.body_bytes or 0, view.body_length
    if page.truncated and theirs is not None and theirs > ours:
        theirs = ours  # our cap hides the rest
    if page.title and view.title:
        same = " ".join(page.title.split()) == " ".join(view.title.split())
        return same and (theirs is None or ours >= _MOST_CUT_OUT * theirs)
    if theirs is None:
        return True  # it did not say, which is no difference
    lengths = sorted((ours, theirs))
    return lengths[1] == 0 or lengths[0] / lengths[1] > 0.7  # the field's usual proportion


_MOST_CUT_OUT = 0.3  # of a page with the right title: less of it than this is another page
