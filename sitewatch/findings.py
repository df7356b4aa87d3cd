"""Findings: what a check found, how bad it is, and what to do about it."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

# `unknown`: it could not be found out, or may not be looked at; that is no fault.
State: TypeAlias = Literal["good", "notice", "bad", "unknown"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What one check found. `remedy` says what to do, "" where there is nothing to do."""

    check: str
    state: State
    found: str
    remedy: str = ""


def good(check: str, found: str) -> Finding:
    """Return a finding of something in order."""
    return Finding(check=check, state="good", found=found)


def notice(check: str, found: str, remedy: str) -> Finding:
    """Return a finding that is worth knowing; Sitewatch works all the same."""
    return Finding(check=check, state="notice", found=found, remedy=remedy)


def bad(check: str, found: str, remedy: str) -> Finding:
    """Return a finding that endangers the volunteer or makes measurements useless."""
    return Finding(check=check, state="bad", found=found, remedy=remedy)


def unknown(check: str, found: str, remedy: str = "") -> Finding:
    """Return a finding of something that could not be found out."""
    return Finding(check=check, state="unknown", found=found, remedy=remedy)
