"""What is said on the terminal: one-line errors, progress on stderr, text made safe to print."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

import click


class Failed(click.ClickException):
    """A command could not be done: one line on stderr, exit code 1."""

    exit_code = 1

    def show(self, file: object = None) -> None:
        click.echo(f"sitewatch: {safe(self.message)}", err=True)


@contextmanager
def told_in_one_line(*errors: type[Exception]) -> Iterator[None]:
    """Turn the errors that a part of the house raises on purpose into one line and exit code 1."""
    try:
        yield
    except errors as error:
        raise Failed(str(error)) from error


def safe(text: str) -> str:
    """Return text from anywhere so that it is one line and moves no terminal's cursor."""
    return "".join(
        "�" if unicodedata.category(sign) in {"Cc", "Cf", "Cs", "Zl", "Zp"} else sign
        for sign in text
    )


def say(text: str) -> None:
    """Say something to the person at the terminal; stdout stays for data."""
    click.echo(text, err=True)
