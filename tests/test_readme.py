"""The README and the set-up: every command exists with the options shown, none is left out."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from sitewatch.cli import group

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
# What stands behind `sitewatch` in code, up to the end of the line or of the code.
COMMAND_LINES = sorted(set(re.findall(r"(?:`|/)sitewatch ([a-z][^`\n]*)", README)))
EXISTING = group.list_commands(group.make_context("sitewatch", [], resilient_parsing=True))


def help_of(*command: str) -> str:
    result = CliRunner().invoke(group, [*command, "--help"], prog_name="sitewatch")
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_every_command_line_of_the_readme_has_help_for_all_it_uses(line: str) -> None:
    command, *arguments = shlex.split(line)
    text = help_of(command)
    for argument in arguments:
        if argument.startswith("--"):
            assert argument in text


def leaves(command: click.Command, *words: str) -> Iterator[tuple[str, ...]]:
    """Yield every command, of groups those inside."""
    if not isinstance(command, click.Group):
        yield words
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        assert inner is not None
        yield from leaves(inner, *words, name)


@pytest.mark.parametrize("command", EXISTING)
def test_the_help_of_every_command_shows_an_example(command: str) -> None:
    assert f"Example: sitewatch {command}" in help_of(command)


@pytest.mark.parametrize("words", list(leaves(group)), ids=" ".join)
def test_every_command_takes_a_configuration_and_a_database(words: tuple[str, ...]) -> None:
    text = help_of(*words)
    assert f"Example: sitewatch {' '.join(words)}" in text
    assert "--config FILE" in text
    assert "--database PATH-OR-URL" in text


def test_the_help_of_sitewatch_shows_an_example() -> None:
    assert "Example: sitewatch " in help_of()


def test_the_readme_names_the_commands_that_exist_and_no_other() -> None:
    assert {line.split()[0] for line in COMMAND_LINES} == set(EXISTING)


def test_every_make_target_of_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    named = set(re.findall(r"(?:    |`)make ([a-z-]+)", README))
    assert {"run", "test", "demo", "check"} <= named
    for target in named:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_link_of_the_readme_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert not [link for link in links if not (ROOT / link).is_file()]


def set_up_with(python: str | Path, folder: Path) -> str:
    """Let make set up an environment with only `python` to choose from; return its complaint."""
    environment = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    result = subprocess.run(
        ["make", f"VENV={folder}/.venv", f"PYTHON={python}", f"{folder}/.venv/bin/python"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode != 0
    assert not (folder / ".venv").exists()
    return result.stderr.splitlines()[0]


def test_without_a_usable_python_make_says_so_in_one_line(tmp_path: Path) -> None:
    assert set_up_with("no-such-python", tmp_path).startswith("Sitewatch needs Python 3.11")


def test_a_python_that_makes_no_environments_is_named_with_the_remedy(tmp_path: Path) -> None:
    partial = tmp_path / "python3"
    partial.write_text(
        f'#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\nexec {sys.executable} "$@"\n'
    )
    partial.chmod(0o755)
    assert set_up_with(partial, tmp_path).endswith("on Debian install python3-venv")
