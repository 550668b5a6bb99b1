"""What the measures of the role host do on a server that runs, and that none of them leaves anything when it is off."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import turns
from again import converge, play, wait
from attacker import Attacker
from testbed import server

OFF: dict[str, Any] = {
    "host_journal_max_use": "",
    "host_fail2ban": False,
    "host_upgrades": False,
    "host_restarts": False,
    "host_reboot": False,
    "host_sysctl_hardening": False,
    "host_time_sync": False,
    "host_swap": False,
    "host_core_dumps": True,
    "host_banner": "",
    "host_umask": "",
    "host_shell_timeout": 0,
    "host_password_quality": False,
    "host_blocked_modules": [],
    "host_package_check": False,
}
# Files that do not belong to a measure, and the admin user's; see test_access.py.
KEPT = {
    "/etc/default/debsums",
    "/etc/default/locale",
    "/etc/locale.conf",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/sysusers.d/groundcrew.conf",
    "/etc/sudoers.d/groundcrew-admin",
    "/etc/tmpfiles.d/groundcrew-admin.conf",
    "/etc/ssh/authorized_keys.d/admin",
    "/etc/ssh/sshd_config.d/05-groundcrew-keys.conf",
}
# Measures without a file of their own: one is a package, one has a line in a package's file, one has lines in a file of several.
NO_FILE = ("host_package_check", "host_password_quality", "host_sysctl_hardening")
# Each by itself is a run of its own.
STEPS = [OFF] if turns.AMONG_ALL else [{measure: value} for measure, value in OFF.items()]
HOST = Path(__file__).parent.parent / "host.yml"
WEEKLY = "run-parts --regex '^debsums$' /etc/cron.weekly"
PROGRAM = "/usr/local/lib/groundcrew/groundcrew-reboot"


# ------------------------------------------------------------------------------------------------------------- fail2ban


def test_who_guesses_passwords_over_ssh_is_out_for_a_while(host: Any, attacker: Attacker) -> None:
    def guess() -> bool:
        attacker.log_in()
        return attacker.banned("sshd")

    # sshd of Debian 13 makes him wait by itself after some attempts, so it takes him longer.
    assert wait(guess), host.check_output("fail2ban-client status sshd")
    # Nothing at all is there for him.
    assert not attacker.reaches(22)
    assert not attacker.reaches(80)
    # Bans are in a table of their own, which no firewall's reload touches.
    assert attacker.address in host.check_output("nft list table inet f2b-table")
    assert wait(lambda: not attacker.banned("sshd")), "the ban never ends"
    assert wait(lambda: attacker.reaches(22))
    assert attacker.reaches(80)


def test_a_flood_of_connections_ends_at_the_firewall(host: Any, attacker: Attacker) -> None:
    play(host, HOST, host_firewall_ssh_burst=12, host_firewall_ssh_rate="1/minute")
    try:
        began = time.monotonic()
        let_in = [attacker.reaches(22) for _ in range(16)].count(True)
        # One is owed from the beginning, and another one for each minute that this takes.
        assert 12 <= let_in <= min(13 + (time.monotonic() - began) // 60, 15)
        # Others are let in, such as the next run.
    finally:
        play(host, HOST)
    assert attacker.reaches(22)


@pytest.mark.parametrize("jail", ["sshd", "groundcrew-nginx-bots", "groundcrew-nginx-login"])
def test_bans_hold_for_ipv6_too(host: Any, jail: str) -> None:
    """Whether or not the container engine gives its containers IPv6."""
    address, shut_out = "2001:db8::bad", f"nft list set inet f2b-table addr6-set-{jail}"
    # Looked at from near: a ban is over in ten seconds here.
    until_seen = f"timeout 60 sh -c 'until {shut_out} | grep {address}; do sleep 0.1; done'"
    assert wait(lambda: host.run("fail2ban-client ping").rc == 0)
    try:
        host.check_output(f"fail2ban-client set {jail} banip {address} && {until_seen}")
        assert f"ip6 saddr @addr6-set-{jail}" in host.check_output("nft list table inet f2b-table")
        assert wait(lambda: address not in host.check_output(shut_out))
    finally:
        host.run(f"fail2ban-client unban {address}")


@pytest.mark.parametrize(
    ("jail", "method", "path", "tries"),
    [("groundcrew-nginx-bots", "GET", "/blog/wp-login.php", 3), ("groundcrew-nginx-login", "POST", "/admin/login/", 6)],
)
def test_who_looks_for_holes_or_passwords_on_the_site_is_out_for_a_while(
    host: Any, attacker: Attacker, jail: str, method: str, path: str, tries: int
) -> None:
    assert attacker.ask("/nothing-special") == 404
    for _ in range(tries):
        assert attacker.ask(path, method) in (403, 404)
    assert wait(lambda: attacker.banned(jail)), host.check_output(f"fail2ban-client status {jail}")
    assert not attacker.reaches(80)
    # Whatever happens on the site, SSH stays open: the owner may share the address.
    assert attacker.reaches(22)
    assert wait(lambda: not attacker.banned(jail)), "the ban never ends"
    assert wait(lambda: attacker.reaches(80))


def test_a_visitor_who_asks_for_pages_stays(host: Any, attacker: Attacker) -> None:
    for number in range(12):
        assert attacker.ask(f"/page/{number}") == 404
        assert attacker.ask("/") == 200
    time.sleep(3)
    for jail in ("groundcrew-nginx-bots", "groundcrew-nginx-login"):
        assert not attacker.banned(jail)


# fail2ban's own reading of a line, beside the unit tests of the expressions.
LINES = {
    "text": '203.0.113.9 - - [{text}] "{method} {path} HTTP/1.1" {status} 5 "-" "curl" a.test 0.010 0.008 abc',
    "json": (
        '{{"time":"{json}","request_id":"a","host":"a.test","method":"{method}","path":"{path}","query":"",'
        '"protocol":"HTTP/2.0","status":{status},"bytes":5,"request_time":0.010,"upstream_time":null,'
        '"remote_addr":"203.0.113.9","user_agent":"curl","referer":""}}'
    ),
}


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize(
    ("name", "method", "path", "status", "blamed"),
    [
        ("bots", "GET", "/.env", 404, True),
        ("bots", "GET", "/.env", 200, False),
        ("login", "POST", "/accounts/login/", 200, True),
        ("login", "POST", "/accounts/login/", 302, False),
    ],
)
def test_fail2ban_understands_both_formats(
    host: Any, form: str, name: str, method: str, path: str, status: int, blamed: bool
) -> None:
    moment = time.gmtime()
    line = LINES[form].format(
        method=method,
        path=path,
        status=status,
        text=time.strftime("%d/%b/%Y:%H:%M:%S +0000", moment),
        json=time.strftime("%Y-%m-%dT%H:%M:%S+00:00", moment),
    )
    said = host.run("fail2ban-regex --out=ip %s %s", line, f"/etc/fail2ban/filter.d/groundcrew-nginx-{name}.conf")
    assert ("203.0.113.9" in said.stdout) == blamed, said.stdout + said.stderr


# -------------------------------------------------------------------------------------------- updates, restarts, reboots


@pytest.mark.parametrize("timer", ["apt-daily.timer", "apt-daily-upgrade.timer", "groundcrew-reboot.timer"])
def test_timers_run(host: Any, timer: str) -> None:
    assert host.service(timer).is_running
    assert host.service(timer).is_enabled


def test_each_server_has_a_moment_of_its_own_for_its_reboot(host: Any) -> None:
    moments = set()
    for distro in ("bookworm", "trixie"):
        elapses = "systemctl show --value --property=NextElapseUSecRealtime groundcrew-reboot.timer"
        moment = server.root(f"hardening-{distro}", f'date --utc --date="$({elapses})" +%H:%M:%S')
        assert "03:00:00" <= moment < "05:00:00"
        moments.add(moment)
    assert len(moments) == 2


def test_updates_are_left_out_and_told_as_wanted(host: Any) -> None:
    play(host, HOST, host_upgrades_blacklist=["^nginx"], host_upgrades_mail="ops@example.com")
    try:
        said = host.check_output("apt-config dump Unattended-Upgrade")
        tried = host.check_output("unattended-upgrade --dry-run --debug 2>&1")
    finally:
        play(host, HOST)
    assert 'Unattended-Upgrade::Mail "ops@example.com";' in said
    assert 'Unattended-Upgrade::MailReport "on-change";' in said
    assert "Initial blacklist: ^nginx" in tried


def test_only_security_updates_install_themselves(host: Any) -> None:
    said = host.run("unattended-upgrade --dry-run --debug 2>&1")
    assert said.rc == 0, said.stdout
    (origins,) = [line for line in said.stdout.splitlines() if line.startswith("Allowed origins are:")]
    assert origins.count("origin=") == 1
    assert "-security,label=Debian-Security" in origins
    enabled = host.check_output("apt-config dump APT::Periodic::Unattended-Upgrade")
    assert '"1"' in enabled
    assert '"false"' in host.check_output("apt-config dump Unattended-Upgrade::Automatic-Reboot")


@pytest.fixture
def stale(host: Any) -> Iterator[Callable[[str], str]]:
    """Starts a service whose program is then replaced, as an update does; returns its process."""
    started: list[tuple[str, str]] = []

    def start(unit: str) -> str:
        path = f"/usr/local/bin/stale-{len(started)}"
        host.check_output(f"cp /usr/bin/sleep {path}")
        text = f"[Service]\nExecStart={path} infinity\n"
        host.check_output(
            "printf %s > %s && systemctl daemon-reload && systemctl start %s", text, f"/etc/systemd/system/{unit}", unit
        )
        started.append((unit, path))
        host.check_output(f"sleep 1; cp {path} {path}.new && mv {path}.new {path}")
        return process(host, unit)

    yield start
    for unit, path in started:
        host.run("systemctl stop %s; rm %s %s; systemctl daemon-reload", unit, f"/etc/systemd/system/{unit}", path)


def process(host: Any, unit: str) -> str:
    return str(host.check_output("systemctl show --value --property=MainPID %s", unit))


@pytest.fixture
def deploy(host: Any) -> Iterator[Callable[[], None]]:
    yield lambda: host.check_output("systemd-run --quiet --unit=shop-deploy.service sleep infinity")
    host.run("systemctl stop shop-deploy.service")


def test_services_are_restarted_but_not_what_must_run_through(
    host: Any, stale: Callable[[str], str], deploy: Callable[[], None]
) -> None:
    web, worker, database = "shop-web@r1.service", "shop-worker@r1:mail.service", "postgresql@99-test.service"
    before = {unit: stale(unit) for unit in (web, worker, database)}
    deploy()
    # As apt runs it.
    listed = host.run("DEBIAN_FRONTEND=noninteractive needrestart 2>&1").stdout
    assert {unit: process(host, unit) for unit in before} == before, listed
    host.check_output("systemctl stop shop-deploy.service")
    said = host.run("DEBIAN_FRONTEND=noninteractive needrestart 2>&1").stdout
    after = {unit: process(host, unit) for unit in before}
    assert after[web] != before[web], said
    assert (after[worker], after[database]) == (before[worker], before[database]), said
    # The window does the rest.
    host.check_output("systemctl start groundcrew-reboot.service")
    assert wait(lambda: process(host, database) not in (before[database], "0"))
    assert wait(lambda: process(host, worker) not in (before[worker], "0"))
    state = json.loads(host.file("/var/lib/groundcrew/reboot.json").content_string)
    assert state["window"]["did"] == "restart"


def test_the_window_reboots_for_an_update_and_never_in_a_deploy(host: Any, deploy: Callable[[], None]) -> None:
    ask = f"{PROGRAM} window --dry-run --not-during=*-deploy.service"
    assert host.check_output(ask).startswith("nothing:")
    try:
        host.check_output("echo linux-image-amd64 >/run/reboot-required.pkgs; touch /run/reboot-required")
        assert host.check_output(ask) == "reboot: asked for by linux-image-amd64"
        deploy()
        assert host.check_output(ask) == "wait: shop-deploy.service at work"
        # The unit itself, too, which would not say so but do it.
        host.check_output("systemctl start groundcrew-reboot.service")
        state = json.loads(host.file("/var/lib/groundcrew/reboot.json").content_string)
        assert state["window"]["did"] == "wait"
    finally:
        host.run("rm -f /run/reboot-required /run/reboot-required.pkgs")


def test_a_boot_is_judged(host: Any) -> None:
    def judge() -> tuple[int, dict[str, Any]]:
        result = host.run(f"{PROGRAM} health")
        state = json.loads(host.file("/var/lib/groundcrew/reboot.json").content_string)["health"]
        return result.rc, state

    assert host.service("groundcrew-boot-health.service").is_enabled
    rc, state = judge()
    assert (rc, state["healthy"], state["problems"]) == (0, True, [])
    try:
        host.check_output("mkdir -p /srv/shop/releases/r1 && ln -s releases/r1 /srv/shop/current")
        rc, state = judge()
        assert (rc, state["healthy"], state["sites"]) == (1, False, ["guestbook", "neighbour", "shop"])
        assert state["problems"] == ["shop-web@r1.service, the live release of shop, is inactive"]
    finally:
        host.run("rm -r /srv/shop")


# --------------------------------------------------------------------------------------------------- kernel and logins


def test_measures_that_a_container_cannot_have_do_no_harm_there(host: Any) -> None:
    assert (
        host.run("systemctl is-failed systemd-sysctl.service groundcrew-swap.service systemd-timesyncd.service").rc != 0
    )
    assert host.service("groundcrew-swap.service").is_running


def test_nothing_tells_the_version_before_a_login(host: Any) -> None:
    address = server.address(host.backend.get_hostname())
    with socket.create_connection((address, 22), timeout=10) as connection:
        first = connection.recv(200)
    assert first.startswith(b"SSH-2.0-OpenSSH")
    options = ["BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=INFO"]
    argv = ["ssh", *(f"-o{option}" for option in options), f"nobody@{address}", "true"]
    before = subprocess.run(argv, capture_output=True, text=True, check=False).stderr
    # Of a console nobody sees the screen here.
    for said in (first.decode(), before, host.file("/etc/issue").content_string):
        assert "Debian" not in said
    assert "authorized" in before


def test_files_of_users_are_their_own(host: Any) -> None:
    host.check_output("id tester >/dev/null 2>&1 || useradd --create-home --shell /bin/sh tester")
    assert host.check_output("su --login tester --command umask") == "0027"
    assert host.check_output("su --login root --command umask") == "0022"
    # Not who runs a program over SSH, as Ansible does.
    assert host.check_output("su tester --command umask") != "0027"
    assert host.check_output("su --login tester --command 'ulimit -H -c'") == "0"
    assert host.check_output("su --login tester --command 'echo $TMOUT'") == "3600"


def test_a_password_has_to_be_hard_to_guess(host: Any) -> None:
    host.check_output("id tester >/dev/null 2>&1 || useradd --create-home --shell /bin/sh tester")
    host.check_output("echo tester:Tq7-vase-Mond-9 | chpasswd")
    change = "printf '%s\\n' Tq7-vase-Mond-9 {0} {0} | su tester --command 'passwd' 2>&1"
    assert "Weak password" in host.run(change.format("summer2026")).stdout
    host.check_output("userdel --remove tester")


@pytest.fixture
def changed(host: Any) -> Iterator[str]:
    """A program that somebody has replaced."""
    host.check_output("mv /usr/bin/factor /usr/bin/factor.kept && cp /bin/true /usr/bin/factor")
    yield "/usr/bin/factor"
    host.check_output("mv /usr/bin/factor.kept /usr/bin/factor")


def test_a_changed_program_is_told_each_week(host: Any, changed: str) -> None:
    assert changed in host.check_output(WEEKLY).splitlines()
    assert changed in host.check_output("journalctl --identifier debsums --output cat").splitlines()
    assert host.service("cron.service").is_running


# ------------------------------------------------------------------------------------------------------------------ off


def written(host: Any) -> set[str]:
    """The files of the measures."""
    manifest = json.loads(host.file("/var/lib/groundcrew/config_set/host.json").content_string)
    return set(manifest["files"]) - KEPT


@pytest.mark.usefixtures("changed")
def test_what_is_switched_off_leaves_no_trace(host: Any) -> None:
    everything = written(host)
    off: dict[str, Any] = {}
    assert len(everything) > 15
    try:
        for step in STEPS:
            before = written(host)
            off |= step
            play(host, HOST, **off)
            gone = before - written(host)
            assert gone or step.keys() <= set(NO_FILE), step
            assert [path for path in sorted(before) if host.file(path).exists == (path in gone)] == [], step
        assert written(host) == set()
        for unit in ("fail2ban.service", "groundcrew-reboot.timer", "groundcrew-swap.service"):
            assert not host.service(unit).is_running
        # Those of certificates and of the firewall are no part of it.
        assert host.run("systemctl list-unit-files --no-legend 'groundcrew-[!cf]*'").stdout == ""
        assert host.run("nft list table inet f2b-table").rc != 0
        # The package's job is still there, finds that it is not wanted, and does not fail.
        assert host.check_output(WEEKLY) == ""
        assert "changed=0" in play(host, HOST, **OFF)
    finally:
        converge(host)
    assert [path for path in sorted(everything) if not host.file(path).exists] == []
    assert host.service("fail2ban.service").is_running
