"""Places: names of countries, and the local time where a country has an obvious one."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

import msgspec

COUNTRIES: dict[str, str] = {
    "AF": "Afghanistan",
    "AM": "Armenia",
    "AZ": "Azerbaijan",
    "BY": "Belarus",
    "CN": "China",
    "CU": "Cuba",
    "EG": "Egypt",
    "ET": "Ethiopia",
    "GE": "Georgia",
    "IN": "India",
    "IR": "Iran",
    "KE": "Kenya",
    "KG": "Kyrgyzstan",
    "KZ": "Kazakhstan",
    "MM": "Myanmar",
    "MN": "Mongolia",
    "PK": "Pakistan",
    "RU": "Russia",
    "SE": "Sweden",
    "TJ": "Tajikistan",
    "TM": "Turkmenistan",
    "TR": "Türkiye",
    "TZ": "Tanzania",
    "UA": "Ukraine",
    "UG": "Uganda",
    "UZ": "Uzbekistan",
    "VE": "Venezuela",
    "VN": "Vietnam",
}

# Only countries with one time zone (or one that all but a corner keeps), and the city by which
# readers know it. Kazakhstan had two zones until 2024; Astana and Almaty kept the same one.
_LOCAL: dict[str, tuple[str, str]] = {
    "AM": ("Asia/Yerevan", "Yerevan"),
    "AZ": ("Asia/Baku", "Baku"),
    "BY": ("Europe/Minsk", "Minsk"),
    "CN": ("Asia/Shanghai", "Beijing"),
    "EG": ("Africa/Cairo", "Cairo"),
    "ET": ("Africa/Addis_Ababa", "Addis Ababa"),
    "GE": ("Asia/Tbilisi", "Tbilisi"),
    "IN": ("Asia/Kolkata", "Delhi"),
    "IR": ("Asia/Tehran", "Tehran"),
    "KE": ("Africa/Nairobi", "Nairobi"),
    "KG": ("Asia/Bishkek", "Bishkek"),
    "KZ": ("Asia/Almaty", "Astana"),
    "MM": ("Asia/Yangon", "Yangon"),
    "PK": ("Asia/Karachi", "Islamabad"),
    "TJ": ("Asia/Dushanbe", "Dushanbe"),
    "TM": ("Asia/Ashgabat", "Ashgabat"),
    "TR": ("Europe/Istanbul", "Ankara"),
    "TZ": ("Africa/Dar_es_Salaam", "Dodoma"),
    "UG": ("Africa/Kampala", "Kampala"),
    "UZ": ("Asia/Tashkent", "Tashkent"),
    "VE": ("America/Caracas", "Caracas"),
    "VN": ("Asia/Ho_Chi_Minh", "Hanoi"),
}


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A country as it is written: its name, and its local time with a city's name, if any."""

    code: str | None
    name: str
    zone: str | None = None
    city: str | None = None

    def local(self, seconds: float) -> datetime | None:
        """Return the local time of a moment, None where the country has no obvious one."""
        return moment(seconds, ZoneInfo(self.zone)) if self.zone is not None else None


def place(code: str | None) -> Place:
    """Return the place for a two-letter country code; unknown ones are written as they are."""
    if code is None:
        return Place(code=None, name="an unknown country")
    zone, city = _LOCAL.get(code, (None, None))
    return Place(code=code, name=COUNTRIES.get(code, code), zone=zone, city=city)


def moment(seconds: float, zone: tzinfo = UTC) -> datetime:
    """Return seconds since the epoch as a time in `zone`."""
    return datetime.fromtimestamp(seconds, zone)
