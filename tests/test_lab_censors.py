"""Censors: what they read, whom they meet, what they forge, and what plain clients meet of it."""

from __future__ import annotations

import struct
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtensionOID

from lab.censor import boxes
from lab.censor_certificates import CensorForger
from lab.censor_divert import from_port, to_port
from lab.censor_parts import DROP, PASS, Judge, in_ascii
from lab.dpi import Reader, Seen
from lab.network import World
from lab.pki import Pki
from lab.plan import Plan, make_plan
from lab.quic_initial import Initials
from lab.scenario import ScenarioError, load_scenario
from lab.symptoms import Symptom, check_symptoms
from lab.wire import ACK, PSH, SYN, TCP, Packet, address_bytes, checksum, parse, tcp_segment
from lab.zoo import zoo_scenarios
from tests.lab_worlds import require_lab

BASE = (
    'country = "KZ"\ntargets = ["https://watched.example/"]\n[[networks]]\nname = "isp"\nasn = 1\n'
)
NOON = datetime(2026, 6, 19, 12, tzinfo=UTC).timestamp()

# The client's first Initial of RFC 9001, appendix A.2, which asks for example.com.
INITIAL = bytes.fromhex(
    "c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11"
    "d242b123dc9bd8bab936b47d92ec356c0bab7df5976d27cd449f63300099f399"
    "1c260ec4c60d17b31f8429157bb35a1282a643a8d2262cad67500cadb8e7378c"
    "8eb7539ec4d4905fed1bee1fc8aafba17c750e2c7ace01e6005f80fcb7df6212"
    "30c83711b39343fa028cea7f7fb5ff89eac2308249a02252155e2347b63d58c5"
    "457afd84d05dfffdb20392844ae812154682e9cf012f9021a6f0be17ddd0c208"
    "4dce25ff9b06cde535d0f920a2db1bf362c23e596d11a4f5a6cf3948838a3aec"
    "4e15daf8500a6ef69ec4e3feb6b1d98e610ac8b7ec3faf6ad760b7bad1db4ba3"
    "485e8a94dc250ae3fdb41ed15fb6a8e5eba0fc3dd60bc8e30c5c4287e53805db"
    "059ae0648db2f64264ed5e39be2e20d82df566da8dd5998ccabdae053060ae6c"
    "7b4378e846d29f37ed7b4ea9ec5d82e7961b7f25a9323851f681d582363aa5f8"
    "9937f5a67258bf63ad6f1a0b1d96dbd4faddfcefc5266ba6611722395c906556"
    "be52afe3f565636ad1b17d508b73d8743eeb524be22b3dcbc2c7468d54119c74"
    "68449a13d8e3b95811a198f3491de3e7fe942b330407abf82a4ed7c1b311663a"
    "c69890f4157015853d91e923037c227a33cdd5ec281ca3f79c44546b9d90ca00"
    "f064c99e3dd97911d39fe9c5d0b23a229a234cb36186c4819e8b9c5927726632"
    "291d6a418211cc2962e20fe47feb3edf330f2c603a9d48c0fcb5699dbfe58964"
    "25c5bac4aee82e57a85aaf4e2513e4f05796b07ba2ee47d80506f8d2c25e50fd"
    "14de71e6c418559302f939b0e1abd576f279c4b2e0feb85c1f28ff18f58891ff"
    "ef132eef2fa09346aee33c28eb130ff28f5b766953334113211996d20011a198"
    "e3fc433f9f2541010ae17c1bf202580f6047472fb36857fe843b19f5984009dd"
    "c324044e847a4f4a0ab34f719595de37252d6235365e9b84392b061085349d73"
    "203a4a13e96f5432ec0fd4a1ee65accdd5e3904df54c1da510b0ff20dcc0c77f"
    "cb2c0e0eb605cb0504db87632cf3d8b4dae6e705769d1de354270123cb11450e"
    "fc60ac47683d7b8d0f811365565fd98c4c8eb936bcab8d069fc33bd801b03ade"
    "a2e1fbc5aa463d08ca19896d2bf59a071b851e6c239052172f296bfb5e724047"
    "90a2181014f3b94a4e97d117b438130368cc39dbb2d198065ae3986547926cd2"
    "162f40a29f0c3c8745c0f50fba3852e566d44575c29d39a03f0cda721984b6f4"
    "40591f355e12d439ff150aab7613499dbd49adabc8676eef023b15b65bfc5ca0"
    "6948109f23f350db82123535eb8a7433bdabcb909271a6ecbcb58b936a88cd4e"
    "8f2e6ff5800175f113253d8fa9ca8885c2f552e657dc603f252e1a8e308f76f0"
    "be79e2fb8f5d5fbbe2e30ecadd220723c8c0aea8078cdfcb3868263ff8f09400"
    "54da48781893a7e49ad5aff4af300cd804a6b6279ab3ff3afb64491c85194aab"
    "760d58a606654f9f4400e8b38591356fbf6425aca26dc85244259ff2b19c41b9"
    "f96f3ca9ec1dde434da7d2d392b905ddf3d1f9af93d1af5950bd493f5aa731b4"
    "056df31bd267b6b90a079831aaf579be0a39013137aac6d404f518cfd4684064"
    "7e78bfe706ca4cf5e9c5453e9f7cfd2b8b4c8d169a44e55c88d4a9a7f9474241"
    "e221af44860018ab0856972e194cd934"
)


def plan_of(folder: Path, *censors: str) -> Plan:
    path = folder / "mine.toml"
    path.write_text(BASE + "".join(f"[[censors]]\n{censor}\n" for censor in censors))
    return make_plan(load_scenario(path), 1)


def judge_of(folder: Path, censor: str) -> Judge:
    [box] = boxes(plan_of(folder, censor), "isp")
    [(_, judge)] = box.judges
    return judge


def packet(
    *,
    port: int = 40000,
    server: str = "45.83.12.7",
    server_port: int = 443,
    flags: int = ACK | PSH,
    payload: bytes = b"",
    inward: bool = False,
) -> Packet:
    client, far = (address_bytes("31.5.5.5"), port), (address_bytes(server), server_port)
    ends = (far, client) if inward else (client, far)
    parsed = parse(tcp_segment(*ends, (1000, 2000), flags, 60, payload))
    assert parsed is not None
    return parsed


def named(one: Packet, name: str = "watched.example") -> Seen:
    return Seen(one, server_name=name)


# --- what they read -------------------------------------------------------------------------------


def test_the_name_in_an_initial_of_the_standard_is_read() -> None:
    assert Initials().name(INITIAL) == "example.com"


def test_a_damaged_initial_says_nothing() -> None:
    assert Initials().name(INITIAL[:-1] + b"\0") == ""
    assert Initials().name(INITIAL[:40]) == ""
    assert Initials().name(b"\xc0" + bytes(30)) == ""


def test_names_are_met_in_the_form_in_which_they_are_sent() -> None:
    assert in_ascii("ЖАҢАЛЫҚ.example") == "жаңалық.example".encode("idna").decode()
    assert in_ascii("WWW.Watched.Example.") == "www.watched.example"


def test_the_path_of_a_request_is_read_with_its_host() -> None:
    reader = Reader()
    reader.read(packet(server_port=80, flags=SYN))
    request = b"GET /banned/article HTTP/1.1\r\nHost: watched.example\r\n\r\n"
    data = tcp_segment(
        (address_bytes("31.5.5.5"), 40000),
        (address_bytes("45.83.12.7"), 80),
        (1001, 2000),
        ACK | PSH,
        60,
        request,
    )
    parsed = parse(data)
    assert parsed is not None
    seen = reader.read(parsed)
    assert (seen.host, seen.path) == ("watched.example", "/banned/article")


# --- whom they meet -------------------------------------------------------------------------------

DROP_ALL = 'kind = "tls-drop"\nnames = ["watched.example"]\n'


@pytest.mark.parametrize(
    ("key", "met", "spared"),
    [
        ("ports = [443]", packet(), packet(server_port=8443)),
        ('hosts = ["45.83.12.7"]', packet(), packet(server="45.83.12.8")),
        ('family = "ipv4"', packet(), None),
        ('family = "ipv6"', None, packet()),
        ('protocol = "udp"', None, packet()),
    ],
)
def test_a_key_narrows_whom_a_rule_meets(
    tmp_path: Path, key: str, met: Packet | None, spared: Packet | None
) -> None:
    judge = judge_of(tmp_path, DROP_ALL + key)
    if met is not None:
        assert judge(named(met), met, NOON) == DROP
    if spared is not None:
        assert judge(named(spared), spared, NOON) == PASS


@pytest.mark.parametrize(
    ("hours", "at_noon", "at_midnight"),
    [("08:00-20:00", DROP, PASS), ("20:00-06:00", PASS, DROP), ("00:00-00:01", PASS, DROP)],
)
def test_a_rule_keeps_its_hours(
    tmp_path: Path, hours: str, at_noon: object, at_midnight: object
) -> None:
    for time, wanted in ((NOON, at_noon), (NOON + 12 * 3600, at_midnight)):
        judge = judge_of(tmp_path, f'{DROP_ALL}hours = "{hours}"')
        assert judge(named(packet()), packet(), time) == wanted


def test_some_ports_are_met_always_and_the_others_never(tmp_path: Path) -> None:
    judge = judge_of(tmp_path, f"{DROP_ALL}port_share = 0.5\nresidual = 0")

    def met() -> set[int]:
        return {
            port
            for port in range(40000, 40400)
            if judge(named(packet(port=port)), packet(port=port), NOON) == DROP
        }

    assert met() == met()
    assert 140 < len(met()) < 260


def test_a_probability_is_drawn_once_for_a_connection(tmp_path: Path) -> None:
    judge = judge_of(tmp_path, f"{DROP_ALL}share = 0.5\nresidual = 0")
    went = [
        {judge(named(packet(port=port)), packet(port=port), NOON) for _ in range(5)}
        for port in range(40000, 40200)
    ]
    assert all(len(each) == 1 for each in went)
    assert 60 < sum(each == {DROP} for each in went) < 140


@pytest.mark.parametrize(("by", "other_port"), [("4-tuple", PASS), ("3-tuple", DROP)])
def test_what_stays_dead_is_told_by_residual_by(
    tmp_path: Path, by: str, other_port: object
) -> None:
    judge = judge_of(tmp_path, f'{DROP_ALL}residual = 90\nresidual_by = "{by}"')
    assert judge(named(packet()), packet(), NOON) == DROP
    again, elsewhere = packet(port=50000), packet(server="45.83.12.8")
    assert judge(Seen(again), again, NOON + 1) == other_port
    assert judge(Seen(elsewhere), elsewhere, NOON + 1) == PASS
    assert judge(Seen(packet()), packet(), NOON + 80) == DROP  # and this renews it
    assert judge(Seen(packet()), packet(), NOON + 169) == DROP
    assert judge(Seen(packet()), packet(), NOON + 260) == PASS


# --- what they do ---------------------------------------------------------------------------------


def test_a_token_bucket_lets_pass_what_it_says(tmp_path: Path) -> None:
    censor = 'kind = "throttle"\nnames = ["watched.example"]\nkbit = 80\nburst = 3000'
    judge = judge_of(tmp_path, censor)
    judge(named(packet()), packet(), NOON)
    answer = packet(payload=bytes(960), inward=True)  # 1,000 bytes with its headers
    passed = sum(judge(None, answer, NOON + tick / 100).passes for tick in range(1000))
    assert passed == pytest.approx(103, abs=2)  # 3,000 bytes at once, 10,000 a second for 10 s


def test_a_freeze_counts_what_the_server_sent(tmp_path: Path) -> None:
    judge = judge_of(tmp_path, 'kind = "freeze"\nnames = ["watched.example"]\nbytes = 16384')
    judge(named(packet()), packet(), NOON)
    answer = packet(payload=bytes(1024), inward=True)
    assert [judge(None, answer, NOON).passes for _ in range(20)] == [True] * 16 + [False] * 4
    other = packet(port=40001, payload=bytes(1024), inward=True)
    assert all(judge(None, other, NOON).passes for _ in range(20))


@pytest.mark.parametrize(
    ("side", "told"), [("both", (1, 1)), ("client", (1, 0)), ("server", (0, 1))]
)
def test_resets_go_to_the_sides_that_are_named(
    tmp_path: Path, side: str, told: tuple[int, int]
) -> None:
    judge = judge_of(tmp_path, f'kind = "tls-reset"\nnames = ["watched.example"]\nside = "{side}"')
    decision = judge(named(packet()), packet(), NOON)
    assert not decision.passes
    assert (len(decision.to_client), len(decision.to_server)) == told


def test_a_copied_ttl_arrives_as_the_servers_own(tmp_path: Path) -> None:
    censor = 'kind = "tls-reset"\nnames = ["watched.example"]\nttl = "copied"'
    plan = plan_of(tmp_path, censor)
    [address] = plan.addresses_of("watched.example")
    [box] = boxes(plan, "isp")
    hello = packet(server=address)
    decision = box.judges[0][1](named(hello), hello, NOON)
    route = plan.route("isp", address)
    assert decision.to_client[0][8] - (route.censor - 1) == 64 - len(route.routers)


def test_a_diverted_packet_keeps_a_true_checksum() -> None:
    changed = parse(to_port(packet(payload=b"hello"), 20001))
    assert changed is not None
    assert changed.destination_port == 20001
    ends = changed.source + changed.destination + struct.pack("!BBH", 0, TCP, 25)
    assert checksum(ends + changed.data[20:]) in (0, 0xFFFF)  # either is zero there
    assert from_port(parse_inward(20001), 443) == packet(inward=True).data


def parse_inward(port: int) -> Packet:
    return packet(server_port=port, inward=True)


def test_boxes_stand_at_their_hops_the_nearest_first(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, DROP_ALL + "hop = 5", DROP_ALL, DROP_ALL + "hop = 5")
    assert [(box.hop, len(box.judges)) for box in boxes(plan, "isp")] == [(0, 1), (5, 2)]


@pytest.mark.parametrize("authority", ["qaznet", "isca"])
def test_kazakhstans_copies_are_made_as_they_were_seen(tmp_path: Path, authority: str) -> None:
    pem = Pki.create(tmp_path).leaf(("watched.example", "www.watched.example")).read_bytes()
    true = x509.load_pem_x509_certificates(pem)[0]
    now = datetime(2023, 9, 1, tzinfo=UTC)
    copy = CensorForger("qaznet" if authority == "qaznet" else "isca", now).copy(true)
    issuer = copy.issuer.rfc4514_string()
    wanted = {
        "qaznet": "CN=Security Certificate,C=KZ",
        "isca": "CN=Information Security Certification Authority,O=ISCA,C=KZ",
    }
    assert issuer == wanted[authority]
    assert copy.subject == true.subject
    assert [extension.oid for extension in copy.extensions] == [
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME
    ]
    assert copy.serial_number != true.serial_number
    assert copy.serial_number >> 33 == true.serial_number >> 33
    assert true.not_valid_before_utc - copy.not_valid_before_utc == timedelta(hours=6)
    assert true.not_valid_after_utc - copy.not_valid_after_utc == timedelta(hours=6)
    key = copy.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    assert (key.key_size, key.public_numbers().e) == (2048, 3)


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("censor", "complaint"),
    [
        ('kind = "freeze"', "key censors[0].names: freeze needs at least one"),
        ('kind = "address-refuse"', "key censors[0].hosts: address-refuse needs at least one"),
        ('kind = "address-drop"\nhosts = ["x.example"]', "key censors[0].hosts: 'x.example' is no"),
        (DROP_ALL + "share = 2", "key censors[0].share: it is a share, from 0 to 1"),
        (DROP_ALL + 'hours = "8-20"', "key censors[0].hours: '8-20' is not like 08:00-20:00"),
        (DROP_ALL + "ports = [0]", "key censors[0].ports: a port is from 1 to 65535"),
        (DROP_ALL + "hop = -1", "key censors[0].hop: it is negative"),
        (
            'kind = "http-redirect"\nnames = ["a.example"]',
            "key censors[0].location: http-redirect needs one",
        ),
        (
            'kind = "address-unreachable"\nhosts = ["watched.example"]\nunreachable = "moon"',
            "key censors[0].unreachable: it is none of network, host",
        ),
    ],
)
def test_a_mistake_in_a_rule_names_its_key(tmp_path: Path, censor: str, complaint: str) -> None:
    with pytest.raises(ScenarioError) as raised:
        plan_of(tmp_path, censor)
    assert complaint in str(raised.value)


# --- what plain clients meet ----------------------------------------------------------------------

# One of each sort; `make zoo` tries them all.
TRIED = (
    "address-unreachable-host",
    "dns-diverted",
    "dns-race-copied-ttl",
    "dns-resolver-proxy",
    "http-alter",
    "http-page-bare",
    "http-redirect-private",
    "quic-by-name",
    "tls-alert",
    "tls-mitm-qaznet",
    "tls-reset-split",
)


@pytest.fixture(scope="module")
def symptoms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Symptom]]:
    """The symptoms of some scenarios; most of the time is waiting, so several at once."""
    require_lab()
    pki, known = Pki.create(tmp_path_factory.mktemp("pki")), zoo_scenarios()

    def check(name: str) -> list[Symptom]:
        with World(load_scenario(known[name]), seed=3, pki=pki) as world:
            return check_symptoms(world)

    with ThreadPoolExecutor(4) as pool:
        return dict(zip(TRIED, pool.map(check, TRIED), strict=True))


@pytest.mark.lab
@pytest.mark.xdist_group("censors")
@pytest.mark.parametrize("name", TRIED)
def test_plain_clients_meet_what_the_scenario_says(
    symptoms: dict[str, list[Symptom]], name: str
) -> None:
    assert symptoms[name]
    assert [symptom for symptom in symptoms[name] if not symptom.holds] == []
