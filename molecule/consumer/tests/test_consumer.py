"""What the stranger has then: the collection as it is shipped, and a Redis that only their service gets into."""

from __future__ import annotations

from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
INSTALLED = ROOT / ".cache" / "consumer" / "collections" / "ansible_collections" / "groundcrew" / "django"


def test_what_was_built_is_what_ran() -> None:
    assert (INSTALLED / "MANIFEST.json").is_file()
    assert not [name for name in ("tests", "molecule", "tools", "Makefile") if (INSTALLED / name).exists()]


def test_the_service_gets_in_and_nobody_else(host: Any) -> None:
    command = "REDISCLI_AUTH=%s redis-cli --user weather -p 6379 SET forecast rain 2>&1"
    assert host.check_output(command.replace("%s", "$(cat /etc/weather/redis_password)")) == "OK"
    assert "WRONGPASS" in host.run(command.replace("%s", "guess")).stdout
    assert "NOAUTH" in host.run("redis-cli -p 6379 GET forecast").stdout
