"""A provider's image at its first boot; after all other tests, because cloud-init makes users of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from again import play, restart
from testbed import server

HOST = Path(__file__).parent.parent / "host.yml"
# What lets passwords in, and is not done when sshd is.
SEED = """#cloud-config
ssh_pwauth: true
disable_root: false
ssh_deletekeys: false
preserve_hostname: true
locale: false
apt: {preserve_sources_list: true}
runcmd: [[sleep, "60"], [touch, /root/first-boot-is-done]]
"""


def test_a_first_boot_as_of_a_provider_opens_nothing(host: Any) -> None:
    name = host.backend.get_hostname()
    server.root(
        name, "apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y install cloud-init >/dev/null 2>&1"
    )
    server.root(
        name,
        "mkdir -p /var/lib/cloud/seed/nocloud && cd /var/lib/cloud/seed/nocloud && cat >user-data"
        " && echo 'instance-id: machine' >meta-data && echo 'datasource_list: [NoCloud]' >/etc/cloud/cloud.cfg.d/99-seed.cfg"
        " && echo 'network: {config: disabled}' >/etc/cloud/cloud.cfg.d/99-network.cfg",
        SEED,
    )
    restart(name)
    # It is waited for: what it does while we are at work would come in between.
    assert "changed=0" in play(host, HOST)
    server.root(name, "test -e /root/first-boot-is-done")
    # What it has closed stays closed.
    assert server.root(name, "stat -c %a /etc/sudoers.d") == "750"
    assert "PasswordAuthentication yes" in server.root(name, "cat /etc/ssh/sshd_config.d/50-cloud-init.conf")
    assert "passwordauthentication no" in server.root(name, "sshd -T").splitlines()
