"""Method: how a report came about, by which versions and thresholds, and what limits it."""

from __future__ import annotations

from collections.abc import Sequence

from reports.analysis import Analysis
from reports.cases import WITNESS_SECONDS
from reports.contrasts import MOST_EXAMINED, SAME_MINUTES
from reports.episodes import GAP_SECONDS
from reports.incidents import ENOUGH, JOIN_SECONDS
from reports.ledger import Ledger
from reports.rounding import PUBLIC_STEP
from reports.rules import RULES_VERSION
from reports.spans import POSSIBLE_RUN
from reports.text import plain
from reports.wording import Words
from storage.records import MEASUREMENT_FORMAT, ROUND_FORMAT

Facts = Sequence[tuple[str, str]]


def method(analysis: Analysis, words: Words) -> tuple[str, ...]:
    """Return how the measurements were made and what was concluded from them, in paragraphs."""
    text = words.text
    if analysis.exact:
        rounding = text("Times in this report are exact.")
    else:
        rounding = text(
            "Times in this report are rounded outward to {width}, so that they do not point at a "
            "volunteer.",
            width=words.duration(PUBLIC_STEP),
        )
    return (
        text(
            "A vantage is one installation of the program on one network, known by a pseudonym and "
            "by the country and number of the network, never by a person or an address."
        ),
        text(
            "Volunteers' computers load each site as a browser would: they ask the system's "
            "resolver for its address, connect, open TLS with the site's name and request the "
            "page. Public and encrypted resolvers are asked beside it, and helpers abroad load "
            "the same page at the same time. A load that fails is repeated twice."
        ),
        text(
            "Where a failure repeats, an experiment follows in which only one thing differs: the "
            "site's name and other names at the site's address, the site's name and other names "
            "at an unrelated address. If only the site's name fails, at both, it is the name that "
            "is blocked."
        ),
        text(
            "A measurement is called blocked only if the failure repeated and two independent "
            "kinds of evidence speak for interference, or if an experiment or an artefact shows "
            "it. A lone unexplained failure is suspected and never makes a headline."
        ),
        text(
            "An episode is a span in which one site was blocked on one network. It begins between "
            "the last measurement that found the site open and the first that found it blocked, "
            "and ends likewise: these brackets are drawn as they are, and nothing is said about "
            "moments inside them. Times are corrected by the measured offset of each volunteer's "
            "clock."
        ),
        rounding,
        text(
            "Which failing measurements belong together is told by a model that learns from the "
            "other sites on a line, and from the same site on other networks, how often "
            "measurements fail for other reasons. The times between which an onset lies in nine "
            "of ten cases come from it."
        ),
        text(
            "An incident is what the episodes of one site in one country make together. Networks "
            "that did not block are counted, and networks with too little data are counted apart."
        ),
        text(
            "The records named in the annex are identified by the SHA-256 of their canonical "
            "form, so that nobody can change them unnoticed, and can be judged again by other "
            "rules."
        ),
    )


def versions(analysis: Analysis, tool: str, words: Words) -> Facts:
    """Return the versions and thresholds, each with what it is."""
    text, duration = words.text, words.duration
    rules, tools = analysis.rules, [plain(each) for each in analysis.tools]
    return (
        (text("Program that wrote this report"), plain(tool)),
        (text("Programs that measured"), words.listed(tools) or "–"),
        (text("Rules"), words.listed(rules) or RULES_VERSION),
        (text("Formats of the records"), f"{MEASUREMENT_FORMAT}, {ROUND_FORMAT}"),
        (
            text("Measurements of other vantages that count as witnesses"),
            text("within {width}", width=duration(WITNESS_SECONDS)),
        ),
        (
            text("“In the same minutes”, of other sites on the same vantage"),
            text("within {width}", width=duration(SAME_MINUTES)),
        ),
        (
            text("Open measurements before a network is said not to block"),
            text("at least {n}", n=ENOUGH),
        ),
        (
            text("Unexplained failures in a row before they are listed as possible"),
            text("at least {n}", n=POSSIBLE_RUN),
        ),
        (
            text("Silence inside an episode that is called a gap"),
            text("longer than {width}", width=duration(GAP_SECONDS)),
        ),
        (
            text("Episodes of one site that are taken as one incident"),
            text("no more than {width} apart", width=duration(JOIN_SECONDS)),
        ),
        (
            text("Failing measurements of one episode that are looked at one by one"),
            text("at most {n}, evenly spread", n=MOST_EXAMINED),
        ),
    )


def lone_witnesses(ledger: Ledger, words: Words) -> tuple[str, ...]:
    """Return the networks on which one vantage is the only witness, as a warning."""
    vantages = ledger.vantages
    alone = sorted(ledger.names[network] for network, own in vantages.items() if len(own) == 1)
    if not alone:
        return ()
    return (
        words.plural(
            "Warning: on {n} network one vantage is the only witness: {networks}. What it saw may "
            "be a matter of its own line, place or equipment.",
            "Warning: on {n} networks one vantage is the only witness: {networks}. What it saw "
            "may be a matter of its own line, place or equipment.",
            len(alone),
            networks=words.listed([plain(name) for name in alone], most=12),
        ),
    )


def limitations(ledger: Ledger, words: Words) -> tuple[str, ...]:
    """Return what a reader must not conclude from this report."""
    networks = ledger.vantages
    vantages = set().union(*networks.values())
    return (
        words.text(
            "This report rests on {vantages} on {networks}. Networks differ within themselves by "
            "place and kind of line; what a vantage saw need not hold for every customer.",
            vantages=words.plural("{n} vantage", "{n} vantages", len(vantages)),
            networks=words.plural("{n} network", "{n} networks", len(networks)),
        ),
        words.text(
            "Only the sites on the list were measured, at the times of the rounds. A block "
            "shorter than the time between two rounds can be missed."
        ),
        words.text(
            "Volunteers run the program on lines of their own choice; they are no sample of the "
            "country."
        ),
        words.text(
            "A network on which nothing was found to be blocked is not a network on which nothing "
            "is blocked."
        ),
        words.text(
            "Measurements show what happened to connections. They do not show who decided it."
        ),
        words.text(
            "Hashes and signatures show that a record was not changed after it was made. They do "
            "not show that the computer that made it told the truth; for that, look at whether "
            "vantages that do not know of each other saw the same."
        ),
    )
