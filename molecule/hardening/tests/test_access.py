"""The way in: the admin user's alone, found by every run, and open again by itself after whoever closes it.

What is seen from outside is seen from this machine, at the server's own address; what is looked at on the server does not
go by SSH.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from again import command, wait
from testbed import server
from testbed.system import need

HOST = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"], "host.yml")
STRANGER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHcwWJ0oDf6Wn4iVtqUPp7VyZ5Q0mHnJrG1YxqPZQxXt stranger@example.com"
# Holds the lock that apt waits for.
BUSY = """import fcntl, time
with open("/var/lib/dpkg/lock-frontend", "w") as file:
    fcntl.lockf(file, fcntl.LOCK_EX)
    time.sleep(600)
"""
ELSEWHERE = ["203.0.113.0/24"]
# The files of each part of the way in, and what switches it off.
OFF: dict[str, tuple[Any, list[str]]] = {
    "host_ssh": (
        False,
        ["/etc/ssh/sshd_config.d/00-groundcrew.conf", "/usr/local/lib/groundcrew/groundcrew-sshd-check"],
    ),
    "host_firewall": (False, ["/etc/groundcrew/firewall.nft", "/etc/systemd/system/groundcrew-firewall.service"]),
    "host_admin_user": (
        "",
        [
            "/etc/sudoers.d/groundcrew-admin",
            "/etc/tmpfiles.d/groundcrew-admin.conf",
            "/etc/ssh/authorized_keys.d/admin",
            "/etc/ssh/sshd_config.d/05-groundcrew-keys.conf",
        ],
    ),
}
# Root is kept out; a change that nobody confirms is taken back as soon as that is possible.
WANTED = {"host_ssh_root_login": False, "host_access_hold": 20}


class Owner:
    """Whoever runs the playbooks, and knows the server by its address alone."""

    def __init__(self, host: Any, folder: Path, sockets: str) -> None:
        self.host = host
        self.name = host.backend.get_hostname()
        self.address = server.address(self.name)
        self.runs, self.sockets = 0, sockets
        self.known_hosts = folder / "known_hosts"
        self.inventory = folder / "hosts.yml"
        (folder / "group_vars").symlink_to(HOST.parent / "group_vars")
        self.inventory.write_text(
            f"all:\n  hosts:\n    {self.name}:\n      ansible_host: {self.address}\n      ansible_user: root\n"
            f"      ansible_ssh_private_key_file: {server.KEY}\n"
            f"      ansible_ssh_common_args: -o IdentitiesOnly=yes -o UserKnownHostsFile={self.known_hosts}"
            " -o StrictHostKeyChecking=accept-new\n"
        )

    def run(self, **changed: Any) -> dict[str, Any]:
        """What subprocess needs to run the scenario's playbook with some variables changed."""
        found = command(self.host, HOST, **{**WANTED, **changed})
        found["args"][1] = f"--inventory={self.inventory}"
        # Each run comes anew, and not by what the one before has left open.
        self.runs += 1
        found["env"]["ANSIBLE_SSH_CONTROL_PATH_DIR"] = f"{self.sockets}/{self.runs}"
        # Molecule's own configuration does not look.
        found["env"]["ANSIBLE_HOST_KEY_CHECKING"] = "true"
        return found

    def converge(self, *, fails: bool = False, **changed: Any) -> str:
        done = subprocess.run(**self.run(**changed), capture_output=True, check=False)
        said = str(done.stdout + done.stderr)
        assert bool(done.returncode) == fails, said
        return " ".join(said.split())

    def changes_nothing(self, **changed: Any) -> None:
        said = self.converge(**changed)
        assert "changed=0" in said, said

    def ssh(self, user: str, *words: str, port: int = 22, key: Path = server.KEY) -> subprocess.CompletedProcess[str]:
        options = ["BatchMode=yes", "IdentitiesOnly=yes", "ConnectTimeout=5", "StrictHostKeyChecking=no"]
        options += ["UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "ControlPath=none"]
        argv = ["ssh", "-i", str(key), "-p", str(port), *(f"-o{option}" for option in options)]
        return subprocess.run(
            [*argv, f"{user}@{self.address}", *words], capture_output=True, text=True, check=False, timeout=30
        )

    def gets_in(self, user: str = "admin", port: int = 22) -> bool:
        return self.ssh(user, "sudo true" if user != "root" else "true", port=port).returncode == 0

    def answers(self, port: int) -> bool:
        """Whether somebody is there; for whom the firewall lets in nobody, curl's time is over (28)."""
        argv = ["curl", "--silent", "--max-time", "3", f"http://{self.address}:{port}/"]
        return subprocess.run(argv, capture_output=True, check=False).returncode != 28

    def root(self, script: str, *, check: bool = True) -> str:
        return server.root(self.name, script, check=check)


@pytest.fixture(scope="module")
def owner(host: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Owner]:
    # Paths of sockets have to be short.
    with tempfile.TemporaryDirectory() as sockets:
        owner = Owner(host, tmp_path_factory.mktemp("owner"), sockets)
        owner.converge()
        yield owner
        # The other tests look into the server as root.
        owner.converge(host_ssh_root_login=True)


def test_the_admin_user_gets_in_and_nobody_else(owner: Owner) -> None:
    assert owner.gets_in()
    refused = owner.ssh("root", "true")
    assert refused.returncode == 255
    assert "Permission denied (publickey)" in refused.stderr


def test_who_is_not_named_is_kept_out_with_a_good_key_as_well(owner: Owner) -> None:
    owner.root(
        "useradd --create-home --shell /bin/sh bob && install -d -m 700 -o bob -g bob /home/bob/.ssh"
        " && install -m 600 -o bob -g bob /root/.ssh/authorized_keys /home/bob/.ssh/"
    )
    try:
        assert owner.ssh("bob", "true").returncode == 255
        owner.converge(host_ssh_allow_users=["bob"])
        assert owner.ssh("bob", "true").returncode == 0
    finally:
        owner.root("userdel --force --remove bob", check=False)
        owner.converge()


def test_no_way_is_closed_before_the_admin_user_gets_in(owner: Owner) -> None:
    owner.converge(host_ssh_root_login=True)
    foreign = "/etc/ssh/sshd_config.d/01-foreign.conf"
    owner.root(f"echo 'DenyUsers admin' >{foreign}; systemctl reload ssh")
    try:
        assert "nothing was touched" in owner.converge(fails=True)
        assert owner.gets_in("root")
    finally:
        owner.root(f"rm {foreign}; systemctl reload ssh")
    owner.converge()
    assert not owner.gets_in("root")


def test_a_run_finds_its_way_and_changes_nothing(owner: Owner) -> None:
    said = owner.converge()
    assert "changed=0" in said
    assert "unreachable=0" in said


def test_who_gets_in_and_cannot_become_root_is_passed_over(owner: Owner) -> None:
    owner.converge(host_ssh_root_login=True)
    owner.root("rm /etc/sudoers.d/groundcrew-admin")
    assert owner.ssh("admin", "true").returncode == 0
    owner.converge()
    assert owner.gets_in()
    assert not owner.gets_in("root")


def test_the_keys_are_those_that_are_wanted(owner: Owner, tmp_path: Path) -> None:
    other = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other], check=True)
    public = Path(f"{other}.pub").read_text().strip()
    owner.root(
        f"install -d -m 700 -o admin -g admin /home/admin/.ssh; echo '{public}' | tee -a /etc/ssh/authorized_keys.d/admin"
        " >/home/admin/.ssh/authorized_keys; chown admin: /home/admin/.ssh/authorized_keys"
    )
    assert owner.ssh("admin", "true", key=other).returncode == 0
    said = owner.converge(host_admin_keys=[f"{server.KEY}.pub"])
    assert "changed=1" in said
    assert owner.gets_in()
    assert owner.ssh("admin", "true", key=other).returncode == 255


def test_what_sshd_does_is_what_was_written(owner: Owner) -> None:
    # cloud-init's own file, which comes later in the order and so loses.
    owner.root("echo 'PasswordAuthentication yes' >/etc/ssh/sshd_config.d/50-cloud-init.conf; systemctl reload ssh")
    effective = owner.root("sshd -T -C user=admin,host=x,addr=192.0.2.1")
    owner.root("rm /etc/ssh/sshd_config.d/50-cloud-init.conf; systemctl reload ssh")
    for line in ("passwordauthentication no", "permitrootlogin no", "x11forwarding no", "allowusers admin"):
        assert line in effective.splitlines()


def test_what_sshd_does_for_some_users_alone_is_seen_too(owner: Owner) -> None:
    foreign = "/etc/ssh/sshd_config.d/90-foreign.conf"
    owner.root(f"printf 'Match User root\nPermitRootLogin yes\n' >{foreign}")
    try:
        said = owner.converge(fails=True, host_ssh_settings={"LoginGraceTime": 25})
        assert 'sshd does not take "PermitRootLogin no" for the user root' in said
        assert owner.root("sshd -T | grep logingracetime") == "logingracetime 30"
    finally:
        owner.root(f"rm {foreign}; systemctl reload ssh")
    owner.changes_nothing()


@pytest.mark.parametrize(
    "change",
    [
        {"host_admin_keys": [STRANGER]},
        {"host_firewall_ssh_from": ELSEWHERE},
        {"host_ssh_settings": {"AllowUsers": "somebody-else"}},
    ],
    ids=["a stranger's key", "a firewall without us", "other users"],
)
def test_a_lock_out_heals_itself(owner: Owner, change: dict[str, Any]) -> None:
    files = "cat /etc/ssh/authorized_keys.d/* /etc/ssh/sshd_config.d/* /etc/groundcrew/firewall.nft | sha256sum"
    before = owner.root(files)
    said = owner.converge(fails=True, **change)
    assert "The server has taken it back, and can be reached as before" in said
    assert owner.root(files) == before
    assert owner.gets_in()
    assert owner.root("ls /etc/systemd/system | grep groundcrew-revert", check=False) == ""
    owner.changes_nothing()


@pytest.fixture
def closed(owner: Owner) -> Iterator[int]:
    """A port that somebody else's rules keep closed."""
    chain = "nft 'add chain inet theirs input { type filter hook input priority -10 ; }'"
    owner.root(f"nft add table inet theirs; {chain}; nft add rule inet theirs input tcp dport 2200 drop")
    yield 2200
    owner.root("nft delete table inet theirs", check=False)


def test_a_port_that_is_closed_elsewhere_is_left_again(owner: Owner, closed: int) -> None:
    assert "The server has taken it back" in owner.converge(fails=True, host_ssh_port=closed)
    assert owner.gets_in()
    owner.changes_nothing()


def test_a_port_that_is_taken_is_left_again(owner: Owner) -> None:
    """With it sshd does not start."""
    owner.root("systemd-run --quiet --unit=taken python3 -m http.server --bind :: 2200")
    try:
        assert wait(lambda: owner.root("ss -Hltn sport = :2200") != "", 30)
        assert "The old files are back" in owner.converge(fails=True, host_ssh_port=2200)
        assert owner.gets_in()
    finally:
        owner.root("systemctl stop taken")
    owner.changes_nothing()


def test_what_sshd_rejects_never_stands(owner: Owner) -> None:
    said = owner.converge(fails=True, host_ssh_settings={"Colour": "blue"})
    assert "nothing was touched" in said
    assert "Bad configuration option: Colour" in said
    assert owner.gets_in()


# Changes that nobody can confirm; each is under way once the server has done this, and its timer runs.
SHUT = "nft list ruleset | grep -q 203.0.113"


@pytest.mark.parametrize(
    ("change", "name", "done", "after"),
    [
        ({"host_admin_keys": [STRANGER]}, "host", "grep -q stranger /etc/ssh/authorized_keys.d/admin", ""),
        ({"host_ssh_port": 2200}, "access", "ss -Hltn sport = :2200 | grep -q .", ""),
        ({"host_firewall_ssh_from": ELSEWHERE}, "access", SHUT, ""),
        ({"host_firewall_ssh_from": ELSEWHERE}, "access", SHUT, "systemctl reboot"),
    ],
    ids=["keys", "port", "firewall", "firewall, and the server restarted"],
)
@pytest.mark.usefixtures("closed")
def test_a_run_that_dies_in_the_middle_is_taken_back(
    owner: Owner, change: dict[str, Any], name: str, done: str, after: str
) -> None:
    with subprocess.Popen(
        **owner.run(**change), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as operator:
        shut = f"test -e /etc/systemd/system/groundcrew-revert-{name}.timer && {done}"
        assert wait(lambda: owner.root(f"{shut} && echo yes", check=False) == "yes", 240)
        os.killpg(operator.pid, signal.SIGKILL)
    assert not owner.gets_in()
    if after:
        owner.root(after, check=False)
    assert wait(owner.gets_in, 120)
    # What is still about to start is no change.
    owner.root("systemctl is-system-running --wait", check=False)
    owner.changes_nothing()


@pytest.fixture(params=["ssh.service", "ssh.socket"])
def listener(owner: Owner, request: pytest.FixtureRequest) -> Iterator[str]:
    """What listens for sshd: the service, as Debian has it, or systemd."""
    if request.param == "ssh.socket":
        owner.root("systemctl disable --quiet --now ssh.service; systemctl enable --quiet --now ssh.socket")
    yield request.param
    if request.param == "ssh.socket":
        # systemd of Debian 13 leaves an sshd behind that it has listened for.
        owner.root(
            "systemctl disable --quiet --now ssh.socket; pkill --exact sshd; systemctl enable --quiet ssh.service"
        )
        owner.root("systemctl restart ssh.service")


def test_sshd_moves_to_another_port_and_back(owner: Owner, listener: str) -> None:
    owner.converge(host_ssh_port=2200)
    assert owner.gets_in(port=2200)
    assert not owner.gets_in(port=22)
    # The service, too, once somebody has come by the socket.
    assert owner.root(f"systemctl is-active ssh.service {listener}", check=False).split() == ["active", "active"]
    owner.changes_nothing(host_ssh_port=2200)
    # Who asks by the old port is let in again only after this.
    owner.inventory.write_text(
        owner.inventory.read_text().replace("ansible_user: root", "ansible_user: root\n      ansible_port: 2200")
    )
    owner.converge()
    owner.inventory.write_text(re.sub(r"\n +ansible_port: 2200", "", owner.inventory.read_text()))
    assert owner.gets_in()


def test_the_admin_user_gets_another_name_in_two_runs(owner: Owner) -> None:
    text = owner.inventory.read_text()
    for present, wanted in (("admin", "ops"), ("ops", "admin")):
        owner.inventory.write_text(text.replace("ansible_user: root", f"ansible_user: {present}"))
        assert "host_ssh_allow_users" in owner.converge(fails=True, host_admin_user=wanted)
        assert owner.gets_in(present)
        owner.converge(host_admin_user=present, host_ssh_allow_users=[wanted])
        owner.converge(host_admin_user=wanted)
        assert owner.gets_in(wanted)
        assert not owner.gets_in(present)
    owner.inventory.write_text(text)


def test_a_changed_host_key_is_explained(owner: Owner) -> None:
    right = owner.known_hosts.read_text()
    wrong = re.sub(
        r"(ssh-ed25519 AAAA\S{30})\S", lambda found: f"{found[1]}{'A' if found[0][-1] != 'A' else 'B'}", right
    )
    assert wrong != right
    owner.known_hosts.write_text(wrong)
    try:
        said = owner.converge(fails=True)
    finally:
        owner.known_hosts.write_text(right)
    assert f"ssh-keygen -f {owner.known_hosts} -R '{owner.address}'" in said


def test_a_port_that_an_app_opens_is_not_reached(owner: Owner) -> None:
    owner.root("systemd-run --quiet --unit=opened python3 -m http.server 8000")
    try:
        assert wait(lambda: owner.root("ss -Hltn sport = :8000") != "", 30)
        assert not owner.answers(8000)
        owner.converge(host_firewall_rules=[{"ports": [8000], "from": ["0.0.0.0/0"]}])
        assert owner.answers(8000)
        owner.converge()
    finally:
        owner.root("systemctl stop opened")


def test_other_peoples_tables_are_left_alone(owner: Owner) -> None:
    owner.root("nft add table ip theirs; nft 'add chain ip theirs docker'")
    assert owner.answers(80)
    owner.converge(host_firewall_web_from=ELSEWHERE)
    assert not owner.answers(80)
    owner.converge(host_firewall_web=False)
    assert not owner.answers(80)
    owner.root("systemctl restart groundcrew-firewall")
    assert "chain docker" in owner.root("nft list table ip theirs")
    owner.root("nft delete table ip theirs")
    owner.converge()


def test_what_others_flush_comes_back(owner: Owner) -> None:
    """They flush everything; here it is one family alone, because the container engine has rules in another."""
    flush = "/usr/sbin/nft flush ruleset inet"
    unit = "/run/systemd/system/nftables.service.d"
    owner.root(
        f"mkdir {unit}; printf '[Service]\nExecStop=\nExecStop={flush}\n' >{unit}/test.conf;"
        " cp /etc/nftables.conf /run; echo 'flush ruleset inet' >/etc/nftables.conf;"
        " systemctl daemon-reload; systemctl start nftables; systemctl restart nftables"
    )
    table = "nft list table inet groundcrew"
    # systemd waits for the service that was asked for, and not for ours, which follows it.
    assert wait(lambda: "policy drop" in owner.root(table, check=False), 20)
    owner.root(f"systemctl stop nftables; rm -r {unit}; mv /run/nftables.conf /etc; systemctl daemon-reload")
    owner.converge()
    owner.root(f"{flush}; systemctl restart fail2ban")
    said = owner.converge()
    assert "changed=1" in said
    assert "policy drop" in owner.root(table)
    owner.changes_nothing()


def test_switched_off_they_leave_no_trace(owner: Owner) -> None:
    off: dict[str, Any] = {"host_ssh_root_login": True}
    owner.converge(**off)
    for switch, (value, files) in OFF.items():
        assert owner.root(f"ls -d {' '.join(files)}").split() == sorted(files)
        off[switch] = value
        owner.converge(**off)
        assert owner.root(f"ls -d {' '.join(files)} 2>/dev/null", check=False) == ""
    owner.changes_nothing(**off)
    assert owner.root("nft list tables | grep -c 'inet groundcrew'", check=False) == "0"
    assert owner.gets_in("root")
    # sshd reads it as who logs in.
    owner.root("chmod 700 /etc/ssh/authorized_keys.d")
    owner.converge()
    assert owner.gets_in()


@pytest.fixture(scope="module", params=["bookworm", "trixie"])
def fresh(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server of its own, as a provider may hand it over: without python, because much goes along when python goes."""
    name = f"hardening-fresh-{request.param}"
    server.up(name, request.param)
    server.root(name, "DEBIAN_FRONTEND=noninteractive apt-get -qq -y purge python3-minimal >/dev/null 2>&1")
    yield name
    server.down(name)


def test_an_image_without_python_gets_it(fresh: str) -> None:
    assert server.root(fresh, "command -v python3", check=False) == ""
    argv = ["ansible-playbook", f"--inventory={server.folder(fresh)}/hosts.yml", "groundcrew.django.connect"]
    said = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
    assert "installing python3" in said
    assert "changed=1" in said
    assert server.root(fresh, "command -v python3") == "/usr/bin/python3"
    assert "changed=0" in subprocess.run(argv, capture_output=True, text=True, check=False).stdout


def test_who_comes_with_a_password_leaves_a_key_and_waits_for_apt(fresh: str, tmp_path: Path) -> None:
    need("sshpass", "sshpass")
    password, address = "Tq7-vase-Mond-9", server.address(fresh)
    server.root(
        fresh,
        f"echo root:{password} | chpasswd; rm /root/.ssh/authorized_keys;"
        " printf 'PermitRootLogin yes\nPasswordAuthentication yes\n' >/etc/ssh/sshd_config.d/50-provider.conf;"
        " systemctl reload ssh",
    )
    # As a fresh server has it, which looks for updates as soon as it is up.
    server.root(fresh, "cat >/run/busy.py; systemd-run --quiet --unit=busy python3 /run/busy.py", BUSY)
    inventory = tmp_path / "hosts.yml"
    options = f"-o IdentitiesOnly=yes -o UserKnownHostsFile={tmp_path}/known_hosts -o StrictHostKeyChecking=accept-new"
    inventory.write_text(
        f"all:\n  hosts:\n    {fresh}:\n      ansible_host: {address}\n      ansible_user: root\n"
        f"      ansible_password: {password}\n      ansible_ssh_private_key_file: {server.KEY}\n"
        f"      ansible_ssh_common_args: {options}\n"
    )
    wanted = json.dumps({"host_admin_keys": [f"{server.KEY}.pub"]})
    argv = ["ansible-playbook", f"--inventory={inventory}", f"--extra-vars={wanted}", str(HOST)]
    said = ""
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as operator:
        for line in operator.stdout or []:
            said += line
            if "TASK" in line and "Install the packages of the whole site" in line:
                time.sleep(10)
                server.root(fresh, "systemctl stop busy")
    assert operator.returncode == 0, said
    assert password not in said
    argv = ["ssh", "-i", str(server.KEY), *shlex.split(options), f"admin@{address}", "sudo true"]
    assert subprocess.run(argv, check=False).returncode == 0
    argv = ["sshpass", "-p", password, "ssh", *shlex.split(options), "-o", "PubkeyAuthentication=no", f"root@{address}"]
    refused = subprocess.run([*argv, "true"], capture_output=True, text=True, check=False)
    assert "Permission denied (publickey)" in refused.stderr
