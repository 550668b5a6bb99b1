"""What the role host writes, from its real defaults: rendered by Ansible, and read as the programs read it."""

from __future__ import annotations

import configparser
import json
import re
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.groundcrew.django.tests.unit.rendering import play

ALL_OFF = {
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
SSHD = {"/etc/ssh/sshd_config.d/00-groundcrew.conf", "/usr/local/lib/groundcrew/groundcrew-sshd-check"}
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1 alice@example.com"
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "nginx": {"host_packages": ["nginx"]},
    "off": ALL_OFF,
    # As -e name=value gives them.
    "texts": {name: str(value) for name, value in ALL_OFF.items() if isinstance(value, bool)},
    "unchecked": {"host_package_check": False, "ansible_facts": {"packages": {"debsums": []}}},
    "container": {"ansible_facts": {"virtualization_tech_guest": ["container", "docker"]}},
    "wishes": {
        "host_packages": ["nginx"],
        "host_fail2ban_ignore": ["192.0.2.0/24", "2001:db8::/32"],
        "host_fail2ban_bot_paths": ["100%", "shell"],
        "host_fail2ban_jails": {
            "sshd": {"mode": "aggressive"},
            "groundcrew-nginx-bots": {"enabled": "false"},
            "mine": {"enabled": "true", "filter": "nginx-limit-req"},
        },
        "host_upgrades_origins": ["origin=Debian", "origin=Example"],
        "host_upgrades_blacklist": ["^postgresql"],
        "host_upgrades_mail": "ops@example.com",
        "host_restarts_never": ["shop-web@r1.service"],
        "host_sysctl": {"kernel.sysrq": None, "net.ipv4.ip_forward": 1, "vm.swappiness": 60},
        "host_time_servers": ["a.example", "b.example"],
        "host_banner": "Keep out \\o/\n",
    },
    "admin": {
        "host_admin_user": "alice",
        "host_admin_keys": [KEY],
        "host_ssh_port": 2200,
        "host_ssh_allow_users": ["bob"],
        "host_ssh_settings": {"MaxSessions": 20, "LogLevel": "INFO"},
        "host_firewall": True,
        "host_firewall_web_from": ["203.0.113.0/24"],
        "host_firewall_rules": [{"ports": 5432, "from": ["10.0.0.0/8", "2001:db8::/32"]}],
        "host_firewall_ssh_from": ["192.0.2.0/24"],
    },
    # Nobody's key is known, so nobody is kept out.
    "nobody": {"host_admin_user": "alice", "host_firewall": True, "host_firewall_ssh_rate": ""},
}
RENDER = """
{%- set found = {} -%}
{%- for file in __host_files + __host_access_files -%}
{%- set text = lookup('ansible.builtin.template', templates ~ file.src) if file.src is defined
    else file.content | default('link to ' ~ file.link | default('')) -%}
{%- set ignored = found.update({file.dest: text}) -%}
{%- endfor -%}
{{ {'files': found, 'parts': __host_parts, 'packages': __host_packages} | to_json }}
"""


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    common = {"ansible_facts": {}, "host_admin_user": "", "host_firewall": False}
    cases = {name: {**common, **case} for name, case in CASES.items()}
    return play("host", cases, RENDER, tmp_path_factory.mktemp("host"))


def file(rendered: dict[str, Any], case: str, name: str) -> str:
    (found,) = [text for path, text in rendered[case]["files"].items() if path.endswith(f"/{name}")]
    return str(found)


def units(rendered: dict[str, Any], case: str) -> dict[str, Any]:
    return {unit["name"]: unit for unit in rendered[case]["parts"]["units"]}


def jails(rendered: dict[str, Any], case: str) -> configparser.ConfigParser:
    found = configparser.ConfigParser(interpolation=None)
    found.read_string(file(rendered, case, "jail.d/groundcrew.local"))
    return found


def test_the_admin_user_and_nobody_else(rendered: dict[str, Any]) -> None:
    assert file(rendered, "admin", "alice") == f"{KEY}\n"
    assert "\nalice ALL=(ALL:ALL) NOPASSWD: ALL\n" in file(rendered, "admin", "groundcrew-admin")
    assert "u alice - " in file(rendered, "admin", "sysusers.d/groundcrew.conf")
    sshd = file(rendered, "admin", "00-groundcrew.conf").splitlines()
    for line in (
        "Port 2200",
        "PermitRootLogin no",
        "PasswordAuthentication no",
        "AllowUsers alice",
        "AllowUsers bob",
        "MaxSessions 20",
        "LogLevel INFO",
        "Match User alice",
    ):
        assert line in sshd
    assert "LogLevel VERBOSE" not in sshd
    # What follows in other files holds for everybody again.
    assert sshd[-1] == "Match all"
    assert "ListenStream=2200" in file(rendered, "admin", "ssh.socket.d/groundcrew.conf")


def test_without_a_key_nobody_is_kept_out(rendered: dict[str, Any]) -> None:
    sshd = file(rendered, "nobody", "00-groundcrew.conf")
    for word in ("PermitRootLogin", "PasswordAuthentication", "AllowUsers", "Match"):
        assert word not in sshd
    assert "alice" not in file(rendered, "nobody", "sysusers.d/groundcrew.conf")


def test_the_firewall(rendered: dict[str, Any]) -> None:
    rules = [line.strip() for line in file(rendered, "admin", "firewall.nft").splitlines()]
    for rule in (
        'ip saddr { 192.0.2.0/24 } tcp dport 2200 accept comment "ssh"',
        'ip saddr { 203.0.113.0/24 } tcp dport { 80, 443 } accept comment "web"',
        "ip saddr { 10.0.0.0/8 } tcp dport { 5432 } accept",
        "ip6 saddr { 2001:db8::/32 } tcp dport { 5432 } accept",
    ):
        assert rule in rules
    assert any("dport 2200" in rule and "limit rate over 30/minute" in rule for rule in rules)
    nobody = file(rendered, "nobody", "firewall.nft")
    assert "limit rate over" not in nobody
    assert '        tcp dport { 80, 443 } accept comment "web"' in nobody.splitlines()


@pytest.mark.parametrize("case", ["off", "texts"])
def test_what_is_off_has_no_file_and_no_package_and_its_units_are_stopped(rendered: dict[str, Any], case: str) -> None:
    assert set(rendered["off"]["files"]) - SSHD == {
        "/etc/default/locale",
        "/etc/localtime",
        "/etc/sysusers.d/groundcrew.conf",
        "/etc/timezone",
    }
    assert rendered[case]["packages"] == []
    stopped = {name for name, unit in units(rendered, case).items() if unit.get("state") == "stopped"}
    assert stopped == {
        "fail2ban.service",
        "groundcrew-reboot.timer",
        "groundcrew-boot-health.service",
        "groundcrew-swap.service",
    }
    # What other packages brought is left as it is.
    assert "apt-daily.timer" not in units(rendered, case)
    assert "systemd-timesyncd.service" not in units(rendered, case)
    # Where to look for what was written while it was on.
    written = {str(Path(path).parent) for path in rendered["nginx"]["files"]}
    assert written <= set(rendered[case]["parts"]["exclusive"])


def test_packages_of_the_site_and_of_the_measures_are_one_list(rendered: dict[str, Any]) -> None:
    assert rendered["nginx"]["packages"][0] == "nginx"
    assert set(rendered["nginx"]["packages"]) == {
        *("nginx", "fail2ban", "nftables", "python3-systemd"),
        *("unattended-upgrades", "needrestart", "systemd-timesyncd", "cron", "debsums", "libpam-passwdqc"),
    }


def test_where_debsums_stays_installed_its_job_does_nothing_by_itself(rendered: dict[str, Any]) -> None:
    assert file(rendered, "plain", "default/debsums") == "CRON_CHECK=weekly\n"
    assert file(rendered, "unchecked", "default/debsums") == "CRON_CHECK=never\n"
    assert "debsums" not in rendered["unchecked"]["packages"]


def test_a_container_is_not_asked_for_the_time(rendered: dict[str, Any]) -> None:
    assert units(rendered, "plain")["systemd-timesyncd.service"]["state"] == "started"
    assert "systemd-timesyncd.service" not in units(rendered, "container")


def test_jails(rendered: dict[str, Any]) -> None:
    assert jails(rendered, "plain")["groundcrew-nginx-bots"]["enabled"] == "false"
    assert jails(rendered, "nginx")["groundcrew-nginx-bots"]["enabled"] == "true"
    wishes = jails(rendered, "wishes")
    assert wishes["sshd"]["mode"] == "aggressive" and wishes["sshd"]["enabled"] == "true"
    assert wishes["groundcrew-nginx-bots"]["enabled"] == "false"
    assert wishes["mine"]["filter"] == "nginx-limit-req"
    assert wishes["DEFAULT"]["ignoreip"] == "127.0.0.0/8 ::1 192.0.2.0/24 2001:db8::/32"


def match(rendered: dict[str, Any], name: str, line: str, case: str = "nginx") -> str | None:
    """Who is blamed for a line of the log; fail2ban takes the date out before it looks."""
    text = file(rendered, case, f"filter.d/groundcrew-nginx-{name}.conf")
    lines = re.sub(r"\s+datepattern.*", "", text.partition("failregex = ")[2], flags=re.DOTALL).split("\n")
    line = re.sub(r'\[\d\d/\w+/\d+:[\d:]+ \+0000\](?= ")', "[]", line)
    line = re.sub(r'^\{"time":"[^"]+"', '{"time":""', line)
    for each in lines:
        if found := re.search(each.strip().replace("%%", "%").replace("<ADDR>", r"(?P<who>[0-9a-f.:]+)"), line):
            return found["who"]
    return None


def text_line(request: str, status: int, user: str = "-", agent: str = "curl") -> str:
    return (
        f'203.0.113.5 - {user} [26/Nov/2026:05:30:01 +0000] "{request}" {status} 5 "-" "{agent}" a.test 0.010 0.008 abc'
    )


def json_line(request: str, status: int, agent: str = "curl") -> str:
    method, target, protocol = request.split(" ")
    path, _, query = target.partition("?")
    entry = {"time": "2026-11-26T05:30:01+00:00", "request_id": "a", "host": "a.test", "method": method, "path": path}
    entry |= {"query": query, "protocol": protocol, "status": status, "bytes": 5, "request_time": 0.01}  # type: ignore[dict-item]
    entry |= {"upstream_time": None, "remote_addr": "203.0.113.5", "user_agent": agent, "referer": ""}  # type: ignore[dict-item]
    return json.dumps(entry, separators=(",", ":"))


REQUESTS = [
    # request, status, login, bots
    ("POST /accounts/login/?next=/ HTTP/2.0", 200, True, False),
    ("POST /admin/LOGIN/ HTTP/1.1", 403, True, False),
    ("POST /api/token HTTP/1.1", 401, True, False),
    ("PUT /api/x HTTP/1.1", 429, True, False),
    # Logged in; looked at the page; an app whose pages ask who is there; an app that is down.
    ("POST /accounts/login/ HTTP/2.0", 302, False, False),
    ("GET /accounts/login/ HTTP/2.0", 200, False, False),
    ("GET /api/me HTTP/2.0", 401, False, False),
    ("POST /login HTTP/2.0", 502, False, False),
    ("POST /weblogin/ HTTP/2.0", 200, False, False),
    ("GET /wp-login.php HTTP/1.1", 404, False, True),
    ("GET /blog/.env HTTP/1.1", 404, False, True),
    ("GET /.git/config HTTP/1.1", 444, False, True),
    ("POST /vendor/phpunit/src/eval-stdin.php?a=b HTTP/1.1", 404, False, True),
    ("GET /phpMyAdmin/index.php HTTP/1.1", 400, False, True),
    # A site that has such a page; a search for it; a page about it.
    ("GET /wp-content/logo.png HTTP/1.1", 200, False, False),
    ("GET /search?q=/wp-login.php HTTP/1.1", 404, False, False),
    ("GET /tips-for-wp-admin/ HTTP/1.1", 404, False, False),
    ("GET /missing HTTP/1.1", 404, False, False),
]


@pytest.mark.parametrize("line", [text_line, json_line], ids=["text", "json"])
@pytest.mark.parametrize(("request_line", "status", "login", "bots"), REQUESTS)
def test_who_is_blamed(
    rendered: dict[str, Any], line: Any, request_line: str, status: int, login: bool, bots: bool
) -> None:
    for name, blamed in (("login", login), ("bots", bots)):
        assert match(rendered, name, line(request_line, status)) == ("203.0.113.5" if blamed else None), name


@pytest.mark.parametrize("name", ["login", "bots"])
def test_nobody_is_blamed_by_what_another_sends(rendered: dict[str, Any], name: str) -> None:
    quote = r"\x22"
    forged = (
        f"{quote} 203.0.113.9 - - [26/Nov/2026:05:30:01 +0000] {quote}POST /wp-login.php/login HTTP/1.1{quote} 403 "
    )
    assert match(rendered, name, text_line("GET / HTTP/1.1", 200, agent=forged)) is None
    assert match(rendered, name, text_line(f"GET /?{forged} HTTP/1.1", 200)) is None
    forged = '","status":403,"path":"/wp-login.php/login","query":"","remote_addr":"203.0.113.9","user_agent":"'
    assert match(rendered, name, json_line("GET / HTTP/1.1", 200, agent=forged)) is None
    assert match(rendered, name, json_line(f"GET /?{forged} HTTP/1.1", 200)) is None


def test_a_wrong_password_of_nginx_itself_counts(rendered: dict[str, Any]) -> None:
    assert match(rendered, "login", text_line("GET /private/ HTTP/1.1", 401, user="joe")) == "203.0.113.5"
    assert match(rendered, "login", text_line("GET /private/ HTTP/1.1", 200, user="joe")) is None


def test_paths_of_ones_own(rendered: dict[str, Any]) -> None:
    assert match(rendered, "bots", text_line("GET /shell HTTP/1.1", 404), "wishes")
    assert match(rendered, "bots", text_line("GET /100%25 HTTP/1.1", 404), "wishes")
    assert match(rendered, "bots", text_line("GET /.env HTTP/1.1", 404), "wishes") is None


def test_updates(rendered: dict[str, Any]) -> None:
    plain, wishes = (file(rendered, case, "52groundcrew-upgrades") for case in ("plain", "wishes"))
    assert re.findall(r'^    "(.*)";$', plain, re.MULTILINE) == [
        "origin=Debian,codename=${distro_codename}-security,label=Debian-Security"
    ]
    assert "Unattended-Upgrade::Mail " not in plain
    assert re.findall(r'^    "(.*)";$', wishes, re.MULTILINE) == ["origin=Debian", "origin=Example", "^postgresql"]
    assert 'Unattended-Upgrade::Mail "ops@example.com";' in wishes


def test_kernel_settings(rendered: dict[str, Any]) -> None:
    def settings(case: str) -> dict[str, str]:
        lines = [
            line
            for line in file(rendered, case, "sysctl.d/99-server-groundcrew.conf").splitlines()
            if line.startswith("-")
        ]
        return {key[1:].strip(): value.strip() for key, _, value in (line.partition("=") for line in lines)}

    plain, wishes = settings("plain"), settings("wishes")
    assert plain["kernel.sysrq"] == "0" and plain["vm.swappiness"] == "10" and plain["fs.suid_dumpable"] == "0"
    assert "kernel.sysrq" not in wishes
    assert (wishes["net.ipv4.ip_forward"], wishes["vm.swappiness"]) == ("1", "60")


def test_the_banner_is_text_to_getty_as_well(rendered: dict[str, Any]) -> None:
    assert file(rendered, "wishes", "issue.net") == "Keep out \\o/\n"
    assert file(rendered, "wishes", "issue") == "Keep out \\\\o/\n\n"
    assert "Debian" not in file(rendered, "plain", "issue.net")


def test_needrestart_takes_patterns_as_text(rendered: dict[str, Any]) -> None:
    assert "('shop-web@r1.service')" in file(rendered, "wishes", "90-groundcrew.conf")


def test_the_window_restarts_what_needrestart_may_not(rendered: dict[str, Any]) -> None:
    service = file(rendered, "plain", "groundcrew-reboot.service")
    assert re.findall(r"--restart=(\S+)", service) == ["postgresql*", "redis-server*", "*-worker@*"]
    assert "--not-during=*-deploy.service" in service
