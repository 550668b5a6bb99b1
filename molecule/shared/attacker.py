"""Somebody from elsewhere, who comes again and again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from again import wait


class Attacker:
    """Has addresses of his own: a network namespace that is connected to the server by a cable."""

    def __init__(self, host: Any, number: int, ipv6: bool) -> None:
        self.host = host
        self.name = f"attacker{number}"
        self.cable = f"veth{number}"
        prefix, size = (f"2001:db8:{number}::", 64) if ipv6 else (f"198.51.{number}.", 24)
        self.server, self.address = f"{prefix}1", f"{prefix}2"
        # An address of IPv6 can be used at once only where nobody asks whether it is taken.
        options = "nodad" if ipv6 else ""
        host.check_output(
            f"systemd-run --quiet --unit={self.name} --property=PrivateNetwork=yes sleep infinity; sleep 1; "
            f"ip link add {self.cable} type veth peer name eth9 netns {self._process()}; ip link set {self.cable} up"
        )
        host.check_output(f"ip address add {self.server}/{size} dev {self.cable} {options}")
        self.run(f"ip link set eth9 up; ip address add {self.address}/{size} dev eth9 {options}")

    def _process(self) -> str:
        return f"$(systemctl show --value --property=MainPID {self.name})"

    def run(self, *argv: str) -> Any:
        """Run a program where he is; a single word is a script of the shell."""
        words = shlex.join(argv if len(argv) > 1 else ["sh", "-c", *argv])
        # Never 255, which testinfra takes for a connection of its own that failed.
        return self.host.run(f"nsenter --net --target {self._process()} {words} || exit 1")

    def reaches(self, port: int) -> bool:
        """Whether he gets a connection, and of sshd also its first word."""
        wanted = 1 if port == 22 else 0
        code = (
            f"import socket; connection = socket.create_connection(('{self.server}', {port}), timeout=2); "
            # The kernel answers at once, sshd of an emulated machine takes its time.
            f"connection.settimeout(30); connection.recv({wanted})"
        )
        return bool(self.run("python3", "-c", code).rc == 0)

    def log_in(self) -> None:
        options = "-o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ConnectTimeout=5"
        self.run(f"ssh {options} nobody-we-know@{self.server} true")

    def ask(self, path: str, method: str = "GET") -> int:
        """The status with which a site of the server answers, by its name and over TLS; 0 where there is no answer."""
        site = self.host.check_output("nginx -T 2>/dev/null | grep -om1 'server_name [^ ;]*test' | cut -d' ' -f2")
        code = (
            "import http.client, socket, ssl; "
            f"site = http.client.HTTPSConnection('{site}', context=ssl._create_unverified_context()); "
            f"site._create_connection = lambda *_: socket.create_connection(('{self.server}', 443), timeout=20); "
            f"site.request('{method}', '{path}'); print(site.getresponse().status)"
        )
        return int(self.run("python3", "-c", code).stdout or 0)

    def banned(self, jail: str) -> bool:
        """Whether he is shut out; fail2ban says so a moment before the kernel knows."""
        known = str(self.host.check_output(f"fail2ban-client get {jail} banip")).split()
        return self.address in known and self.address in self.host.run("nft list table inet f2b-table").stdout

    def leave(self) -> None:
        self.host.run(f"systemctl stop {self.name}; ip link delete {self.cable}; fail2ban-client unban {self.address}")


@pytest.fixture(params=[False, True], ids=["ipv4", "ipv6"])
def attacker(host: Any, request: pytest.FixtureRequest) -> Iterator[Attacker]:
    """One with an IPv4 address, and one with an IPv6 address where the server knows what that is."""
    if request.param and host.file("/proc/sys/net/ipv6/conf/default/disable_ipv6").content_string.strip() != "0":
        pytest.skip("this container engine gives its containers no IPv6; see the scenario `machine`")
    host.check_output("command -v ssh >/dev/null || apt-get install -qq --no-install-recommends openssh-client")
    assert wait(lambda: host.run("fail2ban-client ping").rc == 0)
    attacker = Attacker(host, 10 + abs(hash(request.node.name)) % 200, request.param)
    yield attacker
    attacker.leave()
