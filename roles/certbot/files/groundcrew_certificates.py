# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gets the certificates that this server wants, as soon as their domains lead here, and installs what certbot renews.

A timer runs it, Ansible runs it, and certbot runs it as a deploy hook. Nothing that it meets is fatal: a site keeps the
certificate that it has, and the next run tries again.

What is wanted is in SETTINGS. certbot obtains and renews below /etc/letsencrypt; from there each pair of certificate
and key is copied to the directory that the web server reads, which looks like this:

    fullchain.pem -> current/fullchain.pem
    privkey.pem   -> current/privkey.pem
    current       -> versions/<id>             the one switch, so nobody ever reads a certificate with another's key
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import fcntl
import hashlib
import http.client
import json
import os
import secrets
import shutil
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SETTINGS = Path("/etc/groundcrew/certificates.json")
STATE = Path("/var/lib/groundcrew/tls")
CERTBOT = Path("/etc/letsencrypt")
CHALLENGES = ".well-known/acme-challenge"

HOUR = 3600
DAY = 24 * HOUR
CERTBOT_TIMEOUT = 600
PROBE_TIMEOUT = 10
REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True)
class Certificate:
    name: str
    domains: tuple[str, ...]
    directory: str


@dataclass(frozen=True)
class Settings:
    server: str
    email: str
    ca_bundle: str
    webroot: str
    key_type: str
    preflight: bool
    certificates: tuple[Certificate, ...]

    def identity(self, certificate: Certificate) -> dict[str, Any]:
        """What makes it another certificate when it changes."""
        return {"domains": sorted(certificate.domains), "key_type": self.key_type, "server": self.server}


@dataclass
class State:
    """What is remembered of one certificate: what certbot last obtained, and how the attempts since then went."""

    obtained: dict[str, Any] = field(default_factory=dict)  # identity
    attempted: dict[str, Any] = field(default_factory=dict)  # identity
    failures: int = 0
    next_attempt: float = 0
    problems: list[str] = field(default_factory=list)
    hooks_due: bool = False


@dataclass
class Report:
    """How one certificate stands after a run."""

    name: str
    state: str = "current"  # or issued, installed, removed, planned, waiting, failed
    problems: list[str] = field(default_factory=list)
    next: str = ""

    @property
    def changed(self) -> bool:
        return self.state in ("issued", "installed", "removed", "planned")


# ----------------------------------------------------------------------------------------------------------- decisions


def read_settings(text: str) -> Settings:
    data = json.loads(text)
    wanted = [Certificate(each["name"], tuple(each["domains"]), each["directory"]) for each in data.pop("certificates")]
    return Settings(**data, certificates=tuple(wanted))


def needs(identity: Mapping[str, Any], state: State, obtained: bool, installed: bool) -> str:
    """The next step towards a certificate: issue, install or none ("")."""
    if not obtained or state.obtained != identity:
        return "issue"
    return "" if installed else "install"


def due(state: State, identity: Mapping[str, Any], now: float) -> bool:
    """May certbot be asked now? A changed wish starts anew; a clock that was set back does not wait for ever."""
    return state.attempted != identity or not now < state.next_attempt <= now + DAY


def after_failure(failures: int) -> float:
    """Seconds until certbot is asked again: 1 h, doubling to a day, far within every authority's limits."""
    return float(min(HOUR * 2 ** (failures - 1), DAY))


def certbot_arguments(settings: Settings, certificate: Certificate, state: State, obtained: bool) -> list[str]:
    identity = settings.identity(certificate)
    same_kind = all(state.obtained.get(key) == identity[key] for key in ("key_type", "server"))
    account = ["--email", settings.email] if settings.email else ["--register-unsafely-without-email"]
    return [
        "certbot",
        "certonly",
        "--non-interactive",
        "--agree-tos",
        *account,
        f"--server={settings.server}",
        "--webroot",
        f"--webroot-path={settings.webroot}",
        f"--cert-name={certificate.name}",
        f"--key-type={settings.key_type}",
        "--renew-with-new-domains",
        # certbot itself sees that domains changed, but not that the authority did.
        "--force-renewal" if obtained and state.obtained and not same_kind else "--keep-until-expiring",
        # certbot is of two minds about them here; this script runs them when the new pair is in place.
        "--no-directory-hooks",
        *(f"--domain={domain}" for domain in certificate.domains),
    ]


def essence(output: str) -> str:
    """certbot's own words without the lines that help nobody here."""
    noise = ("Saving debug log", "Ask for help", "See the logfile", "Requesting a certificate", "Renewing an existing")
    lines = [line.strip() for line in output.splitlines()]
    return " ".join(line for line in lines if line and not line.startswith(noise) and not set(line) <= set("- "))


def moment(timestamp: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(timestamp))


# ----------------------------------------------------------------------------------------------------------- preflight


def resolve(domain: str) -> list[str]:
    found = socket.getaddrinfo(domain, 80, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(answer[4][0]) for answer in found))


def fetch(address: str, domain: str, path: str) -> tuple[int, bytes]:
    """Status and start of the body of http://domain/path as this one address answers it; redirects are followed."""
    connection = http.client.HTTPConnection(address, 80, timeout=PROBE_TIMEOUT)
    try:
        connection.request("GET", f"/{path}", headers={"Host": domain, "User-Agent": "groundcrew-certificates"})
        answer = connection.getresponse()
        if answer.status not in REDIRECTS:
            return answer.status, answer.read(200)
        target = answer.getheader("Location") or ""
    finally:
        connection.close()
    if not target.startswith(("http://", "https://")):
        return answer.status, b""
    # An authority follows redirects too, and does not ask for a valid certificate on the way to one.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with urllib.request.urlopen(target, timeout=PROBE_TIMEOUT, context=context) as final:  # noqa: S310 (checked above)
            return final.status, final.read(200)
    except urllib.error.HTTPError as error:
        return error.code, b""


def is_local(address: str) -> bool:
    """Is this an address of this server's own? Behind NAT the answer is no."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with contextlib.closing(socket.socket(family)) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
        return True


def obstacle(
    domain: str,
    path: str,
    token: bytes,
    resolve: Callable[[str], list[str]] = resolve,
    fetch: Callable[[str, str, str], tuple[int, bytes]] = fetch,
    is_local: Callable[[str], bool] = is_local,
) -> str:
    """Why an authority would not find this server by the domain, and the cure; empty when it would."""
    try:
        addresses = resolve(domain)
    except socket.gaierror as error:
        if error.errno == socket.EAI_AGAIN:
            return "DNS gave no answer; if that stays so, look at the name servers of the domain"
        return "has no address in DNS; create an A record (and AAAA for IPv6) that leads to this server"
    except UnicodeError:
        return "is no domain name"
    reached = 0
    unreachable = ""
    for address in addresses:
        where = f"leads to {address}, {'this server' if is_local(address) else 'no address of this server itself'}"
        try:
            status, body = fetch(address, domain, path)
        except OSError as error:
            if ":" in address and error.errno in (errno.ENETUNREACH, errno.EADDRNOTAVAIL):
                unreachable = f"leads to {address}, but this server has no IPv6; remove the AAAA record"
                continue  # perhaps a proxy on the internet that only the visitors reach by IPv6
            words = "no answer" if isinstance(error, TimeoutError) else (error.strerror or str(error)).lower()
            return f"{where}: nobody can connect to port 80 there ({words}); correct the DNS record, or open port 80"
        except http.client.HTTPException as error:
            return f"{where}: what answers on port 80 there speaks no HTTP ({type(error).__name__})"
        if body.strip() != token:
            return f"{where}: something else answers there (HTTP {status}); correct the DNS record, or what is between"
        reached += 1
    return "" if reached else unreachable


def obstacles(settings: Settings, domains: Sequence[str]) -> list[str]:
    """One line per domain that does not lead here, seen with a file that only this server has."""
    folder = Path(settings.webroot) / CHALLENGES
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    name, token = f"groundcrew-{secrets.token_hex(8)}", secrets.token_hex(16)
    file = folder / name
    try:
        file.write_text(token)
        file.chmod(0o644)
        with ThreadPoolExecutor(8) as pool:
            found = pool.map(lambda domain: obstacle(domain, f"{CHALLENGES}/{name}", token.encode()), domains)
            return [f"{domain}: {reason}" for domain, reason in zip(domains, found, strict=True) if reason]
    finally:
        file.unlink(missing_ok=True)


# ------------------------------------------------------------------------------------------------------------- effects


def lineage(name: str) -> Path:
    return CERTBOT / "live" / name


def obtained(name: str) -> bool:
    return (CERTBOT / "renewal" / f"{name}.conf").exists() and (lineage(name) / "fullchain.pem").exists()


def installed(name: str, directory: Path) -> bool:
    """Does the web server's copy hold what certbot holds?"""
    with contextlib.suppress(OSError):
        return all(
            (lineage(name) / file).read_bytes() == (directory / file).read_bytes()
            for file in ("fullchain.pem", "privkey.pem")
        )
    return False


def install(name: str, directory: Path) -> None:
    """Bring certbot's pair to where the web server reads it. Killed at any moment, a matching pair stands there."""
    chain, key = ((lineage(name) / file).read_bytes() for file in ("fullchain.pem", "privkey.pem"))
    versions = directory / "versions"
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    versions.mkdir(mode=0o755, exist_ok=True)
    version = _write_version(versions, chain, key)
    current = directory / "current"
    if not current.is_symlink():
        before = version
        with contextlib.suppress(FileNotFoundError, ssl.SSLError):
            # The pair that stands here as files becomes a version first: the names turn into links unnoticed.
            standing = [(directory / file).read_bytes() for file in ("fullchain.pem", "privkey.pem")]
            before = _write_version(versions, *standing)
        _link(current, f"versions/{before.name}")
    for file in ("privkey.pem", "fullchain.pem"):
        _link(directory / file, f"current/{file}")
    previous = current.readlink().name
    _link(current, f"versions/{version.name}")
    for old in versions.iterdir():
        if old.name not in (version.name, previous):
            shutil.rmtree(old)


def _write_version(versions: Path, chain: bytes, key: bytes) -> Path:
    version = versions / hashlib.sha256(chain + key).hexdigest()[:16]
    if version.exists():
        return version
    fresh = versions / f".{version.name}"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o755)
    for file, content, mode in (("fullchain.pem", chain, 0o644), ("privkey.pem", key, 0o600)):
        descriptor = os.open(fresh / file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with open(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    # certbot switches its files one by one: raises ssl.SSLError when these do not belong together.
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(fresh / "fullchain.pem", fresh / "privkey.pem")
    fresh.rename(version)
    return version


def _link(path: Path, target: str) -> None:
    """Point a link somewhere else in one rename, whatever stood there."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.rename(path)


def load(name: str) -> State:
    with contextlib.suppress(FileNotFoundError, ValueError, TypeError):
        return State(**json.loads((STATE / f"{name}.json").read_text()))
    return State()


def save(name: str, state: State) -> None:
    fresh = STATE / f".{name}.json"
    fresh.write_text(json.dumps(vars(state), indent=1, sort_keys=True))
    fresh.rename(STATE / f"{name}.json")


@contextlib.contextmanager
def locked() -> Iterator[None]:
    STATE.mkdir(mode=0o755, parents=True, exist_ok=True)
    with (STATE / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def execute(argv: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
    try:
        done = subprocess.run(
            argv,
            env={**os.environ, "LC_ALL": "C.UTF-8", **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=CERTBOT_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 1, f"{argv[0]} did not end within {CERTBOT_TIMEOUT} s"
    except OSError as error:
        return 1, f"{argv[0]}: {error.strerror}"
    return done.returncode, done.stdout


def run_hooks(certificate: Certificate) -> list[str]:
    """What certbot runs after a renewal, for a certificate that is new here: servers ask there for their reload.

    They are anybody's, so each runs as a unit of its own, outside of the sandbox of this program's.
    """
    environment = {"RENEWED_LINEAGE": lineage(certificate.name), "RENEWED_DOMAINS": " ".join(certificate.domains)}
    unit = ["systemd-run", "--quiet", "--collect", "--pipe", "--wait", "--description=After a new certificate"]
    unit += [f"--setenv={name}={value}" for name, value in environment.items()]
    problems = []
    for hook in sorted((CERTBOT / "renewal-hooks" / "deploy").glob("*")):
        if hook.resolve() == Path(__file__).resolve() or not (hook.is_file() and os.access(hook, os.X_OK)):
            continue
        status, output = execute([*unit, str(hook)], {})
        if status:
            problems.append(f"{hook} failed: {' '.join(output.split()) or f'exit status {status}'}")
    return problems


# ----------------------------------------------------------------------------------------------------------------- run


def issue(settings: Settings, certificate: Certificate, state: State, ignore_waits: bool) -> Report:
    """Ask the authority, if its answer can be yes; the report says what stood in the way, the state remembers it."""
    identity = settings.identity(certificate)
    report = Report(certificate.name, "waiting")
    if state.attempted != identity:
        state.failures, state.next_attempt = 0, 0
    if ignore_waits or due(state, identity, time.time()):
        state.attempted = identity
        state.problems = obstacles(settings, certificate.domains) if settings.preflight else []
        if not state.problems:
            environment = {"REQUESTS_CA_BUNDLE": settings.ca_bundle} if settings.ca_bundle else {}
            arguments = certbot_arguments(settings, certificate, state, obtained(certificate.name))
            status, output = execute(arguments, environment)
            if status:
                report.state = "failed"
                state.problems = [essence(output)]
                state.failures += 1
                state.next_attempt = time.time() + after_failure(state.failures)
            else:
                report.state = "issued"
                state.obtained, state.attempted, state.failures, state.next_attempt = identity, {}, 0, 0
        save(certificate.name, state)
    if report.state != "issued":
        later = state.next_attempt > time.time()
        report.problems = state.problems
        report.next = f"not before {moment(state.next_attempt)}" if later else "at the next run of the timer"
    return report


def handle(settings: Settings, certificate: Certificate, ignore_waits: bool = False) -> Report:
    state, report = load(certificate.name), Report(certificate.name)
    identity, place = settings.identity(certificate), Path(certificate.directory)
    if needs(identity, state, obtained(certificate.name), installed(certificate.name, place)) == "issue":
        report = issue(settings, certificate, state, ignore_waits)
    if obtained(certificate.name) and not installed(certificate.name, place):
        state.hooks_due = True  # noted first: whoever dies in between leaves them to the next run
        save(certificate.name, state)
        install(certificate.name, place)
        if report.state == "current":
            report.state = "installed"
    if state.hooks_due:
        problems = run_hooks(certificate)
        state.hooks_due = bool(problems)
        save(certificate.name, state)
        if problems:
            report = Report(certificate.name, "failed", problems, "at the next run of the timer")
    return report


def plan(settings: Settings, certificate: Certificate) -> Report:
    """What a run would do, without touching anything. What waits is no change: it did so before."""
    state, identity = load(certificate.name), settings.identity(certificate)
    there = installed(certificate.name, Path(certificate.directory))
    step = needs(identity, state, obtained(certificate.name), there)
    if step == "issue" and state.attempted == identity:
        return Report(certificate.name, "waiting", state.problems)
    return Report(certificate.name, "planned" if step or state.hooks_due else "current")


def unwanted(settings: Settings) -> list[str]:
    """Names of certificates that were obtained here and are wanted no more."""
    wanted = {certificate.name for certificate in settings.certificates}
    return sorted(file.stem for file in STATE.glob("*.json") if file.stem not in wanted and file.name[0] != ".")


def forget(name: str) -> Report:
    """Let certbot stop renewing it; the installed pair stays, because somebody may still read it."""
    if obtained(name):
        status, output = execute(["certbot", "delete", "--non-interactive", f"--cert-name={name}"], {})
        if status:
            return Report(name, "failed", [essence(output)], "at the next run of the timer")
    (STATE / f"{name}.json").unlink(missing_ok=True)
    return Report(name, "removed")


def run(settings: Settings, planned: bool, ignore_waits: bool) -> list[Report]:
    if planned:
        gone = [Report(name, "planned") for name in unwanted(settings)]
        return [plan(settings, certificate) for certificate in settings.certificates] + gone
    with locked():
        reports = []
        for certificate in settings.certificates:
            try:
                reports.append(handle(settings, certificate, ignore_waits))
            except (OSError, ssl.SSLError) as error:
                reports.append(Report(certificate.name, "failed", [str(error)], "at the next run of the timer"))
        return reports + [forget(name) for name in unwanted(settings)]


def renewed(settings: Settings, path: str) -> None:
    """As certbot's deploy hook: install what it renewed. The hooks that reload servers come after this one."""
    for certificate in settings.certificates:
        if path == str(lineage(certificate.name)):
            install(certificate.name, Path(certificate.directory))


def in_words(report: Report) -> str:
    words = {
        "current": "in place",
        "issued": "obtained and in place",
        "installed": "renewed and in place",
        "removed": "no longer wanted, and no longer renewed",
        "planned": "would be obtained, installed or removed",
        "waiting": "not requested yet, the site keeps the certificate that it has",
        "failed": "FAILED, the site keeps the certificate that it has",
    }
    lines = [f"{report.name}: {words[report.state]}", *(f"  {problem}" for problem in report.problems)]
    if report.next:
        lines.append(f"  Tried again by itself {report.next}; at once with: {__file__} --now")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="Get the certificates that this server wants.")
    parser.add_argument("--plan", action="store_true", help="only say what a run would do")
    parser.add_argument("--now", action="store_true", help="ask the authority even if an attempt failed a moment ago")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")
    arguments = parser.parse_args()
    settings = read_settings(SETTINGS.read_text())
    if path := os.environ.get("RENEWED_LINEAGE"):
        renewed(settings, path)
        return 0
    reports = run(settings, arguments.plan, arguments.now)
    if arguments.json:
        changed = any(report.changed for report in reports)
        notices = [in_words(report) for report in reports if report.state in ("waiting", "failed")]
        outcome = {"changed": changed, "certificates": [vars(each) for each in reports], "notices": notices}
        json.dump(outcome, sys.stdout)
        return 0
    sys.stdout.writelines(f"{in_words(report)}\n" for report in reports)
    return int(any(report.state == "failed" for report in reports))


if __name__ == "__main__":
    sys.exit(main())
