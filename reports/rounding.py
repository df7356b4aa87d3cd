"""Rounding: public times lie outward on ten minutes, so that they do not point at a volunteer."""

from __future__ import annotations

from math import ceil, floor
from typing import overload

PUBLIC_STEP = 600


@overload
def earlier(seconds: float) -> float: ...
@overload
def earlier(seconds: None) -> None: ...
@overload
def earlier(seconds: float | None) -> float | None: ...
def earlier(seconds: float | None) -> float | None:
    """Return the last public time that is not after `seconds`; None stays None."""
    return None if seconds is None else floor(seconds / PUBLIC_STEP) * PUBLIC_STEP


@overload
def later(seconds: float) -> float: ...
@overload
def later(seconds: None) -> None: ...
@overload
def later(seconds: float | None) -> float | None: ...
def later(seconds: float | None) -> float | None:
    """Return the first public time that is not before `seconds`; None stays None."""
    return None if seconds is None else ceil(seconds / PUBLIC_STEP) * PUBLIC_STEP
