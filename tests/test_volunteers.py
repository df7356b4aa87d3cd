"""The page for volunteers: every command that it names exists, with the options shown."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from sitewatch.cli import group
from sitewatch.service import DEFAULT_NAME

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/volunteers.md").read_text("utf-8")
LINES = sorted(set(re.findall(r"(?:`|^ {4})sitewatch ([a-z][^`\n;]*)", PAGE, re.MULTILINE)))


@pytest.mark.parametrize("line", LINES)
def test_every_command_exists_with_its_options(line: str) -> None:
    words = shlex.split(line)
    names = [word for word in words if re.fullmatch("[a-z]+", word)]
    command = names[:2] if names[0] == "service" else names[:1]
    result = CliRunner().invoke(group, [*command, "--help"])
    assert result.exit_code == 0, result.output
    for word in words:
        if word.startswith("--"):
            assert word in result.output


def test_the_page_names_what_a_volunteer_needs() -> None:
    named = {line.split()[0] for line in LINES}
    assert {"init", "service", "status", "pause", "resume", "wipe", "report"} <= named
    assert PAGE.count(DEFAULT_NAME) > 3


def test_the_container_is_not_root_and_keeps_everything_in_one_volume() -> None:
    lines = (ROOT / "Containerfile").read_text("utf-8").splitlines()
    assert lines.index("USER watcher") < lines.index('ENTRYPOINT ["sitewatch"]')
    assert "VOLUME /data" in lines
    assert any("SITEWATCH_CONFIG=/data/" in line for line in lines)
