"""What Lynis, Debian's package, says of a server."""

from __future__ import annotations

import re
from typing import Any


def audit(host: Any) -> tuple[int, str]:
    """The hardening index, and what it would take to raise it."""
    host.check_output(
        "command -v lynis || DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends lynis"
    )
    host.check_output("lynis audit system --quick --no-colors >/root/lynis.txt 2>&1")
    report = host.file("/var/log/lynis-report.dat").content_string
    (index,) = re.findall(r"^hardening_index=(\d+)$", report, re.M)
    return int(index), "\n".join(re.findall(r"^(?:warning|suggestion)\[\]=([^|]+\|[^|]+)", report, re.M))
