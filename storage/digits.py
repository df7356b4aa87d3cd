"""A column type for hexadecimal text: hashes, keys, signatures and pseudonyms, kept as bytes.

In Python they stay text, as in the records; in the database they take half the room. People who
ask by SQL write ``hex(id)``.
"""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import LargeBinary
from sqlalchemy.types import TypeDecorator

HASH_PREFIX = "sha256:"
_DIGITS = re.compile(r"(?:[0-9a-f]{2})+", re.ASCII)


class Digits(TypeDecorator[str]):
    """`length` bytes, read and written as lower-case hex digits behind `prefix`.

    Text that is none is looked for in vain, as it stands nowhere. What some other program put into
    the column is read as text that no hash, key or signature can be equal to.
    """

    impl = LargeBinary
    cache_ok = True

    def __init__(self, length: int, prefix: str = "") -> None:
        super().__init__(length)
        self.digits = length
        self.prefix = prefix

    def process_bind_param(self, value: str | None, dialect: Any) -> bytes | None:
        """Return the bytes of the digits."""
        if value is None:
            return None
        digits = value.removeprefix(self.prefix)
        if value.startswith(self.prefix) and _DIGITS.fullmatch(digits):
            return bytes.fromhex(digits)
        return f"not digits: {value}".encode(errors="replace")

    def process_result_value(self, value: Any, dialect: Any) -> str | None:
        """Return the digits of the bytes."""
        if value is None:
            return None
        if isinstance(value, bytes) and len(value) == self.digits:
            return self.prefix + value.hex()
        return f"not {self.digits} bytes: {str(value)[:80]}"


def hash_digits() -> Digits:
    """Return the type of a SHA-256 hash, as ids are written: ``sha256:`` and 64 digits."""
    return Digits(32, HASH_PREFIX)
