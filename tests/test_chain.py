"""Envelopes, chains and keys: what verifies, what does not, and when keys are renewed."""

from __future__ import annotations

import stat
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from storage.chain import (
    Certification,
    Envelope,
    broken_links,
    certified_keys,
    envelope_hash,
    is_of_source,
    public_hex,
    require_certified,
    require_matching,
    sign_certification,
    sign_envelope,
    vantage_id,
)
from storage.errors import RefusedError, StoreError
from storage.keys import KeysFile
from storage.records import Vantage, record_id
from storage.train_dictionary import Invention

JUNE = "2017-06-20T05:00:12.000000Z"
LATE_JUNE = "2017-06-30T23:59:59.000000Z"
JULY = "2017-07-01T00:00:00.000000Z"
AUGUST = "2017-08-02T00:00:00.000000Z"
WANTED = Vantage(id="", country="KZ", asn=64500, network="Invented Telecom")


def chain_of(length: int) -> list[Envelope]:
    """Return a sound chain, signed by one key."""
    key, previous, chain = Ed25519PrivateKey.generate(), None, []
    for sequence in range(1, length + 1):
        envelope = Envelope(
            vantage=vantage_id(public_hex(key)),
            sequence=sequence,
            previous=previous,
            id=f"sha256:{sequence:064}",
            time=JUNE,
            key=public_hex(key),
        )
        chain.append(sign_envelope(envelope, key))
        previous = envelope_hash(chain[-1])
    return chain


def test_a_whole_chain_has_no_broken_links() -> None:
    assert list(broken_links([*chain_of(3), *chain_of(2)])) == []


def test_a_missing_place_in_a_chain_is_named() -> None:
    first, _, third, fourth = chain_of(4)
    assert list(broken_links([first, third, fourth])) == [
        f"vantage {first.vantage}: nothing between places 1 and 3"
    ]


def test_a_missing_beginning_of_a_chain_is_named() -> None:
    assert len(list(broken_links(chain_of(3)[1:]))) == 1


def test_a_place_taken_twice_is_named() -> None:
    first, second, third = chain_of(3)
    twin = msgspec.structs.replace(second, time=JULY)
    (line,) = broken_links([first, second, twin, third])
    assert "place 2 is taken twice" in line


def test_an_envelope_that_names_another_one_before_it_is_found() -> None:
    first, second = chain_of(2)
    (line,) = broken_links([msgspec.structs.replace(first, time=JULY), second])
    assert "place 2 does not follow" in line


@pytest.mark.parametrize("name", ["id", "previous"])
def test_an_envelope_that_names_no_hash_is_refused_although_it_is_signed(name: str) -> None:
    key = Ed25519PrivateKey.generate()
    envelope = Envelope(
        vantage=vantage_id(public_hex(key)),
        sequence=2,
        previous=f"sha256:{1:064}",
        id=f"sha256:{2:064}",
        time=JUNE,
        key=public_hex(key),
    )
    keys = {envelope.vantage: {envelope.key}}
    require_certified(sign_envelope(envelope, key), keys)
    odd = sign_envelope(msgspec.structs.replace(envelope, **{name: "sha256:none"}), key)
    with pytest.raises(RefusedError, match="names what has no id"):
        require_certified(odd, keys)


@pytest.mark.parametrize("field", ["vantage", "id", "time", "signature"])
def test_an_envelope_changed_in_one_character_does_not_verify(field: str) -> None:
    (envelope,) = chain_of(1)
    text = getattr(envelope, field)
    changed = msgspec.structs.replace(
        envelope, **{field: ("1" if text[0] != "1" else "2") + text[1:]}
    )
    with pytest.raises(RefusedError, match="wrong signature"):
        require_certified(changed, {changed.vantage: {envelope.key}})


def test_a_signature_written_in_capitals_is_not_the_same_signature() -> None:
    (envelope,) = chain_of(1)
    shouting = msgspec.structs.replace(envelope, signature=envelope.signature.upper())
    with pytest.raises(RefusedError, match="wrong signature"):
        require_certified(shouting, {envelope.vantage: {envelope.key}})


def test_nobody_can_sign_for_a_vantage_that_is_not_named_after_their_key() -> None:
    victim, attacker = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    vantage = vantage_id(public_hex(victim))
    forged_first = Certification(
        vantage=vantage, key=public_hex(attacker), previous=None, since=JUNE
    )
    forged_next = msgspec.structs.replace(forged_first, previous=public_hex(victim))
    forged = [sign_certification(one, attacker) for one in (forged_first, forged_next)]
    assert certified_keys(forged) == {}


def test_keys_are_renewed_monthly_and_each_is_signed_by_the_one_before(tmp_path: Path) -> None:
    keys = KeysFile(tmp_path / "x.keys")
    own = keys.own(WANTED)
    used = [public_hex(keys.signing(own, time).key) for time in (JUNE, LATE_JUNE, JULY, AUGUST)]
    certifications = keys.signing(own, AUGUST).certifications
    assert used[0] == used[1]
    assert len(set(used)) == 3
    assert [one.key for one in certifications] == [used[0], used[2], used[3]]
    assert certified_keys(reversed(certifications)) == {own.id: set(used)}


def test_a_clock_that_ran_ahead_does_not_keep_its_key_for_years(tmp_path: Path) -> None:
    keys = KeysFile(tmp_path / "x.keys")
    own = keys.own(WANTED)
    times = ("2037-01-01T00:00:00.000000Z", "2036-12-31T23:00:00.000000Z", JUNE)
    ahead, late, back = (public_hex(keys.signing(own, time).key) for time in times)
    assert late == ahead
    assert back != ahead


def test_the_keys_file_is_private_and_read_again_by_another_process(tmp_path: Path) -> None:
    path = tmp_path / "x.keys"
    one, other = KeysFile(path), KeysFile(path)
    own = one.own(WANTED)
    assert other.own(WANTED) == own
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    used = {public_hex(keys.signing(own, JULY).key) for keys in (one, other)}
    assert len(used) == 1


def test_networks_are_told_apart_by_number_and_without_one_by_name(tmp_path: Path) -> None:
    keys = KeysFile(tmp_path / "x.keys")
    renamed = msgspec.structs.replace(WANTED, network="Invented Telecom LLP")
    elsewhere = msgspec.structs.replace(WANTED, asn=64501)
    unknown = msgspec.structs.replace(WANTED, asn=None)
    reference = msgspec.structs.replace(WANTED, kind="reference")
    assert keys.own(renamed) == msgspec.structs.replace(keys.own(WANTED), network=renamed.network)
    assert len({keys.own(one).id for one in (WANTED, elsewhere, unknown, reference)}) == 4
    assert keys.own(msgspec.structs.replace(unknown, network="x")).id != keys.own(unknown).id


def test_a_lost_keys_file_gives_a_new_pseudonym(tmp_path: Path) -> None:
    keys = KeysFile(tmp_path / "x.keys")
    before = keys.own(WANTED)
    keys.path.unlink()
    with pytest.raises(StoreError, match="no key for vantage"):
        keys.signing(before, JUNE)
    assert keys.own(WANTED).id != before.id


def test_another_projects_vantages_are_the_same_for_all_and_signed_by_each_in_his_name(
    tmp_path: Path,
) -> None:
    wanted = msgspec.structs.replace(WANTED, source="ooni")
    ours, theirs = KeysFile(tmp_path / "ours.keys"), KeysFile(tmp_path / "theirs.keys")
    named = ours.own(wanted)
    assert theirs.own(wanted) == named
    assert is_of_source(named)
    assert not is_of_source(msgspec.structs.replace(named, asn=1))
    signers = {keys.signing(named, JUNE).vantage for keys in (ours, theirs)}
    assert len(signers) == 2
    assert named.id not in signers
    elsewhere = ours.own(msgspec.structs.replace(wanted, country="KG"))
    assert ours.signing(elsewhere, AUGUST).vantage == ours.signing(named, JUNE).vantage


def test_nobody_signs_for_a_volunteer_by_naming_another_project(tmp_path: Path) -> None:
    volunteer, other = KeysFile(tmp_path / "a.keys"), KeysFile(tmp_path / "b.keys")
    pretended = msgspec.structs.replace(volunteer.own(WANTED), source="ooni")
    record = msgspec.structs.replace(Invention(1).measurement(), vantage=pretended)
    signer = other.signing(other.own(WANTED), JUNE)
    envelope = Envelope(
        vantage=signer.vantage,
        sequence=1,
        previous=None,
        id=record_id(record),
        time=record.time,
        key=public_hex(signer.key),
    )
    with pytest.raises(RefusedError, match="names another record, vantage or time"):
        require_matching(envelope, record_id(record), record)


def test_a_damaged_keys_file_is_named_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "x.keys"
    path.write_text("{")
    with pytest.raises(StoreError, match=r"x\.keys: not a keys file .* move it away"):
        KeysFile(path).own(WANTED)
    assert path.read_text() == "{"
