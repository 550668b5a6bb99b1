"""Last of all, because it takes the server away for a while."""

from __future__ import annotations

import time
from typing import Any

from visitor import Visitor

# Seconds that a server may take to come back; in a container it takes five.
PATIENCE = 90


def test_the_site_is_back_after_a_restart_of_the_server(host: Any, visitor: Visitor) -> None:
    before = host.check_output(
        "cat /proc/sys/kernel/random/boot_id; systemctl show --property=UserspaceTimestampMonotonic"
    )
    host.run("systemd-run --on-active=1 systemctl reboot")
    time.sleep(5)
    for app in ("guestbook", "live"):
        url = f"https://{app}.{host.backend.get_hostname()}.test/database/"
        end = time.monotonic() + PATIENCE
        status = 0
        while status != 200 and time.monotonic() < end:
            try:
                status = visitor.get(url, timeout=5).status
            except OSError:
                time.sleep(1)
        assert status == 200, url
    after = host.check_output(
        "cat /proc/sys/kernel/random/boot_id; systemctl show --property=UserspaceTimestampMonotonic"
    )
    assert after != before
    assert host.run("systemctl is-system-running").stdout.strip() in ("running", "degraded")
