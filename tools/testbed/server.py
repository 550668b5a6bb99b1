"""Test servers, from boot to removal."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import re
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from testbed import engine, image
from testbed.engine import docker
from testbed.system import CACHE, PREFIX, TestbedError, columns, locked, need, note, run, succeeds, write

# What systemd, its sandboxes and a firewall need; an engine with reduced capabilities of its own has these.
CAPABILITIES = ("SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "DAC_READ_SEARCH", "SYSLOG", "SYS_NICE")
# Port of the server -> port on its address; 2222, because an SSH server of this machine may hold 22 on every address.
PORTS = {22: 2222, 80: 80, 443: 443}
KEY = CACHE / "ssh" / "id_ed25519"


def folder(name: str) -> Path:
    """Where a server's inventory, known host key and SSH configuration are."""
    return CACHE / "servers" / name


def container(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name):
        raise TestbedError(f"{name!r} cannot be a server's name: use letters, digits and hyphens")
    return f"{PREFIX}-{name}"


def up(
    name: str,
    distro: str = "bookworm",
    aliases: list[str] | None = None,
    installed: bool = False,
    address: str | None = None,
) -> Path:
    """Boot a server, or start it again; returns its inventory. Aliases replace those it had, None keeps them."""
    box = container(name)
    engine.ensure()
    state = engine.inspect(box)
    if state is None:
        _create(name, distro, (image.installed if installed else image.server)(distro), address)
    elif not state["State"]["Running"]:
        docker("start", box)
    if aliases is not None or state is None:
        engine.rename(box, [name, *(aliases or [])])
    if not (state and state["State"]["Running"] and (folder(name) / "hosts.yml").exists()):
        _wait_for_systemd(box)
        write_access(name, endpoint(name, 22), docker("exec", box, "cat", "/etc/ssh/ssh_host_ed25519_key.pub"))
        login(name)
    return folder(name) / "hosts.yml"


def down(name: str) -> None:
    engine.remove(container(name))
    shutil.rmtree(folder(name), ignore_errors=True)


def overview() -> str:
    rows = [("NAME", "IMAGE", "STATE", "ADDRESS", "PORTS", "DOMAINS")]
    for box in engine.containers():
        ports = {guest: host for guest, (_, host) in _published(box).items()}
        names = (box["NetworkSettings"]["Networks"].get(engine.NAMES) or {}).get("Aliases") or []
        rows.append(
            (
                box["Config"]["Hostname"],
                box["Config"]["Image"],
                box["State"]["Status"],
                box["Config"]["Labels"].get("groundcrew.address", ""),
                " ".join(f"{host}->{guest}" for guest, host in sorted(ports.items())),
                " ".join(alias for alias in names if "." in alias),
            )
        )
    return columns(rows)


def endpoint(name: str, port: int) -> tuple[str, int]:
    """Where this machine reaches a port of a server."""
    if is_vm(name):
        return (folder(name) / "address").read_text(), PORTS[port]
    return published(container(name))[port]


def address(name: str, version: int = 4) -> str:
    """A container's own address, by which this machine reaches every port of it; empty where it has none."""
    state = engine.inspect(container(name))
    if state is None:
        raise TestbedError(f"there is no {name}")
    key = {4: "IPAddress", 6: "GlobalIPv6Address"}[version]
    return str(state["NetworkSettings"]["Networks"][engine.NETWORK][key])


def is_vm(name: str) -> bool:
    """Whether a server is a virtual machine; see vm.py."""
    return (folder(name) / "address").exists()


def root(name: str, script: str, stdin: str = "", *, check: bool = True) -> str:
    """Run a shell script on a server; by SSH only where there is no other way, because a restart would cut that."""
    if is_vm(name):
        # One that restarts lets connections in before it answers, and drops them without a word.
        patience = ("-o", "ConnectTimeout=30", "-o", "ServerAliveInterval=30")
        return run(
            "ssh", "-F", str(folder(name) / "ssh_config"), *patience, name, script, stdin=stdin, check=check
        ).strip()
    return docker("exec", "--interactive", container(name), "sh", "-c", script, stdin=stdin, check=check).strip()


def published(box: str) -> dict[int, tuple[str, int]]:
    """Port of a container -> address and port on this machine."""
    state = engine.inspect(box)
    if state is None:
        raise TestbedError(f"there is no {box}")
    return _published(state)


def address_for(box: str, ports: list[int]) -> str:
    """A loopback address of the server's own: the same each time, unless somebody has taken it."""
    candidates = (hashlib.sha256(f"{box} {attempt}".encode()).digest() for attempt in range(50))
    addresses = [f"127.{16 + a % 224}.{b}.{1 + c % 254}" for a, b, c, *_ in candidates]
    return next((each for each in addresses if all(_free(each, port) for port in ports)), addresses[0])


def publish(address: str, ports: dict[int, int]) -> Iterator[str]:
    """Options that publish ports on an address, or on any free port where the wanted one is taken."""
    for guest, host in ports.items():
        wanted = str(host) if _free(address, host) else ""
        if not wanted:
            note(f"port {host} of {address} is taken on this machine: port {guest} is published on another")
        yield f"--publish={address}:{wanted}:{guest}"


def _free(address: str, port: int) -> bool:
    with contextlib.closing(socket.socket()) as probe:
        try:
            probe.bind((address, port))
        except OSError as error:
            return error.errno != errno.EADDRINUSE  # the engine may bind low ports where we may not
    return True


def _create(name: str, distro: str, tag: str, address: str | None) -> None:
    box = container(name)
    make_key()
    with locked("ports"):
        address = address or address_for(box, [*PORTS.values()])
        docker(
            "create",
            f"--name={box}",
            f"--hostname={name}",
            f"--network={engine.NETWORK}",
            f"--label={engine.LABEL}",
            f"--label=groundcrew.address={address}",
            f"--label=groundcrew.distro={distro}",
            f"--env=GROUNDCREW_SERVER={box}",
            *publish(address, PORTS),
            *_interfaces(),
            *(f"--cap-add={capability}" for capability in CAPABILITIES),
            "--security-opt=seccomp=unconfined",
            "--security-opt=apparmor=unconfined",
            *(f"--tmpfs={path}" for path in ("/run", "/run/lock", "/tmp")),
            "--restart=unless-stopped",  # so that `reboot` on the server is a reboot
            tag,
        )
        docker("start", box)
    # Not by `docker cp`, which would leave the file to this machine's user, and sshd would not trust it.
    key = Path(f"{KEY}.pub").read_text()
    docker(
        "exec",
        "--interactive",
        box,
        "install",
        "-D",
        "-m",
        "600",
        "/dev/stdin",
        "/root/.ssh/authorized_keys",
        stdin=key,
    )


def _interfaces() -> list[str]:
    """Interfaces that a test adds speak IPv6 as well, where this machine does."""
    keys = [f"net.ipv6.conf.{which}.disable_ipv6" for which in ("all", "default")]
    return [f"--sysctl={key}=0" for key in keys] if Path("/proc/net/if_inet6").exists() else []


def make_key() -> None:
    need("openssh-client", "ssh", "ssh-keygen")
    with locked("ssh"):
        if not KEY.exists():
            KEY.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "groundcrew test servers", "-f", str(KEY))


def _wait_for_systemd(box: str) -> None:
    deadline = time.monotonic() + 90
    while (state := docker("exec", box, "systemctl", "is-system-running", check=False).strip()) != "running":
        if state == "degraded":
            failed = docker("exec", box, "systemctl", "--failed", "--plain", "--no-legend", check=False)
            note(f"{box} booted, but these units failed:\n{failed}")
            return
        if time.monotonic() > deadline:
            raise TestbedError(f"{box} did not boot ({state or 'no answer'}):\n{docker('logs', box, check=False)}")
        time.sleep(0.2)


def _published(state: dict[str, Any]) -> dict[int, tuple[str, int]]:
    bindings = state["NetworkSettings"]["Ports"] or {}
    return {
        int(guest.split("/")[0]): (hosts[0]["HostIp"], int(hosts[0]["HostPort"]))
        for guest, hosts in bindings.items()
        if hosts
    }


def write_access(name: str, at: tuple[str, int], host_key: str) -> None:
    """The inventory and the SSH configuration, with the host key as the server has it rather than trusted at first."""
    here, (address, port) = folder(name), at
    write(here / "known_hosts", f"[{address}]:{port} {' '.join(host_key.split()[:2])}\n")
    write(
        here / "ssh_config",
        f"Host {name}\n"
        f"  HostName {address}\n"
        f"  Port {port}\n"
        "  User root\n"
        f"  IdentityFile {KEY}\n"
        "  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {here}/known_hosts\n"
        "  StrictHostKeyChecking yes\n",
    )
    write(
        here / "hosts.yml",
        "all:\n"
        "  hosts:\n"
        f"    {name}:\n"
        f"      ansible_host: {address}\n"
        f"      ansible_port: {port}\n"
        "      ansible_user: root\n"
        "      ansible_python_interpreter: /usr/bin/python3\n"
        f"      ansible_ssh_private_key_file: {KEY}\n"
        f"      ansible_ssh_common_args: -o IdentitiesOnly=yes -o UserKnownHostsFile={here}/known_hosts\n",
    )


def login(name: str) -> str:
    """Who gets in by SSH: root, until the collection has made another one and closed the door to him."""
    config = folder(name) / "ssh_config"
    for user in ("root", "admin"):
        if succeeds("ssh", "-F", str(config), "-o", "ConnectTimeout=10", "-l", user, name, "true"):
            return user
    raise TestbedError(f"{name} does not answer over SSH; try: ssh -F {config} {name}")
