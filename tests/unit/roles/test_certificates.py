"""The program that the role certbot leaves on a server: what it decides, what it says, and what it leaves when killed."""

from __future__ import annotations

import datetime
import errno
import http.client
import importlib.util
import json
import os
import socket
import ssl
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from worktree import ROOT

specification = importlib.util.spec_from_file_location(
    "groundcrew_certificates", ROOT / "roles" / "certbot" / "files" / "groundcrew_certificates.py"
)
assert specification and specification.loader
program: Any = importlib.util.module_from_spec(specification)
sys.modules[specification.name] = program
specification.loader.exec_module(program)

HOUR = 3600
NOW = 1_000_000.0
SHOP = program.Certificate("shop", ("shop.example.com", "www.example.com"), "/etc/groundcrew/tls/shop")
IDENTITY = {
    "domains": ["shop.example.com", "www.example.com"],
    "key_type": "ecdsa",
    "server": "https://acme.example.com/dir",
}


def settings(**changes: Any) -> Any:
    plain = {
        "server": "https://acme.example.com/dir",
        "email": "ops@example.com",
        "ca_bundle": "",
        "webroot": "/var/lib/groundcrew/acme",
        "key_type": "ecdsa",
        "preflight": True,
        "certificates": [{"name": SHOP.name, "domains": list(SHOP.domains), "directory": SHOP.directory}],
    }
    return program.read_settings(json.dumps({**plain, **changes}))


# ---------------------------------------------------------------------------------------------------------- decisions


def test_settings_come_back_as_they_were_written() -> None:
    assert settings().certificates == (SHOP,)
    assert settings().identity(SHOP) == IDENTITY


@pytest.mark.parametrize(
    ("state", "obtained", "installed", "step"),
    [
        ({}, False, False, "issue"),
        ({}, True, False, "issue"),  # certbot has one, but nobody knows of which kind
        ({"obtained": IDENTITY}, False, True, "issue"),  # somebody deleted it from certbot
        ({"obtained": IDENTITY}, True, False, "install"),
        ({"obtained": IDENTITY}, True, True, ""),
        ({"obtained": {**IDENTITY, "domains": ["shop.example.com"]}}, True, True, "issue"),
        ({"obtained": {**IDENTITY, "key_type": "rsa"}}, True, True, "issue"),
        ({"obtained": {**IDENTITY, "server": "https://other.example.com"}}, True, True, "issue"),
    ],
)
def test_next_step(state: dict[str, Any], obtained: bool, installed: bool, step: str) -> None:
    assert program.needs(IDENTITY, program.State(**state), obtained, installed) == step


@pytest.mark.parametrize(
    ("attempted", "next_attempt", "now_is_the_time"),
    [
        ({}, 0, True),
        (IDENTITY, 0, True),
        (IDENTITY, NOW - 1, True),
        (IDENTITY, NOW + HOUR, False),
        (IDENTITY, NOW + 25 * HOUR, True),  # the clock was set back
        ({**IDENTITY, "domains": []}, NOW + HOUR, True),  # something else was refused
    ],
)
def test_when_certbot_may_be_asked(attempted: dict[str, Any], next_attempt: float, now_is_the_time: bool) -> None:
    state = program.State(attempted=attempted, next_attempt=next_attempt)
    assert program.due(state, IDENTITY, NOW) is now_is_the_time


def test_waits_grow_to_a_day() -> None:
    assert [program.after_failure(n) / HOUR for n in range(1, 9)] == [1, 2, 4, 8, 16, 24, 24, 24]


@pytest.mark.parametrize(
    ("changes", "state", "obtained", "expected", "unexpected"),
    [
        ({}, {}, False, {"--keep-until-expiring", "--email", "ops@example.com"}, {"--force-renewal"}),
        ({"email": ""}, {}, False, {"--register-unsafely-without-email"}, {"--email"}),
        ({}, {"obtained": {**IDENTITY, "domains": []}}, True, {"--renew-with-new-domains"}, {"--force-renewal"}),
        ({}, {"obtained": {**IDENTITY, "server": "x"}}, True, {"--force-renewal"}, {"--keep-until-expiring"}),
        ({"key_type": "rsa"}, {"obtained": IDENTITY}, True, {"--force-renewal", "--key-type=rsa"}, set()),
        ({}, {"obtained": {**IDENTITY, "server": "x"}}, False, {"--keep-until-expiring"}, {"--force-renewal"}),
        ({}, {}, True, {"--keep-until-expiring"}, {"--force-renewal"}),  # our memory was lost, not the certificate
    ],
)
def test_certbots_arguments(
    changes: dict[str, Any], state: dict[str, Any], obtained: bool, expected: set[str], unexpected: set[str]
) -> None:
    arguments = program.certbot_arguments(settings(**changes), SHOP, program.State(**state), obtained)
    assert expected <= set(arguments)
    assert not unexpected & set(arguments)
    assert arguments[-2:] == ["--domain=shop.example.com", "--domain=www.example.com"]


def test_certbots_words_without_the_noise() -> None:
    output = """Saving debug log to /var/log/letsencrypt/letsencrypt.log
Requesting a certificate for shop.example.com
- - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - -
An unexpected error occurred:
Error creating new order :: too many certificates already issued
Ask for help or search for solutions at https://community.letsencrypt.org.
"""
    words = "An unexpected error occurred: Error creating new order :: too many certificates already issued"
    assert program.essence(output) == words


# ---------------------------------------------------------------------------------------------------------- preflight


def raising(error: Exception) -> Any:
    def function(*_arguments: Any) -> Any:
        raise error

    return function


@pytest.mark.parametrize(
    ("addresses", "answers", "words"),
    [
        (["192.0.2.1"], {"192.0.2.1": (200, b"token\n")}, []),
        (["192.0.2.1", "2001:db8::1"], {"192.0.2.1": (200, b"token"), "2001:db8::1": (200, b"token")}, []),
        (socket.gaierror(socket.EAI_NONAME, ""), {}, ["has no address in DNS", "create an A record"]),
        (socket.gaierror(socket.EAI_AGAIN, ""), {}, ["DNS gave no answer"]),
        (
            ["192.0.2.1"],
            {"192.0.2.1": (404, b"")},
            ["192.0.2.1, no address of this server", "else answers", "HTTP 404"],
        ),
        (["192.0.2.9"], {"192.0.2.9": (404, b"")}, ["leads to 192.0.2.9, this server", "something else answers there"]),
        (["192.0.2.1"], {"192.0.2.1": (200, b"a page")}, ["something else answers there (HTTP 200)"]),
        (["192.0.2.1"], {"192.0.2.1": TimeoutError()}, ["port 80", "no answer", "open port 80"]),
        (["192.0.2.1"], {"192.0.2.1": ConnectionRefusedError(111, "Connection refused")}, ["connection refused"]),
        (["192.0.2.1"], {"192.0.2.1": http.client.BadStatusLine("ssh")}, ["speaks no HTTP"]),
        # An authority prefers IPv6, so one wrong address of two is one too many.
        (["192.0.2.1", "2001:db8::1"], {"192.0.2.1": (200, b"token"), "2001:db8::1": (404, b"")}, ["2001:db8::1"]),
        # Without IPv6 here nothing can be said of a proxy's address, as long as the other one leads here.
        (
            ["192.0.2.1", "2001:db8::1"],
            {"192.0.2.1": (200, b"token"), "2001:db8::1": OSError(errno.ENETUNREACH, "unreachable")},
            [],
        ),
        (["2001:db8::1"], {"2001:db8::1": OSError(errno.ENETUNREACH, "unreachable")}, ["no IPv6", "AAAA"]),
    ],
)
def test_what_keeps_a_domain_from_leading_here(addresses: Any, answers: dict[str, Any], words: list[str]) -> None:
    def fetch(address: str, domain: str, path: str) -> tuple[int, bytes]:
        assert (domain, path) == ("shop.example.com", ".well-known/acme-challenge/x")
        if isinstance(answers[address], Exception):
            raise answers[address]
        return answers[address]

    said = program.obstacle(
        "shop.example.com",
        ".well-known/acme-challenge/x",
        b"token",
        resolve=raising(addresses) if isinstance(addresses, Exception) else lambda domain: addresses,
        fetch=fetch,
        is_local=lambda address: address == "192.0.2.9",
    )
    assert bool(said) == bool(words)
    for word in words:
        assert word in said


# ------------------------------------------------------------------------------------------------------------ effects


def pair(name: str) -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


PLACEHOLDER, FIRST, SECOND, THIRD = (pair(name) for name in ("placeholder", "first", "second", "third"))


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(program, "CERTBOT", tmp_path / "letsencrypt")
    monkeypatch.setattr(program, "STATE", tmp_path / "state")
    (tmp_path / "state").mkdir()
    (tmp_path / "letsencrypt/renewal-hooks/deploy").mkdir(parents=True)
    return tmp_path


def obtain(server: Path, content: tuple[bytes, bytes]) -> None:
    """As certbot leaves it."""
    live = server / "letsencrypt/live/shop"
    live.mkdir(parents=True, exist_ok=True)
    (server / "letsencrypt/renewal").mkdir(exist_ok=True)
    (server / "letsencrypt/renewal/shop.conf").touch()
    for file, part in zip(("fullchain.pem", "privkey.pem"), content, strict=True):
        (live / file).write_bytes(part)


def standing(directory: Path) -> tuple[bytes, bytes]:
    """What a web server would read now; it refuses a pair that does not match."""
    chain, key = directory / "fullchain.pem", directory / "privkey.pem"
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(chain, key)
    return chain.read_bytes(), key.read_bytes()


@pytest.fixture
def directory(server: Path) -> Path:
    """With the placeholder in it, as plain files."""
    place = server / "tls/shop"
    place.mkdir(parents=True)
    (place / "fullchain.pem").write_bytes(PLACEHOLDER[0])
    (place / "privkey.pem").write_bytes(PLACEHOLDER[1])
    return place


def test_install_replaces_the_placeholder_and_then_each_pair(server: Path, directory: Path) -> None:
    for content in (FIRST, SECOND, THIRD):
        obtain(server, content)
        assert not program.installed("shop", directory)
        program.install("shop", directory)
        assert standing(directory) == content
        assert program.installed("shop", directory)
        assert (directory / "privkey.pem").stat().st_mode & 0o777 == 0o600
        assert (directory / "fullchain.pem").stat().st_mode & 0o777 == 0o644
    assert len(list((directory / "versions").iterdir())) == 2  # this one and the one before


def test_install_into_nothing(server: Path) -> None:
    obtain(server, FIRST)
    program.install("shop", server / "new")
    assert standing(server / "new") == FIRST


@pytest.mark.parametrize("content", [FIRST, SECOND])
@pytest.mark.parametrize("moment", range(12))
def test_killed_at_any_moment_a_matching_pair_stands(
    server: Path, directory: Path, monkeypatch: pytest.MonkeyPatch, moment: int, content: tuple[bytes, bytes]
) -> None:
    if content == SECOND:
        obtain(server, FIRST)
        program.install("shop", directory)
    before = standing(directory)
    obtain(server, content)
    left = [moment]

    def dying(function: Any) -> Any:
        def step(*arguments: Any, **options: Any) -> Any:
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            return function(*arguments, **options)

        return step

    with monkeypatch.context() as patch:
        for name in ("rename", "symlink_to", "mkdir"):
            patch.setattr(Path, name, dying(getattr(Path, name)))
        try:
            program.install("shop", directory)
        except KeyboardInterrupt:
            pass
        else:
            assert moment > 5, "the test did not reach the middle"
    assert standing(directory) in (before, content)
    program.install("shop", directory)
    assert standing(directory) == content


def test_a_pair_that_does_not_match_is_not_installed(server: Path, directory: Path) -> None:
    obtain(server, (FIRST[0], SECOND[1]))  # certbot is in the middle of its own switch
    with pytest.raises(ssl.SSLError):
        program.install("shop", directory)
    assert standing(directory) == PLACEHOLDER


# ---------------------------------------------------------------------------------------------------------------- run


class World:
    """Stands in for certbot and DNS."""

    def __init__(self, server: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.server = server
        self.obstacles: list[str] = []
        self.failure = ""
        self.calls: list[str] = []
        self.now = NOW
        monkeypatch.setattr(program, "obstacles", lambda settings, domains: self.obstacles)
        monkeypatch.setattr(program, "execute", self.execute)
        monkeypatch.setattr(program.time, "time", lambda: self.now)
        self.hook = server / "letsencrypt/renewal-hooks/deploy/50-reload"
        self.hook.touch(mode=0o755)
        (server / "letsencrypt/renewal-hooks/deploy/README").touch(mode=0o644)

    def execute(self, argv: list[str], environment: dict[str, str]) -> tuple[int, str]:
        # Hooks are started by systemd-run, so that the sandbox of the program is not theirs.
        name = Path(argv[-1] if argv[0] == "systemd-run" else argv[0]).name
        self.calls.append(f"{name} {argv[1]}" if name == "certbot" else name)
        if name == "certbot" and self.failure:
            return 1, self.failure
        if argv[1:2] == ["certonly"]:
            obtain(self.server, pair("new"))
        if argv[1:2] == ["delete"]:
            (self.server / "letsencrypt/renewal/shop.conf").unlink()
        if name == self.hook.name:
            assert "--setenv=RENEWED_DOMAINS=shop.example.com www.example.com" in argv
        return 0, ""

    def run(self, wanted: Any, planned: bool = False, now: bool = False) -> Any:
        self.calls.clear()
        reports = program.run(wanted, planned, now)
        return reports[0] if reports else None


@pytest.fixture
def world(server: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(server, monkeypatch)


def wanting(directory: Path, domains: tuple[str, ...] = SHOP.domains, **changes: Any) -> Any:
    return settings(certificates=[{"name": "shop", "domains": list(domains), "directory": str(directory)}], **changes)


def test_from_no_dns_to_a_certificate(world: World, directory: Path) -> None:
    wanted = wanting(directory)
    assert world.run(wanted, planned=True).state == "planned"
    world.obstacles = ["shop.example.com: has no address in DNS"]
    report = world.run(wanted)
    assert (report.state, report.problems, report.changed) == ("waiting", world.obstacles, False)
    assert world.calls == []
    assert standing(directory) == PLACEHOLDER
    # The same in a dry run, which neither asks DNS nor calls it a change.
    assert (world.run(wanted, planned=True).state, world.run(wanted, planned=True).changed) == ("waiting", False)
    world.obstacles = []
    report = world.run(wanted)
    assert (report.state, report.changed) == ("issued", True)
    assert world.calls == ["certbot certonly", "50-reload"]
    assert standing(directory) != PLACEHOLDER
    assert (world.run(wanted).state, world.calls) == ("current", [])
    assert world.run(wanted, planned=True).state == "current"


def test_a_refusal_is_told_and_repeated_later_and_later(world: World, directory: Path) -> None:
    wanted = wanting(directory)
    world.failure = "Saving debug log\nrate limited"
    report = world.run(wanted)
    assert (report.state, report.problems, report.changed) == ("failed", ["rate limited"], False)
    assert "not before" in report.next
    world.now += HOUR - 1
    report = world.run(wanted)
    assert (report.state, report.problems, world.calls) == ("waiting", ["rate limited"], [])
    world.now += 1
    assert (world.run(wanted).state, world.calls) == ("failed", ["certbot certonly"])
    world.now += HOUR + 1
    assert (world.run(wanted).state, world.calls) == ("waiting", [])  # two hours this time
    # A person may ask at once, and another wish starts anew.
    assert (world.run(wanted, now=True).state, world.calls) == ("failed", ["certbot certonly"])
    assert world.run(wanting(directory, ("shop.example.com",))).state == "failed"
    world.failure = ""
    assert world.run(wanted).state == "issued"


def test_without_preflight_certbot_is_asked_at_once(world: World, directory: Path) -> None:
    world.obstacles = ["shop.example.com: is behind NAT"]
    assert world.run(wanting(directory, preflight=False)).state == "issued"


def test_what_certbot_renewed_is_installed_by_the_next_run_at_the_latest(world: World, directory: Path) -> None:
    wanted = wanting(directory)
    world.run(wanted)
    obtain(world.server, SECOND)
    assert world.run(wanted, planned=True).state == "planned"
    assert (world.run(wanted).state, world.calls) == ("installed", ["50-reload"])
    obtain(world.server, THIRD)
    program.renewed(wanted, str(world.server / "letsencrypt/live/elsewhere"))
    assert standing(directory) == SECOND
    program.renewed(wanted, str(world.server / "letsencrypt/live/shop"))
    assert standing(directory) == THIRD


def test_a_hook_that_failed_is_run_again(world: World, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = wanting(directory)
    with monkeypatch.context() as patch:
        patch.setattr(program, "run_hooks", lambda certificate: ["50-reload failed"])
        report = world.run(wanted)
        assert (report.state, report.problems) == ("failed", ["50-reload failed"])
    assert world.run(wanted, planned=True).state == "planned"
    world.run(wanted)
    assert world.calls == ["50-reload"]


def test_a_certificate_that_is_wanted_no_more(world: World, directory: Path) -> None:
    world.run(wanting(directory))
    content = standing(directory)
    nothing = settings(certificates=[])
    assert world.run(nothing, planned=True).state == "planned"
    assert (world.run(nothing).state, world.calls) == ("removed", ["certbot delete"])
    assert standing(directory) == content
    assert world.run(nothing) is None


def test_a_broken_state_file_is_no_obstacle(world: World, directory: Path) -> None:
    (world.server / "state/shop.json").write_text("{")
    assert world.run(wanting(directory)).state == "issued"


def test_the_notice_says_what_to_do(world: World, directory: Path) -> None:
    world.obstacles = ["shop.example.com: has no address in DNS"]
    words = program.in_words(world.run(wanting(directory)))
    assert "the site keeps the certificate that it has" in words
    assert "shop.example.com: has no address in DNS" in words
    assert "Tried again by itself at the next run of the timer" in words


def test_the_token_of_the_preflight_goes_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def obstacle(domain: str, path: str, token: bytes) -> str:
        file = tmp_path / path
        assert file.read_bytes() == token
        assert os.stat(file).st_mode & 0o777 == 0o644
        seen.append(domain)
        return "no" if domain.startswith("www") else ""

    monkeypatch.setattr(program, "obstacle", obstacle)
    assert program.obstacles(settings(webroot=str(tmp_path)), SHOP.domains) == ["www.example.com: no"]
    assert sorted(seen) == sorted(SHOP.domains)
    assert list((tmp_path / program.CHALLENGES).iterdir()) == []
