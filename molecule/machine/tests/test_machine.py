"""What needs a kernel, a disk, a clock and a boot of one's own."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lynis
import pytest
from again import play, restart
from jobs import Jobs
from testbed import server

# The server itself, without its sites: a run of all takes minutes here.
HOST = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"], "molecule/hardening/host.yml")
SWAP = "/var/lib/groundcrew/swapfile"
# What an index of Lynis is at least.
INDEX = 85


@pytest.fixture(scope="module")
def jobs(host: Any) -> Jobs:
    return Jobs(host.backend.get_hostname())


def test_the_kernel_is_set(host: Any) -> None:
    wanted = re.findall(r"^-(\S+) = (.*)$", host.file("/etc/sysctl.d/99-server-groundcrew.conf").content_string, re.M)
    assert len(wanted) > 35
    found = host.check_output(f"sysctl {' '.join(key for key, _ in wanted)}")
    assert found.splitlines() == [f"{key} = {value}" for key, value in wanted]


def test_there_is_swap(host: Any) -> None:
    assert SWAP in host.file("/proc/swaps").content_string
    assert host.file(SWAP).mode == 0o600


def test_swap_that_is_switched_off_leaves_no_trace(host: Any) -> None:
    play(host, HOST, host_swap=False)
    try:
        assert SWAP not in host.file("/proc/swaps").content_string
        assert not host.file(SWAP).exists
    finally:
        play(host, HOST)
    assert SWAP in host.file("/proc/swaps").content_string


def test_sandboxes_hold_with_a_kernel_of_their_own(host: Any, jobs: Jobs) -> None:
    assert not host.run("systemctl list-units --failed --plain --no-legend").stdout
    exposures = jobs.security()
    assert len(exposures) > 5
    assert max(exposures.values()) <= 2.0


def test_lynis(host: Any) -> None:
    index, wishes = lynis.audit(host)
    assert index >= INDEX, f"{index}\n{wishes}"


@pytest.fixture
def clock() -> Iterator[str]:
    """The address of a server of time."""
    server.up("machine-clock")
    install = "apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends"
    server.root("machine-clock", f"{install} chrony >/dev/null 2>&1; systemctl stop chrony")
    # The clock is this machine's, and is not touched.
    server.root("machine-clock", "systemd-run --quiet chronyd -d -x 'local stratum 3' 'allow all'")
    yield server.address("machine-clock")
    server.down("machine-clock")


def test_the_clock_is_kept(host: Any, jobs: Jobs, clock: str) -> None:
    play(host, HOST, host_time_servers=[clock])
    right = "timedatectl show --property=NTPSynchronized --value"
    jobs.wait_for(lambda: jobs.root(right) == "yes")
    # What a suspended or restored machine has.
    wrong = jobs.root("date --set='2 hours ago' +%s; systemctl restart systemd-timesyncd")
    assert time.time() - int(wrong) > 7000
    jobs.wait_for(lambda: abs(time.time() - int(jobs.root("date +%s"))) < 60)


def test_the_window_restarts_the_server_for_an_update(jobs: Jobs) -> None:
    jobs.root("echo linux-image-cloud-amd64 >/run/reboot-required.pkgs; touch /run/reboot-required")
    restart(jobs.name, "systemctl start --no-block groundcrew-reboot.service")
    jobs.wait_for(lambda: jobs.root("systemctl is-system-running --wait", check=False) == "running")
    assert jobs.visitor.get(f"{jobs.url}/").status == 200
    jobs.wait_for(lambda: len(jobs.workers()) == 5)
    state = json.loads(jobs.root("cat /var/lib/groundcrew/reboot.json"))
    assert state["window"]["did"] == "reboot"
    assert (state["health"]["healthy"], state["health"]["problems"]) == (True, [])
    # What was set before the restart holds after it.
    assert jobs.root("sysctl --values kernel.kptr_restrict vm.swappiness") == "2\n10"
    assert "swapfile" in jobs.root("cat /proc/swaps")
    assert "policy drop" in jobs.root("nft list table inet groundcrew")
    assert jobs.root("fail2ban-client ping") == "Server replied: pong"
    # The next window finds no reason to do it again.
    boot = state["health"]["boot"]
    jobs.root("systemctl start groundcrew-reboot.service")
    assert json.loads(jobs.root("cat /var/lib/groundcrew/reboot.json"))["window"]["did"] in ("nothing", "restart")
    assert jobs.root("cat /proc/sys/kernel/random/boot_id") == boot
