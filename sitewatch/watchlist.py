"""What the daemon watches: the targets, and which of them more often."""

from __future__ import annotations

from dataclasses import dataclass

from probes.targets import CATEGORIES, Target, host_of, load_targets, normal_form
from sitewatch.config import Config
from sitewatch.console import Failed


@dataclass(frozen=True)
class Watchlist:
    """All targets in the file's order, then watched hosts that no row of it names."""

    targets: tuple[Target, ...]
    watched: frozenset[str]  # URLs measured more often

    @property
    def urls(self) -> list[str]:
        return [target.url for target in self.targets]


def load_watchlist(config: Config) -> Watchlist:
    """Read the targets file. Raises TargetsError, and Failed where nothing is left to watch."""
    targets = load_targets(config.targets_path(), skip=config.targets.skip_categories)
    listed = {target.host for target in targets}
    hosts = frozenset(host.lower() for host in config.schedule.watch)
    targets += [unlisted(normal_form(f"https://{host}/")) for host in sorted(hosts - listed)]
    if not targets:
        raise Failed(f"{config.targets_path()}: every target's category is skipped")
    watched = frozenset(target.url for target in targets if target.host in hosts)
    return Watchlist(tuple(targets), watched)


def unlisted(url: str) -> Target:
    """Return the target of a URL in normal form that stands in no list."""
    return Target(
        url=url,
        host=host_of(url),
        category="MISC",
        description=CATEGORIES["MISC"],
        date_added="",
        source="",
        notes="",
    )
