"""Last of all, because it takes the server away for a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from visitor import Visitor

# Seconds that a server may take to come back; in a container it takes five.
PATIENCE = 90


def wait_for(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        # Both are a server that does not answer: testinfra says RuntimeError when ssh does not get through.
        with suppress(OSError, RuntimeError):
            if condition():
                return
        time.sleep(0.5)
    raise AssertionError(f"not within {PATIENCE} s: {what}")


def answers(visitor: Visitor, url: str) -> bool:
    return visitor.get(url, timeout=5).status == 200


def test_the_site_is_back_after_a_restart_of_the_server(host: Any, visitor: Visitor) -> None:
    # A container keeps its machine's boot id, so it is asked when its systemd began.
    started = "systemctl show --property=UserspaceTimestampMonotonic"
    before = host.check_output(started)
    # In a moment, so that the answer still gets out.
    host.check_output("systemd-run --on-active=1 --timer-property=AccuracySec=100ms systemctl reboot")

    def restarted() -> bool:
        now = host.run(started)
        return now.rc == 0 and now.stdout.strip() != before

    wait_for(restarted, "the restart")
    for app in ("guestbook", "live"):
        url = f"https://{app}.{host.backend.get_hostname()}.test/database/"
        wait_for(partial(answers, visitor, url), url)
