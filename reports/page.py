"""The page: the report as one self-contained HTML file."""

from __future__ import annotations

from reports.content import Content
from reports.svg import draw, environment
from reports.wording import counted, duration, stamp


def html(content: Content) -> str:
    """Return report.html: no script, no request to anywhere, everything escaped."""
    template = environment.get_template("report.html")
    return template.render(c=content, draw=draw, stamp=stamp, counted=counted, duration=duration)
