"""Symptom lines as scenario files write them: ``tls watched.example at www.example.com``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

_VERBS = {"dns", "tcp", "tcp6", "tls", "tls-pieces", "tls-records", "tls-upper", "twice"}
_VERBS |= {"issuer", "get", "speed", "helper", "quic"}


def symptom_mistakes(symptoms: Mapping[str, str]) -> Iterator[str]:
    """Yield what is wrong with symptom lines."""
    for line in symptoms:
        words = line.split()
        if len(words) > 2 and words[0].isdigit() and words[1] == "x":
            words = words[2:]
        if len(words) < 2 or words[0] not in _VERBS:
            yield f'key symptoms."{line}": it begins with none of {", ".join(sorted(_VERBS))}'
