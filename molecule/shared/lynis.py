"""What Lynis, Debian's package, says of a server."""

from __future__ import annotations

import re
from typing import Any

# What is not asked, because the answer would be no measure.
SKIPPED = {
    "USB-3000": "USBGuard, eight points for what on a server locks out the keyboard of who comes to its rescue",
    "DBS-1884": "requirepass, which Redis ignores beside an ACL; every user has a password there",
    "DBS-1886": "renamed commands, where the ACL says which user may give which",
}


def audit(host: Any) -> tuple[int, str]:
    """The hardening index, and what it would take to raise it."""
    host.check_output(
        "command -v lynis || DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends lynis"
    )
    profile = "".join(f"skip-test={test}\n" for test in SKIPPED)
    host.check_output("printf %s > /etc/lynis/custom.prf", profile)
    host.check_output("lynis audit system --quick --no-colors >/root/lynis.txt 2>&1")
    report = host.file("/var/log/lynis-report.dat").content_string
    (index,) = re.findall(r"^hardening_index=(\d+)$", report, re.M)
    return int(index), "\n".join(re.findall(r"^(?:warning|suggestion)\[\]=([^|]+\|[^|]+)", report, re.M))
