"""Verify a Sitewatch dossier offline: ``python -I verify.py [FOLDER or DOSSIER.zip]``.

Needs Python 3.9 or newer and nothing else; without an argument the folder of this script is
verified. Exit code 0: all that is here is intact; 3: something is missing or broken; 2: it cannot
be read. Compare the hash of this script, which it prints, with the one that was published apart.

A signature proves that a record is as it was when the holder of the key signed it, and in an exact
dossier that what stands before it in the chain stood there then. It does not prove when that was,
who holds the key, that what was recorded ever happened, or that nothing was left out. Derived
records (public dossiers) are as their exporter signed them; that a vantage measured them, only
their originals can show. The seal shows who put the dossier together if you know its key from
elsewhere. Whether each record is rightly judged is not checked here: Sitewatch can judge it anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import zipfile
import zlib
from collections.abc import Callable
from datetime import datetime
from typing import Any

TOP = "dossier/"
UNLISTED = {"manifest.json", "seal.json"}
MOST_BYTES = 64 << 20  # of one file
BAD = (ValueError, LookupError, TypeError, AttributeError, RuntimeError, EOFError, zlib.error)
Point = tuple[int, int, int, int]  # extended coordinates
Reader = Callable[[str], bytes]

# --- Ed25519 (RFC 8032), verification only --------------------------------------------------------

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)
ZERO = (0, 1, 1, 0)


def add(a: Point, b: Point) -> Point:
    """Return the sum of two points in extended coordinates."""
    p, q = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    r, s = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = q - p, s - r, s + r, q + p
    return e * f % P, g * h % P, f * g % P, e * h % P


def point(data: bytes) -> Point | None:
    """Return the point that 32 bytes stand for, None if they stand for none."""
    number = int.from_bytes(data, "little")
    y, sign = number & (2**255 - 1), number >> 255
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


def encoded(a: Point) -> bytes:
    """Return the 32 bytes that stand for a point."""
    x, y = (coordinate * pow(a[2], P - 2, P) % P for coordinate in a[:2])
    return (y | (x & 1) << 255).to_bytes(32, "little")


BASE = point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little")) or ZERO


def good_signature(key: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether `signature` is one of the public key over the message.

    Strict: no second form of a signature passes, and no key under which anybody could sign.
    """
    if len(key) != 32 or len(signature) != 64:
        return False
    s = int.from_bytes(signature[32:], "little")
    a = point(key)
    if s >= L or a is None:
        return False
    eight = a
    for _ in range(3):
        eight = add(eight, eight)
    if encoded(eight) == encoded(ZERO):
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L
    minus = (P - a[0], a[1], 1, P - a[3])
    table = (None, BASE, minus, add(BASE, minus))
    total = ZERO
    for bit in range(252, -1, -1):
        total = add(total, total)
        chosen = table[(s >> bit & 1) | (h >> bit & 1) << 1]
        if chosen is not None:
            total = add(total, chosen)
    return encoded(total) == signature[:32]


# --- what is signed and hashed --------------------------------------------------------------------


def canonical(value: object) -> bytes:
    """Return RFC 8785 canonical JSON of what has only text, whole numbers, lists and objects."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def hashed(data: bytes) -> str:
    """Return the id of bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def signed_by(statement: dict[str, Any], key: str) -> bool:
    """Tell whether an object's `signature` is one of that key over the rest of it."""
    rest = canonical({name: statement[name] for name in statement if name != "signature"})
    return good_signature(bytes.fromhex(key), rest, bytes.fromhex(statement["signature"]))


def seconds(time: str) -> float:
    """Return the seconds since the epoch of a time in UTC with Z."""
    return datetime.fromisoformat(time.replace("Z", "+00:00")).timestamp()


def shown(text: object) -> str:
    """Return text of unknown origin so that it moves no cursor."""
    return ascii(str(text))[1:-1][:160]


def require(true: object, problem: str) -> None:
    """Raise ValueError unless true."""
    if not true:
        raise ValueError(problem)


def blobs_in(record: Any) -> set[str]:
    """Return the ids of the blobs that a record names."""
    named = set()
    for step in record["steps"]:
        named.add(step.get("body"))
        named.update(reply.get("raw") for reply in step.get("replies") or ())
        named.update(f"sha256:{each['sha256']}" for each in step.get("chain") or ())
    return named - {None}


# --- reading a folder or a ZIP: nothing is unpacked, no link is followed --------------------------


def files_of(path: str) -> tuple[set[str], Reader]:
    """Return the names of a dossier's files, and a function that reads one."""
    names, read = zip_files(path) if os.path.isfile(path) else folder_files(path)
    for name in names:
        parts = name.split("/")
        plain = not set(name) & set('\\:\0"<>|') and not {"", ".", ".."} & set(parts)
        require(plain, f"odd name {shown(name)}")
    return names, read


def zip_files(path: str) -> tuple[set[str], Reader]:
    """Return names and reader of a ZIP."""
    archive = zipfile.ZipFile(path)
    by_name = {i.filename[len(TOP) :]: i for i in archive.infolist() if i.filename.startswith(TOP)}
    require(len(by_name) == len(archive.infolist()), "a name is there twice, or leads elsewhere")

    def read(name: str) -> bytes:
        require(by_name[name].file_size <= MOST_BYTES, "too large")
        try:
            return archive.read(by_name[name])
        except zipfile.BadZipFile as error:
            raise ValueError("its bytes in the ZIP are damaged") from error

    return set(by_name), read


def folder_files(path: str) -> tuple[set[str], Reader]:
    """Return names and reader of a folder."""
    names: set[str] = set()
    for folder, folders, files in os.walk(path):
        for name in folders + files:
            require(not os.path.islink(os.path.join(folder, name)), f"{shown(name)} is a link")
        inside = (os.path.relpath(os.path.join(folder, name), path) for name in files)
        names.update(name.replace(os.sep, "/") for name in inside)

    def read(name: str) -> bytes:
        with open(os.path.join(path, *name.split("/")), "rb") as file:
            return file.read(MOST_BYTES + 1)

    return names, read


# --- the checks -----------------------------------------------------------------------------------


class Dossier:
    """One dossier: its files as they are, and what is found: counts of what is intact, problems."""

    def __init__(self, path: str) -> None:
        self.intact: dict[str, int] = {}
        self.problems: list[str] = []
        self.names, self.read = files_of(path)
        self.manifest: Any = json.loads(self.read("manifest.json"))
        self.exact, self.absent = self.manifest["exact"], self.manifest["absent"]
        self.sound: set[str] = set()  # names of files that are as listed
        self.records: dict[str, Any] = {}  # by id, which a derived record names as `of`
        self.named: dict[str, str] = {}  # their ids, by the hash of what is here
        self.envelopes: dict[str, list[Any]] = {}  # by vantage
        self.keys: dict[str, set[str]] = {}  # certified ones, by vantage

    def hold(self, kind: str, name: str, check: Callable[..., object], *about: Any) -> None:
        """Run one check; it raises ValueError, or whatever else malformed data lead to."""
        try:
            check(*about)
        except (*BAD, OSError) as error:
            self.problems.append(f"broken: {kind} {shown(name)}: {shown(error) or 'malformed'}")
        else:
            self.intact[kind] = self.intact.get(kind, 0) + 1

    def verify(self) -> None:
        """Run all checks, in an order in which each rests on the ones before."""
        self.hold("seal", "seal.json", self.check_seal)
        for name, entry in sorted(self.manifest["files"].items()):
            self.hold("file", name, self.check_file, name, entry)
        for name in sorted(self.names - set(self.manifest["files"]) - UNLISTED):
            self.problems.append(f"broken: file {shown(name)}: not on the list")
        for name in sorted(name for name in self.sound if name.startswith("records/")):
            self.hold("record", name, self.check_record, name)
        for line in self.lines("keys.jsonl"):  # each vantage's in the order of certification
            self.hold("key", line, self.check_key, line)
        for line in self.lines("envelopes.jsonl"):
            self.hold("signature", line, self.check_envelope, line)
        for vantage in sorted(self.envelopes) if self.exact else ():
            self.check_chain(vantage)
        for name in sorted(name for name in self.sound if name.startswith("blobs/")):
            right = hashed(self.read(name))[7:] == name.partition("/")[2]
            self.hold("blob", name, require, right, "its content has another hash")
        signed = {self.named[each["id"]] for every in self.envelopes.values() for each in every}
        for id, record in sorted(self.records.items()):
            self.hold("record that is signed", id, require, id in signed, "nobody signed it")
            for blob in sorted(blobs_in(record)) if self.exact else ():
                self.carried("blob", blob, f"blobs/{blob[7:]}" in self.sound)
        for id in self.lines("report/records.txt"):
            self.carried("record", id, id in self.records)
        self.hold("list of episodes", "citations.json", self.check_episodes)

    def lines(self, name: str) -> list[str]:
        """Return the lines of a file that is intact."""
        return self.read(name).decode().split("\n")[:-1] if name in self.sound else []

    def check_seal(self) -> None:
        """The list of files is the one that was sealed."""
        seal = json.loads(self.read("seal.json"))
        digest = hashlib.sha256(self.read("manifest.json")).hexdigest()
        require(seal["sha256"] == digest, "it seals another list of files")
        require(signed_by(seal, seal["key"]), "wrong signature")
        print("sealed by the key", shown(seal["key"]))

    def check_file(self, name: str, entry: Any) -> None:
        """A file on the list is here, and as it was."""
        require(name in self.names, "missing")
        data = self.read(name)
        require(len(data) == entry["size"], "it has another size")
        require(hashlib.sha256(data).hexdigest() == entry["sha256"], "it has another content")
        self.sound.add(name)

    def check_record(self, name: str) -> None:
        """A record has the hash that it is named by, and is of this dossier's kind."""
        data = self.read(name)
        record = json.loads(data)
        id = hashed(data) if self.exact else record["of"]
        require(name == f"records/{id[7:]}.json", "its content has another hash")
        require(record["simulated"] == self.manifest["simulated"], "simulated and real are mixed")
        require(self.exact or record["format"] == "sitewatch-public/1", "unknown format")
        self.records[id], self.named[hashed(data)] = record, id

    def check_key(self, line: str) -> None:
        """A key names the vantage and certifies itself, or is certified by the one before."""
        key = json.loads(line)
        known = self.keys.setdefault(key["vantage"], set())
        named = hashlib.sha256(bytes.fromhex(key["key"])).hexdigest()[:32] == key["vantage"]
        first = key["previous"] is None
        require(named if first else key["previous"] in known, "no certified key comes before it")
        require(signed_by(key, key["key"] if first else key["previous"]), "wrong signature")
        known.add(key["key"])

    def check_envelope(self, line: str) -> None:
        """An envelope fits its record and is signed, in exact dossiers by the vantage's key."""
        envelope = json.loads(line)
        record = self.records[self.named[envelope["id"]]]
        require(envelope["vantage"] == record["vantage"]["id"], "it names another vantage")
        if self.exact:
            require(envelope["time"] == record["time"], "it names another time")
            require(envelope["key"] in self.keys[envelope["vantage"]], "by an uncertified key")
        require(signed_by(envelope, envelope["key"]), "wrong signature")
        self.envelopes.setdefault(envelope["vantage"], []).append(envelope)

    def check_chain(self, vantage: str) -> None:
        """Where two places of a chain are here, the second names the first."""
        places: dict[int, set[str]] = {}
        for envelope in self.envelopes[vantage]:
            places.setdefault(envelope["sequence"], set()).add(hashed(canonical(envelope)))
        for envelope in self.envelopes[vantage]:
            if before := places.get(envelope["sequence"] - 1):
                name = f"{vantage}, place {envelope['sequence']}"
                follows = envelope["previous"] in before
                self.hold("link of a chain", name, require, follows, "it follows another")

    def carried(self, kind: str, id: str, here: bool) -> bool:
        """Tell whether something is here; where it is not, the list may say why."""
        if not here and id in self.absent:
            kind = f"{kind} not carried: {shown(self.absent[id])}"
            self.intact[kind] = self.intact.get(kind, 0) + 1
        elif not here:
            self.problems.append(f"missing: {kind} {shown(id)}")
        return here

    def check_episodes(self) -> None:
        """Each episode that cites records is in episodes.json, and follows from them."""
        require({"report/episodes.json", "citations.json"} <= self.sound, "a file is not intact")
        episodes = json.loads(self.read("report/episodes.json"))["episodes"]
        by_id = {episode["id"]: episode for episode in episodes}
        cited = json.loads(self.read("citations.json"))["episodes"]
        for one in cited:
            self.hold("episode", one["episode"], self.check_episode, by_id[one["episode"]], one)
        sure = {id for id, episode in by_id.items() if episode["status"] != "possible"}
        require(sure <= {one["episode"] for one in cited}, "an episode cites no records")

    def check_episode(self, episode: Any, cited: Any) -> None:
        """Counts and brackets are those of the records cited."""
        measured, bounds = cited["measured"], cited["bounds"]
        failing = [one for one in measured if one["failing"]]
        require(len({one["id"] for one in measured}) == len(measured), "a record counts twice")
        require(len(measured) == episode["measurements"], "another number of measurements")
        blocked = 0 if episode["certainty"] == "suspected" else len(failing)
        require(blocked == episode["blocked"], "another number of failures")
        techniques: dict[str, int] = {}
        for one in failing:
            if one["technique"] is not None:
                techniques[one["technique"]] = techniques.get(one["technique"], 0) + 1
        require(techniques == episode["techniques"], "other techniques")
        targets = {one["id"] for one in measured}.union(bounds)
        for id in sorted(targets.union(cited["follow_ups"])):
            if self.carried("record", id, id in self.records):
                record, vantage = self.records[id], self.records[id]["vantage"]
                here = (vantage["country"], vantage["asn"]) == (episode["country"], episode["asn"])
                require(here, f"{id} is of another network")
                require(id not in targets or record["url"] == episode["url"], f"{id}: another site")
        ids = [one["id"] for one in failing]
        for field in ("onset_latest", "end_earliest", "last_blocked"):
            self.check_bracket(episode, field, ids)
        for field in ("onset_earliest", "end_latest"):
            self.check_bracket(episode, field, bounds)

    def check_bracket(self, episode: Any, field: str, ids: list[str]) -> None:
        """The end of a bracket is the time of one of these records, if all of them are here."""
        if episode[field] is None or not self.records.keys() >= set(ids):
            return
        meant = seconds(episode[field])
        spans = [self.span(self.records[id]) for id in ids]
        fits = any(first <= meant <= last for first, last in spans)
        require(fits, f"{field} is the time of no record that is cited for it")

    def span(self, record: Any) -> tuple[float, float]:
        """Return the earliest and the latest time that may be said of a record."""
        begin = seconds(record["time"])
        if not self.exact:
            return begin, seconds(record["until"])
        begin += (record["line"].get("clock_offset_us") or 0) / 1e6
        return begin - 0.001, begin + 0.001


def main(arguments: list[str]) -> int:
    """Verify, print what was found, and return the exit code."""
    if len(arguments) > 1 or any(argument.startswith("-") for argument in arguments):
        print("usage: python -I verify.py [FOLDER or DOSSIER.zip]", file=sys.stderr)
        return 2
    script = os.path.abspath(__file__)
    with open(script, "rb") as file:
        print("this script has the SHA-256", hashlib.sha256(file.read()).hexdigest())
    try:
        dossier = Dossier(arguments[0] if arguments else os.path.dirname(script))
        dossier.verify()
    except OSError as error:
        print(f"cannot be read: {shown(error)}", file=sys.stderr)
        return 2
    except (*BAD, zipfile.BadZipFile) as error:
        print(f"broken: no dossier, or its list of files is damaged: {shown(error)}")
        return 3
    for kind, count in sorted(dossier.intact.items()):
        print(f"{count:>8} {'' if 'not carried' in kind else 'intact: '}{kind}")
    print(*dossier.problems, (__doc__ or "").split("\n\n")[-1], sep="\n")
    print("BROKEN or incomplete." if dossier.problems else "Everything that is here is intact.")
    return 3 if dossier.problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
