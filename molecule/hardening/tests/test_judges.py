"""What programs that we did not write say of the server; most of them see it from outside."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lynis
import pytest
from attacker import Attacker
from testbed import pebble, server
from testbed.system import CACHE, ROOT, locked, need, run

# What an index of Lynis is at least in a container, where 77 was seen on both Debians (2026-11-26): the kernel's settings are those
# of the machine beneath. With a kernel of its own it has to be 85; see the scenario `machine`.
INDEX = 75
# Of `systemd-analyze security`; 9.2 to 9.6 as Debian has them.
EXPOSURE = 4.0
# Not of gixy's: files are opened anew on purpose, because a deploy moves `current`; and for hosts that nobody names the
# connection is closed, also over HTTP/2.
SKIPPED = "try_files_is_evil_too,http2_misdirected_request"
# Mozilla's grader of response headers, from npm. It visits a site by its name, which only our own network knows.
OBSERVATORY = "@mdn/mdn-http-observatory@1.4.8"
RESOLVE = """
const dns = require('node:dns');
const address = process.env.ADDRESS;
dns.lookup = (name, options, done) => (done && options.all ? done(null, [{address, family: 4}]) : (done || options)(null, address, 4));
"""
# Older clients know nothing else.
ALLOWED_WARNINGS = {"curve25519-sha256", "curve25519-sha256@libssh.org"}


@pytest.fixture(scope="module")
def name(host: Any) -> str:
    return str(host.backend.get_hostname())


@pytest.fixture(scope="module")
def address(name: str) -> str:
    return server.address(name)


@pytest.fixture(scope="session")
def judges() -> Path:
    """The programs that come from PyPI, in an environment of their own."""
    run("make", "--directory", str(ROOT), ".cache/venv-judges/.ready")
    return CACHE / "venv-judges" / "bin"


@pytest.fixture
def nmap(host: Any, name: str, request: pytest.FixtureRequest) -> Iterator[Callable[..., str]]:
    """Looks at the server from this machine; by IPv6, where the engine gives containers none, from a neighbour's."""
    if address := server.address(name, request.param):
        need("nmap", "nmap")
        yield lambda *options: run("nmap", *options, address)
        return
    host.check_output("command -v nmap || apt-get install -qq --no-install-recommends nmap")
    neighbour = Attacker(host, 9, ipv6=True)
    yield lambda *options: str(neighbour.run("nmap", *options, neighbour.server).stdout)
    neighbour.leave()


@pytest.mark.parametrize(("nmap", "version"), [(4, 4), (6, 6)], indirect=["nmap"], ids=["ipv4", "ipv6"])
def test_nmap_finds_three_ports(nmap: Callable[..., str], version: int) -> None:
    # A port without an answer is tried again and again, unless it is told not to.
    speed = [f"-{version}", "-Pn", "-n", "-T5", "--max-retries=1", "--min-rate=2000", "-oG", "-"]
    tcp = nmap(*speed, "-p-")
    assert set(re.findall(r"(\d+)/open/tcp", tcp)) == {"22", "80", "443"}
    # What answers is open, and without a firewall all else is closed; of what is silent nmap cannot tell which.
    udp = nmap(*speed, "-sU", "--top-ports=200")
    assert "Ignored State: open|filtered (200)" in udp


def test_sslyze_finds_mozillas_intermediate_profile(judges: Path, name: str, address: str, tmp_path: Path) -> None:
    site = f"guestbook.{name}.test:443{{{address}}}"
    report = tmp_path / "sslyze.json"
    argv = [str(judges / "sslyze"), "--mozilla_config=intermediate", f"--json_out={report}", site]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    findings = re.findall(r"^\s+\* (\w+): (.*)$", done.stdout.partition("against Mozilla")[2], re.M)
    # Nobody but us trusts the authority of the tests.
    assert [finding for finding in findings if finding[0] != "certificate_path_validation"] == [], done.stdout
    (result,) = json.loads(report.read_text())["server_scan_results"]
    for old in ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1"):
        assert result["scan_result"][f"{old}_cipher_suites"]["result"]["accepted_cipher_suites"] == []


@pytest.fixture(scope="session")
def observatory() -> Path:
    """The directory of the grader."""
    folder = CACHE / "observatory"
    grader = folder / "node_modules" / OBSERVATORY.rpartition("@")[0]
    need("npm", "npm", "node")
    with locked("observatory"):
        if not grader.exists():
            quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
            run("npm", "install", f"--prefix={folder}", *quiet, OBSERVATORY)
        # Which domains browsers reach by TLS alone, from the start; ours are none.
        (grader / "conf" / "hsts-preload.json").write_text("{}")
        (folder / "resolve.cjs").write_text(RESOLVE)
    return folder


def test_headers_are_graded_a_plus(observatory: Path, name: str, address: str) -> None:
    """With the app's own Content-Security-Policy."""
    script = observatory / "node_modules" / OBSERVATORY.rpartition("@")[0] / "src" / "scan.js"
    done = subprocess.run(
        ["node", f"--require={observatory}/resolve.cjs", script, f"guestbook.{name}.test"],
        env={**os.environ, "ADDRESS": address, "NODE_EXTRA_CA_CERTS": str(pebble.ROOTS)},
        capture_output=True,
        text=True,
        check=False,
    )
    found = json.loads(done.stdout)
    assert found.get("scan", {}).get("grade") == "A+", done.stdout
    assert [test for test, result in found["tests"].items() if not result["pass"]] == []


def test_gixy_finds_nothing(judges: Path, name: str, tmp_path: Path) -> None:
    archive = tmp_path / "nginx.tar"
    with archive.open("wb") as file:
        subprocess.run(
            ["docker", "exec", server.container(name), "tar", "-C", "/", "-c", "etc/nginx"], stdout=file, check=True
        )
    run("tar", "--extract", "--directory", str(tmp_path), "--file", str(archive))
    # Paths in it are those of the server.
    for path in (tmp_path / "etc/nginx").rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.write_text(path.read_text("utf-8", errors="replace").replace("/etc/nginx/", f"{tmp_path}/etc/nginx/"))
    done = subprocess.run(
        [judges / "gixy", "--format=json", f"--skips={SKIPPED}", tmp_path / "etc/nginx/nginx.conf"],
        capture_output=True,
        text=True,
        check=False,
    )
    # A configuration that it cannot read is no finding either.
    assert (done.returncode, json.loads(done.stdout)) == (0, []), done.stdout + done.stderr


@pytest.mark.parametrize("unit", ["nginx.service", "postgresql@*-main.service", "redis-server@cache.service"])
def test_what_we_run_and_do_not_own_is_in_a_sandbox(host: Any, unit: str) -> None:
    (found,) = host.check_output(
        f"systemctl list-units --plain --no-legend --state=running '{unit}' | cut -d' ' -f1"
    ).split()
    said = host.check_output(f"systemd-analyze security --no-pager {found} | tail -1")
    assert float(said.split(": ")[1].split()[0]) <= EXPOSURE


def test_lynis(host: Any) -> None:
    index, wishes = lynis.audit(host)
    assert index >= INDEX, wishes


def test_ssh_audit_finds_nothing(judges: Path, address: str) -> None:
    # The last of all: it ends with a flood of connections, after which firewall and sshd keep us out for a while.
    done = subprocess.run([judges / "ssh-audit", "--json", address], capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)
    notes = {
        (kind, each["algorithm"]): each["notes"]
        for kind in ("kex", "key", "enc", "mac")
        for each in found[kind]
        if each["notes"].get("fail") or each["notes"].get("warn")
    }
    assert {algorithm for _kind, algorithm in notes} <= ALLOWED_WARNINGS, notes
    assert found["cves"] == []
