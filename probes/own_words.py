"""Words of ours in records: fields, their fixed values, failures, times and hashes.

No address stands in them, but the few characters that one leaves in base64 may by chance: four of
them end a time as well. Scrubbed they would be no record any more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import inspect

from storage.failures import Failure
from storage.records import Measurement, Round

_HASH_OR_TIME = re.compile(
    r"(?:sha256:)?[0-9a-f]{64}|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z"
)


def is_ours(text: str) -> bool:
    """Tell whether a text of a record is a word of its format, a failure, a time or a hash."""
    return text in _WORDS or _HASH_OR_TIME.fullmatch(text) is not None


def _words(type_: inspect.Type) -> Iterator[str]:
    """Yield the names of fields and the fixed values in a type and in those that it holds."""
    match type_:
        case inspect.StructType(fields=fields, tag=tag, tag_field=tag_field):
            yield from (word for word in (tag, tag_field) if isinstance(word, str))
            for field in fields:
                yield field.encode_name
                yield from _words(field.type)
        case inspect.UnionType(types=types):
            for each in types:
                yield from _words(each)
        case inspect.ListType(item_type=item):
            yield from _words(item)
        case inspect.DictType(value_type=value):
            yield from _words(value)
        case inspect.LiteralType(values=values):
            yield from (word for word in values if isinstance(word, str))


_WORDS = frozenset(
    [
        *map(str, Failure),
        *(w for kind in (Measurement, Round) for w in _words(inspect.type_info(kind))),
    ]
)
