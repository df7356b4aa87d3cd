"""The page: the report as one self-contained HTML file, its timelines as inline SVG."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from reports.annotations import NOT_EVIDENCE
from reports.content import Content
from reports.timeline import BAND_HEIGHT, BAND_TOP
from reports.wording import counted, stamp

# Everything is escaped, in every template: what a page says may come from the network.
_environment = Environment(
    loader=PackageLoader("reports", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.globals.update(
    stamp=stamp,
    counted=counted,
    band_top=BAND_TOP,
    band_height=BAND_HEIGHT,
    not_evidence=NOT_EVIDENCE,
)


def html(content: Content) -> str:
    """Return report.html: no script, no request to anywhere, everything escaped."""
    return _environment.get_template("report.html").render(c=content)
