"""Virtual machines with a kernel of their own, emulated in software: slow, and everywhere the same."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from testbed import engine, image, server
from testbed.engine import docker
from testbed.system import CACHE, TestbedError, need, note, run, succeeds

# MB of memory, what a small server has; the disk takes only what is written to it.
MEMORY = 2048
DISK = "8G"
# Seconds until SSH answers; a boot takes about half a minute where nothing else is at work.
PATIENCE = 300


def up(name: str, distro: str) -> Path:
    """Boot a machine, or start it again; returns its inventory."""
    server.container(name)  # refuses what cannot be a name
    need("qemu-system-x86", "qemu-system-x86_64")
    need("e2fsprogs", "mke2fs")
    here = server.folder(name)
    if not (here / "disk").exists():
        _make_disk(name, distro)
    if not _pid(name):
        _start(name)
    _wait_for_ssh(name)
    return here / "hosts.yml"


def exists(name: str) -> bool:
    return name in names()


def names() -> list[str]:
    """Every machine that there is, whether it runs or not."""
    return sorted(disk.parent.name for disk in server.folder("any").parent.glob("*/disk"))


def down(name: str) -> None:
    """Remove a machine and its disk."""
    if pid := _pid(name):
        os.kill(pid, signal.SIGTERM)
        while _pid(name):
            time.sleep(0.1)
    shutil.rmtree(server.folder(name), ignore_errors=True)


def _make_disk(name: str, distro: str) -> None:
    engine.ensure()
    server.make_key()
    tag = image.vm(distro)
    note(f"making the disk of {name}")
    here = server.folder(name)
    here.mkdir(parents=True, exist_ok=True)
    with _files_of(tag) as root:
        # By it, systemd and Ansible would take the machine for a container.
        (root / ".dockerenv").unlink(missing_ok=True)
        (root / "etc/hostname").write_text(f"{name}\n")
        (root / "etc/hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {name}\n")
        (root / "etc/resolv.conf").write_text("nameserver 10.0.2.3\n")
        keys = root / "root/.ssh"
        keys.mkdir(mode=0o700, exist_ok=True)
        shutil.copyfile(f"{server.KEY}.pub", keys / "authorized_keys")
        run("ssh-keygen", "-q", "-A", "-f", str(root))
        shutil.copyfile(root / "etc/ssh/ssh_host_ed25519_key.pub", here / "host_key.pub")
        for kind in ("vmlinuz", "initrd.img"):
            shutil.copyfile(next((root / "boot").glob(f"{kind}-*")), here / kind)
        run("mke2fs", "-q", "-t", "ext4", "-d", str(root), str(here / "disk.new"), DISK)
    (here / "disk.new").rename(here / "disk")


@contextmanager
def _files_of(tag: str) -> Iterator[Path]:
    """What an image holds, in a directory."""
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        box = docker("create", tag).strip()
        try:
            with subprocess.Popen(["docker", "export", box], stdout=subprocess.PIPE) as export:
                subprocess.run(
                    ["tar", "--extract", "--numeric-owner", "--directory", folder], stdin=export.stdout, check=True
                )
        finally:
            docker("rm", box)
        yield Path(folder)


def _start(name: str) -> None:
    here = server.folder(name)
    address = server.address_for(name, [*server.PORTS.values()])
    (here / "address").write_text(address)
    forwards = ",".join(f"hostfwd=tcp:{address}:{host}-:{guest}" for guest, host in server.PORTS.items())
    run(
        *("qemu-system-x86_64", "-daemonize", "-pidfile", str(here / "pid"), "-display", "none"),
        *("-machine", "q35", "-cpu", "max", "-accel", "tcg,thread=multi", "-smp", "2", "-m", str(MEMORY)),
        *("-kernel", str(here / "vmlinuz"), "-initrd", str(here / "initrd.img")),
        *("-append", "root=/dev/vda rw console=ttyS0 quiet"),
        *("-serial", f"file:{here}/console"),
        *("-drive", f"file={here}/disk,format=raw,if=virtio,cache=unsafe"),
        *("-nic", f"user,model=virtio-net-pci,{forwards}"),
    )
    host_key = (here / "host_key.pub").read_text()
    server.write_access(name, (address, server.PORTS[22]), host_key)


def _wait_for_ssh(name: str) -> None:
    config = server.folder(name) / "ssh_config"
    end = time.monotonic() + PATIENCE
    while not succeeds("ssh", "-F", str(config), "-o", "ConnectTimeout=10", name, "systemctl is-system-running --wait"):
        if not _pid(name) or time.monotonic() > end:
            console = server.folder(name) / "console"
            raise TestbedError(f"{name} did not boot; what it said is in {console}")
        time.sleep(1)


def _pid(name: str) -> int:
    """Process id of a machine that runs, or 0."""
    with suppress(OSError, ValueError):
        pid = int((server.folder(name) / "pid").read_text())
        if "qemu" in Path(f"/proc/{pid}/cmdline").read_text():
            return pid
    return 0
