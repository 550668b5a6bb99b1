"""The inventory that people copy works as it stands, once its vault is filled."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from testbed.system import need
from worktree import ROOT, collections

EXAMPLE = ROOT / "inventories" / "example"
VAULT = {"vault_shop_smtp": "the smtp password", "vault_shop_deploy_key": "the private key"}
PASSWORD = "of the vault"


def run(program: str, *arguments: str, cwd: Path, **more: str) -> str:
    programs = str(Path(sys.executable).parent)
    found = shutil.which(program, path=programs)
    assert found, f"{program} stands beside the Python that runs the tests"
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "ANSIBLE_COLLECTIONS_PATH": str(collections()),
        "ANSIBLE_LOCAL_TEMP": str(cwd / "tmp"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_VAULT_PASSWORD_FILE": str(cwd / "password"),
        **more,
    }
    result = subprocess.run(
        [found, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """A copy with its vault, as secrets.yml tells how to make it."""
    copy = tmp_path / "inventories" / "production"
    shutil.copytree(EXAMPLE, copy)
    (tmp_path / "password").write_text(PASSWORD)
    vault = copy / "group_vars" / "all" / "vault.yml"
    vault.write_text(yaml.safe_dump(VAULT))
    run("ansible-vault", "encrypt", str(vault), cwd=tmp_path)
    assert VAULT["vault_shop_smtp"] not in vault.read_text()
    return copy


def test_it_passes_preflight_and_feeds_the_roles(inventory: Path, tmp_path: Path) -> None:
    names = {"sites": "nginx_sites", "redis": "redis_instances"}
    slices = ", ".join(f"'{key}': django_apps | groundcrew.django.{name}" for key, name in names.items())
    task = {
        "ansible.builtin.copy": {"content": "{{ {" + slices + "} }}", "dest": "slices.json"},
        "delegate_to": "localhost",
    }
    play = [{"hosts": "all", "gather_facts": False, "roles": ["groundcrew.django.preflight"], "tasks": [task]}]
    (tmp_path / "play.yml").write_text(yaml.safe_dump(play))
    output = run("ansible-playbook", "-i", str(inventory), "play.yml", "-vvv", cwd=tmp_path)
    assert not any(secret in output for secret in VAULT.values())
    found: dict[str, Any] = json.loads((tmp_path / "slices.json").read_text())
    assert [site["name"] for site in found["sites"]] == ["blog", "shop"]
    assert found["redis"][0]["users"][0]["name"] == "shop"


def test_secrets_may_be_encrypted_one_by_one(inventory: Path, tmp_path: Path) -> None:
    encrypted = run("ansible-vault", "encrypt_string", "the {{ password }}", "--name", "smtp", cwd=tmp_path)
    lines = ["django_app_secrets:", "  shop:", "    deploy_key: x", *(f"    {line}" for line in encrypted.splitlines())]
    (inventory / "group_vars" / "all" / "secrets.yml").write_text("\n".join(lines) + "\n")
    (tmp_path / "play.yml").write_text(
        yaml.safe_dump([{"hosts": "all", "gather_facts": False, "roles": ["groundcrew.django.preflight"]}])
    )
    assert "the {{ password }}" not in run("ansible-playbook", "-i", str(inventory), "play.yml", "-vvv", cwd=tmp_path)


def test_sops_may_encrypt_the_secrets(inventory: Path, tmp_path: Path) -> None:
    """As docs/security.md tells."""
    (inventory / "group_vars" / "all" / "vault.yml").unlink()
    secrets = inventory / "group_vars" / "all" / "vault.sops.yml"
    secrets.write_text(yaml.safe_dump(VAULT))
    need("openssh-client", "ssh-keygen")
    key = tmp_path / ".ssh" / "id_ed25519"
    key.parent.mkdir()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    recipient = key.with_suffix(".pub").read_text().strip()
    run("sops", "encrypt", "--in-place", "--age", recipient, str(secrets), cwd=tmp_path)
    assert not any(secret in secrets.read_text() for secret in VAULT.values())
    (tmp_path / "ansible.cfg").write_text("[defaults]\nvars_plugins_enabled = host_group_vars, community.sops.sops\n")
    task = {
        "ansible.builtin.copy": {"content": "{{ django_app_secrets.shop }}", "dest": "found.json"},
        "delegate_to": "localhost",
        "no_log": True,
    }
    play = [{"hosts": "all", "gather_facts": False, "roles": ["groundcrew.django.preflight"], "tasks": [task]}]
    (tmp_path / "play.yml").write_text(yaml.safe_dump(play))
    output = run("ansible-playbook", "-i", str(inventory), "play.yml", "-vvv", cwd=tmp_path, HOME=str(tmp_path))
    assert not any(secret in output for secret in VAULT.values())
    found = json.loads((tmp_path / "found.json").read_text())
    assert {f"vault_shop_{name}": value for name, value in found.items()} == VAULT


def test_it_holds_no_secret_and_no_address_of_somebody() -> None:
    text = "\n".join(path.read_text() for path in EXAMPLE.rglob("*.yml"))
    secrets = yaml.safe_load((EXAMPLE / "group_vars/all/secrets.yml").read_text())["django_app_secrets"]
    values = [value for app in secrets.values() for value in app.values()]
    assert values
    assert all(re.fullmatch(r"\{\{ vault_\w+ \}\}", value) for value in values)
    hosts = re.findall(r"\b(?:[a-z0-9-]+\.)+[a-z]{2,}\b", text)
    assert {host for host in hosts if host.endswith((".com", ".org", ".net"))} == {
        host for host in hosts if host.endswith("example.com")
    }
    assert set(re.findall(r"\b\d+\.\d+\.\d+\.\d+\b", text)) == {"192.0.2.10"}
