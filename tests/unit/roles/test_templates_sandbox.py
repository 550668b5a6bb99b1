"""The sandboxes around services that are not ours: what stands in them, and what systemd makes of it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.groundcrew.django.tests.unit.rendering import DEBIAN_12, play

SITE = {"name": "shop", "root": "/srv/shop"}
FACTS = {**DEBIAN_12, "distribution_release": "bookworm", "memtotal_mb": 1024}
# role: its template, and the cases in which it is written
TEMPLATES: dict[str, tuple[str, dict[str, dict[str, Any]]]] = {
    "nginx": (
        "service.conf.j2",
        {
            "plain": {"nginx_sites": [SITE]},
            "home": {"nginx_sites": [SITE, {**SITE, "root": "/home/shop/site"}]},
            "lua": {"nginx_sites": [], "nginx_packages": ["nginx", "libnginx-mod-http-lua"]},
            "paths": {"nginx_sites": [], "nginx_sandbox_writable_paths": ["/srv/log", "/srv/cache"]},
        },
    ),
    "postgresql": (
        "sandbox.conf.j2",
        {
            "plain": {},
            "paths": {"postgresql_sandbox_writable_paths": ["/usr/local/pgsql", "/etc/x"]},
            "home": {"postgresql_sandbox_writable_paths": ["/home/data"]},
        },
    ),
    "certbot": ("sandbox.conf.j2", {"plain": {}}),
}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Each role's drop-in by case."""
    found = {}
    for role, (template, cases) in TEMPLATES.items():
        text = "{{ lookup('ansible.builtin.template', templates ~ '" + template + "') | to_json }}"
        facts = {name: {"ansible_facts": FACTS, **case} for name, case in cases.items()}
        found[role] = play(role, facts, text, tmp_path_factory.mktemp(role))
    return found


def setting(text: str, name: str) -> list[str]:
    """The values of a setting, in the order in which they stand."""
    return [line.partition("=")[2] for line in text.splitlines() if line.startswith(f"{name}=")]


def test_every_line_is_a_setting_or_a_comment(rendered: dict[str, dict[str, str]]) -> None:
    for cases in rendered.values():
        for text in cases.values():
            lines = [line for line in text.splitlines() if not line.startswith("#")]
            assert lines[0] == "[Service]"
            assert all("=" in line and line == line.strip() for line in lines[1:]), text
            names = [line.partition("=")[0] for line in lines[1:]]
            assert len(names) == len(set(names))


def test_further_paths_may_be_written_and_need_not_be_there(rendered: dict[str, dict[str, str]]) -> None:
    (paths,) = setting(rendered["nginx"]["paths"], "ReadWritePaths")
    assert paths.split() == [
        "/run",
        "/var/lib/nginx",
        "/var/log/nginx",
        "-/var/cache/nginx",
        "-/srv/log",
        "-/srv/cache",
    ]
    assert setting(rendered["postgresql"]["plain"], "ReadWritePaths") == []
    assert setting(rendered["postgresql"]["paths"], "ReadWritePaths") == ["-/usr/local/pgsql -/etc/x"]


def test_homes_are_seen_where_something_of_the_service_lies_there(rendered: dict[str, dict[str, str]]) -> None:
    for role in ("nginx", "postgresql"):
        homes = {name: setting(text, "ProtectHome") for name, text in rendered[role].items()}
        assert homes.pop("home") == ["read-only"]
        assert set(map(tuple, homes.values())) == {("yes",)}


def test_what_compiles_at_run_time_may(rendered: dict[str, dict[str, str]]) -> None:
    assert setting(rendered["nginx"]["plain"], "MemoryDenyWriteExecute") == ["yes"]
    assert setting(rendered["nginx"]["lua"], "MemoryDenyWriteExecute") == []
    # PostgreSQL compiles queries.
    assert setting(rendered["postgresql"]["plain"], "MemoryDenyWriteExecute") == []


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
@pytest.mark.parametrize("role", ["nginx", "postgresql"])
def test_what_systemd_makes_of_it(rendered: dict[str, dict[str, str]], role: str, tmp_path: Path) -> None:
    """At most 4.0, on a scale where Debian's units have 9.6."""
    for name, text in rendered[role].items():
        unit = tmp_path / f"{role}-{name}.service"
        unit.write_text(f"{text}\nExecStart=/bin/true\n")
        found = subprocess.run(
            ["systemd-analyze", "security", "--no-pager", "--offline=yes", "--threshold=40", str(unit)],
            capture_output=True,
            text=True,
            check=False,
        )
        if "unrecognized option" in found.stderr:
            pytest.skip("needs systemd 250")
        assert found.returncode == 0, found.stdout + found.stderr
