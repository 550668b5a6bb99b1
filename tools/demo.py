"""The demo: a bare server, one playbook, a live HTTPS site."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from testbed import pebble, server
from testbed.system import CACHE, ROOT, TestbedError, write

NAME = "demo"
# Browsers and curl take names under .localhost for this machine without asking any DNS.
DOMAIN = "guestbook.localhost"
FOLDER = CACHE / "demo"


def up() -> None:
    """Boot, describe, converge, visit."""
    hosts = server.up(NAME, aliases=[DOMAIN], address="127.0.0.1")
    pebble.up()
    describe(hosts)
    started = time.monotonic()
    environment = {**os.environ, "ANSIBLE_CONFIG": str(FOLDER / "ansible.cfg")}
    # Beside this interpreter: the one of the project's own environment.
    playbook = [str(Path(sys.executable).parent / "ansible-playbook"), "groundcrew.django.site"]
    if subprocess.run(playbook, cwd=ROOT, env=environment, check=False).returncode:
        raise TestbedError(f"the playbook failed; run it again with: {command('groundcrew.django.site')}")
    summary(time.monotonic() - started)


def down() -> None:
    server.down(NAME)
    shutil.rmtree(FOLDER, ignore_errors=True)


def describe(hosts: Path) -> None:
    """The inventory, as a user would write it; only the authority is a test server's."""
    write(FOLDER / "hosts.yml", hosts.read_text())
    write(
        FOLDER / "group_vars" / "all.yml",
        "django_apps:\n"
        "  - name: guestbook\n"
        f"    domains: [{DOMAIN}]\n"
        f"    source: {{path: {ROOT}/examples/guestbook}}\n"
        "    redis: {cache: true}\n"
        "    health: /healthz\n"
        "certbot_email: ops@example.org\n"
        f"certbot_directory_url: {pebble.DIRECTORY}\n"
        f"certbot_ca_bundle: {pebble.DIRECTORY_CA}\n",
    )
    write(
        FOLDER / "ansible.cfg",
        "[defaults]\n"
        f"inventory = {FOLDER}/hosts.yml\n"
        f"collections_path = {CACHE}/collections\n"
        "[ssh_connection]\n"
        "pipelining = true\n",
    )


def command(playbook: str) -> str:
    return f"ANSIBLE_CONFIG=.cache/demo/ansible.cfg .cache/venv-2.19/bin/ansible-playbook {playbook}"


def summary(seconds: float) -> None:
    address, port = server.endpoint(NAME, 443)
    url = f"https://{DOMAIN}" if port == 443 else f"https://{DOMAIN}:{port}"
    roots = pebble.ROOTS.relative_to(ROOT)
    curl = f"curl --cacert {roots} --resolve {DOMAIN}:{port}:{address} {url}/"
    release = server.root(NAME, "readlink /srv/guestbook/current")
    print(
        f"""
{url} is live: a bare Debian server {seconds:.0f} seconds ago.

  Release   {release.rpartition("/")[2]}
  Trust     {roots} (Pebble's root, made for this demo: give it to a browser that you throw away)
            {curl}
  Describes .cache/demo/group_vars/all.yml

Try next:
  {command("groundcrew.django.site")}      # again: nothing changes
  {command("groundcrew.django.status")}
  {command("groundcrew.django.deploy")}    # after an edit in examples/guestbook
  python3 tools/testbed ssh {NAME}
  make demo-down"""
    )


if __name__ == "__main__":
    try:
        {"up": up, "down": down}[sys.argv[1]]()
    except TestbedError as error:
        sys.exit(f"demo: {error}")
