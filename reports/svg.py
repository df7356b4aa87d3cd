"""SVG: a laid-out timeline as inline markup."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from reports.timeline import BAND_HEIGHT, BAND_TOP, LANE, Timeline

# Everything is escaped, in every template: what a page says may come from the network.
environment = Environment(
    loader=PackageLoader("reports", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def draw(timeline: Timeline) -> Markup:
    """Return the timeline as one `<svg>` element that refers to nothing outside itself."""
    template = environment.get_template("timeline.svg")
    drawn = template.render(t=timeline, lane=LANE, band_top=BAND_TOP, band=BAND_HEIGHT)
    return Markup(drawn)  # escaped by the template
