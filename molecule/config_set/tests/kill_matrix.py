"""Runs on a server, as root: kills a call at each of its effects, in turn, and looks at what is left.

Prints a line of JSON per kill. The module's own code is used, with a System that kills its process.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible_collections.groundcrew.django.plugins.module_utils._config_set import Entry, Wanted, WantedFile, WantedUnit
from ansible_collections.groundcrew.django.plugins.module_utils._config_set_apply import converge, recover
from ansible_collections.groundcrew.django.plugins.module_utils._config_set_system import Result, System, temporary

SITE, PAGE, URL = "/etc/nginx/sites-enabled/matrix.conf", "/srv/matrix/page", "http://127.0.0.1:8090/"


class DyingSystem(System):
    """Dies as SIGKILL has it, before an effect or, when that is a file being written, half way through it."""

    def __init__(self, dies_at: int) -> None:
        super().__init__()
        self.left = dies_at
        self.process = os.getpid()

    def effect(self, path: str = "") -> None:
        if os.getpid() != self.process:
            return  # in the child that stages
        self.left -= 1
        if self.left == 0:
            if path:
                Path(temporary(path)).write_text("half a fi")
            os.kill(os.getpid(), signal.SIGKILL)

    def prepare(self, path: str, entry: Entry) -> None:
        if entry.kind != "absent":
            self.effect()
        if entry.kind == "file":
            self.effect(path)
        super().prepare(path, entry)

    def commit(self, path: str, entry: Entry) -> None:
        if entry.kind != "directory":
            self.effect()
        super().commit(path, entry)

    def run(self, argv: Sequence[str], *arguments: object, **options: object) -> Result:
        if argv[1:2] != ["show"]:
            self.effect()
        return super().run(argv, *arguments, **options)  # type: ignore[arg-type]


def site(word: str) -> Wanted:
    """A site whose two files have to agree."""
    root: dict[str, Any] = {"owner": "root", "group": "root"}
    conf = f"server {{ listen 8090; add_header Word {word}; root /srv/matrix; index page; location / {{ try_files $uri /page; }} }}\n"
    return Wanted(
        "matrix",
        directories=(WantedFile("/srv/matrix", Entry("directory", mode=0o755, **root)),),
        files=(
            WantedFile(SITE, Entry("file", conf.encode(), mode=0o644, **root)),
            WantedFile(PAGE, Entry("file", word.encode(), mode=0o644, **root)),
        ),
        validate=(("nginx", "-t"),),
        units=(WantedUnit("nginx.service", "started", True, "reload", confirm="new_workers"),),
    )


def standing() -> str:
    return "new" if "Word new" in Path(SITE).read_text() and Path(PAGE).read_text() == "new" else (
        "old" if "Word old" in Path(SITE).read_text() and Path(PAGE).read_text() == "old" else "mixture"
    )  # fmt: skip


def served() -> list[str]:
    with urllib.request.urlopen(URL, timeout=5) as answer:
        return [answer.headers["Word"], answer.read().decode()]


def settled(word: str) -> bool:
    """Whether nginx serves a word; an old worker may have taken the first request."""
    deadline = time.monotonic() + 3
    while served() != [word, word]:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def die(at: int) -> bool:
    """Whether a call died at its effect number `at`; it has fewer otherwise."""
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            converge(DyingSystem(at), site("new"), check_mode=False)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def main() -> None:
    real = System()
    converge(real, site("old"), check_mode=False)
    at = 1
    while die(at):
        line: dict[str, object] = {"at": at, "answers": served()[0] in ("old", "new")}
        predicted = converge(real, site("new"), check_mode=True).recovered
        recovered = recover(real, "matrix", check_mode=False)
        line["predicted"] = predicted["outcome"] if predicted else ""
        line["found"], line["outcome"] = (recovered["found"], recovered["outcome"]) if recovered else ("", "")
        line["stands"] = standing()
        line["live"] = settled(standing())
        line["next"] = converge(real, site("new"), check_mode=False).plan.changed
        line["completed"] = standing() == "new" and settled("new")
        line["again"] = converge(real, site("new"), check_mode=False).plan.changed
        line["litter"] = [
            *Path(real.pending).iterdir(),
            *Path(SITE).parent.glob(".*"),
            *Path(PAGE).parent.glob(".*"),
        ] != []
        sys.stdout.write(f"{json.dumps(line)}\n")
        sys.stdout.flush()
        converge(real, site("old"), check_mode=False)
        at += 1


if __name__ == "__main__":
    main()
