"""The daemon's log: to the journal or a rotating file, and without the names of sites."""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from collections.abc import Iterable, Mapping
from logging.handlers import RotatingFileHandler
from pathlib import Path

_MOST_BYTES = 1_000_000
_KEPT_FILES = 3
_HIDDEN = "[a site]"
# systemd reads the level from the start of a line.
_PRIORITIES = {logging.ERROR: "<3>", logging.WARNING: "<4>", logging.INFO: "<6>"}


class HiddenNames(logging.Filter):
    """Replaces URLs and the watched hosts in everything that is logged; drops tracebacks.

    The daemon's own messages hold none; this is for what libraries and errors may say.
    """

    def __init__(self) -> None:
        super().__init__()
        self._pattern = re.compile(r"https?://\S+")

    def hide(self, hosts: Iterable[str]) -> None:
        """Hide these hosts too."""
        longest_first = sorted(set(hosts), key=len, reverse=True)
        self._pattern = re.compile(
            "|".join([r"https?://\S+", *map(re.escape, longest_first)]), re.IGNORECASE
        )

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = self._pattern.sub(_HIDDEN, record.getMessage())
        record.args = ()
        record.exc_info = record.exc_text = record.stack_info = None
        return True


class _JournalFormatter(logging.Formatter):
    """One line for the journal, which adds time and program by itself."""

    def format(self, record: logging.LogRecord) -> str:
        return _PRIORITIES.get(record.levelno, "<6>") + _one_line(record)


class _FileFormatter(logging.Formatter):
    """One line with its time in UTC."""

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        return f"{moment} {record.levelname.lower()} {_one_line(record)}"


def _one_line(record: logging.LogRecord) -> str:
    return " ".join(record.getMessage().split())


def set_up(file: Path | None, environment: Mapping[str, str], *, names: bool) -> HiddenNames:
    """Log to `file`, else to stderr, which under systemd is the journal. Raises OSError.

    Unless `names`, the returned filter hides sites; tell it which.
    """
    handler: logging.Handler
    if file is None:
        handler = logging.StreamHandler(sys.stderr)
        in_journal = "JOURNAL_STREAM" in environment
        handler.setFormatter(_JournalFormatter() if in_journal else _FileFormatter())
    else:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600))
        handler = _PrivateRotation(file, maxBytes=_MOST_BYTES, backupCount=_KEPT_FILES)
        handler.setFormatter(_FileFormatter())
    hidden = HiddenNames()
    if not names:
        handler.addFilter(hidden)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("sitewatch").setLevel(logging.INFO)
    return hidden


class _PrivateRotation(RotatingFileHandler):
    """A rotating file whose every generation is for its owner's eyes only."""

    def doRollover(self) -> None:
        super().doRollover()
        Path(self.baseFilename).chmod(0o600)


def place_of(error: BaseException) -> str:
    """Say what an unexpected error is and where it was raised, without its text."""
    where, traceback = "", error.__traceback__
    while traceback is not None:
        where = f"{Path(traceback.tb_frame.f_code.co_filename).name}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return f"{type(error).__name__} at {where}"
