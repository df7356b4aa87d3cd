"""A folder that vanishes with the process that wanted it, also where that is killed."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# It reads until the other end of its input closes, by whatever end of the process there.
_REMOVER = 'cat >/dev/null; rm -rf -- "$0"'


@contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """Make a folder where temporary files belong, and have it removed whatever happens."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    remover = subprocess.Popen(
        ["sh", "-c", _REMOVER, str(folder)], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        yield folder
    finally:
        remover.communicate()
