"""The words in which consent is asked for, section by section, in the volunteer's language."""

from __future__ import annotations

from pathlib import Path

from probes.settings import Tier
from sitewatch.consent import Scope
from sitewatch.kind_words import kind_of_sites, kinds_of_sites, service
from sitewatch.language import DRAFT, ENGLISH, N_, Language
from sitewatch.preview import Preview

_BEGIN = N_("Before Sitewatch sends anything, please read this.")

_WHAT = N_(
    """\
What it does
  It will contact {sites} sites from this computer over your own internet line
  and keep a record of what happened.
  Kinds of sites: {kinds}."""
)

_WHAT_ONE = N_(
    """\
What it does
  It will contact 1 site from this computer over your own internet line
  and keep a record of what happened.
  Kind of site: {kinds}."""
)

_MANNERS: dict[Tier, str] = {
    "browser-like": N_(
        """\
  Manner (browser-like): each site is opened as a browser would open it, and reloaded up
  to twice."""
    ),
    "probing": N_(
        """\
  Manner (probing): as a browser would, and where something looks wrong the site's name is
  also sent to other addresses, as no browser does."""
    ),
    "conspicuous": N_(
        """\
  Manner (conspicuous): names are sent repeatedly and to other addresses, and names of
  circumvention tools are sent; this stands out on the line."""
    ),
}

_EACH_DAY = N_(
    """\
Each day
  Whoever watches your line sees about so many visits, between {hours}, as long as nothing
  looks wrong:"""
)

_OTHERS_SEE = N_(
    """\
What others can see
  Whoever watches your line (your provider, your employer, the state) sees which
  sites are contacted and when, as with a browser, but more of them and in a short time.
  Some may be forbidden where you are. Contacting them may be unlawful there, may be
  noticed, and may be held against the person who pays for the line.
  If that is a danger to you, do not continue."""
)

_SERVICES = N_(
    """\
Who learns your internet address
  The sites themselves, and the services below. Public resolvers and encrypted resolvers
  learn the names of the sites; helpers learn their URLs."""
)

_KEPT = N_(
    """\
What is kept
  On this computer only: for each site the time, addresses, certificates, status, headers
  and, where something looks odd, the page. Nothing is sent to Sitewatch's makers.
  Never kept: your internet address, your name, your browsing, the name of your Wi-Fi."""
)

_STOP = N_(
    """\
How to stop
  Press Ctrl-C, or stop the service. "sitewatch pause" stops all measuring until
  "sitewatch resume". "sitewatch wipe" removes everything: the records in
  {database}, the files beside it whose names begin like that, and
  {marker}, which remembers this answer.
  What it cannot remove are backups, and traces that disks of the flash kind may keep."""
)


def consent_text(
    scope: Scope,
    database: str,
    marker: Path,
    language: Language = ENGLISH,
    preview: Preview | None = None,
) -> str:
    """Return the text for `scope`; the records are kept in `database`, the answer in `marker`.

    With a `preview` it also says what a day of unattended measuring looks like from outside.
    """
    services = "\n".join(f"  - {service(each, language)}" for each in sorted(scope.services))
    sections = [
        language.show(_BEGIN),
        language.show(
            _WHAT_ONE if scope.targets == 1 else _WHAT,
            sites=scope.targets,
            kinds=kinds_of_sites(scope.categories, language),
            english={"kinds": kinds_of_sites(scope.categories, ENGLISH)},
        )
        + "\n"
        + language.show(_MANNERS[scope.tier]),
        *([] if preview is None else [_each_day(language, preview)]),
        language.show(_OTHERS_SEE),
        f"{language.show(_SERVICES)}\n{services}",
        language.show(_KEPT),
        language.show(_STOP, database=database, marker=marker),
    ]
    if language.is_draft:
        sections.insert(0, language.show(DRAFT))
    return "\n\n".join(sections) + "\n"


def _each_day(language: Language, preview: Preview) -> str:
    rows = [
        f"  - {kind_of_sites(code, language)}: "
        f"{kind.sites} × {kind.visits / kind.sites:.0f} = {kind.visits:.0f}"
        for code, kind in sorted(preview.categories.items())
    ]
    return "\n".join([language.show(_EACH_DAY, hours=preview.hours), *rows])
