# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a script of ours in a project's own Python, and hears what it reports. PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import json
import os
import typing as t
import uuid

# A report is some kilobytes; whatever is larger is not ours, and root does not read it.
LARGEST_REPORT = 8 * 1024 * 1024

# What every such script begins with. It runs in the project's Python (3.8 or later), so it imports nothing of the
# collection. It goes through the project's manage.py, because that is where projects extend sys.path, read .env files
# and install django-configurations.
PRELUDE = r'''
import json
import os
import re
import runpy
import sys
import traceback

REQUEST = json.loads(sys.argv[1])
ROOT = os.path.realpath(REQUEST["code"]) + os.sep
REPORT = {"stage": "manage", "error": None}


class Done(BaseException):
    """Leaves manage.py behind; no "except Exception" of a project's holds it."""


def inside(path):
    if not path or not os.path.isabs(path):
        return None
    path = os.path.realpath(path)
    return path[len(ROOT):] if path.startswith(ROOT) and "site-packages" not in path else None


# --- nothing secret leaves this process ----------------------------------------------------------------------------
SECRET = re.compile(r"key|secret|pass|pwd|token|dsn|cred|private|salt|pepper|_url$|^url$", re.I)


def masked(text, most=2000):
    text = re.sub(r"://[^/@\s'\"]*:[^@\s'\"]*@", "://***@", str(text))
    for name, value in os.environ.items():
        if len(value) >= 6 and SECRET.search(name) and not value.startswith("/"):
            text = text.replace(value, "***")
    return text[:most]


def failed(error):
    frames = []
    for frame, line in traceback.walk_tb(error.__traceback__):
        path = inside(frame.f_code.co_filename)
        if path:
            frames.append({"path": path, "line": line})
    if isinstance(error, SyntaxError) and inside(error.filename):
        frames.append({"path": inside(error.filename), "line": error.lineno})
    missing = getattr(error, "name", None) if isinstance(error, ModuleNotFoundError) else None
    REPORT["error"] = {"type": type(error).__name__, "message": masked(error), "frames": frames[-5:], "module": missing}


def through_manage(look):
    """Call look() where the project's manage.py would come to Django's command line; it ends with "raise Done"."""
    REPORT["python"] = "%d.%d.%d" % sys.version_info[:3]
    manage = os.path.join(os.getcwd(), "manage.py")
    sys.path[0:1] = [os.getcwd(), REQUEST["beside"]]
    # Some settings look at the command.
    sys.argv = [manage, REQUEST["command"]]
    if REQUEST["module"]:
        os.environ["DJANGO_SETTINGS_MODULE"] = REQUEST["module"]
    try:
        import django.core.management as management

        plain = management.execute_from_command_line, management.ManagementUtility.execute

        def arrived(*_args, **_kwargs):
            management.execute_from_command_line, management.ManagementUtility.execute = plain
            look()

        management.execute_from_command_line = arrived
        management.ManagementUtility.execute = arrived
        if os.path.exists(manage):
            runpy.run_path(manage, run_name="__main__")
        # A manage.py that never came to Django's command line (or none at all).
        arrived()
    except Done:
        pass
    except BaseException as error:
        failed(error)


def tell():
    """Write the report, and end."""
    with open(REQUEST["report"], "w", encoding="utf-8") as stream:
        json.dump(REPORT, stream)
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads that settings or apps have started must not keep the step waiting.
    os._exit(0)
'''


def report_file(scratch: str) -> str:
    """A name for a report in a directory that the app's user may write."""
    return os.path.join(scratch, f"probe-{uuid.uuid4().hex}.json")


def read_report(path: str) -> dict[str, t.Any] | None:
    """The report at ``path``, which goes; none when it was not written.

    The app's user writes it and root reads it, so a link, something huge and something strange are refused.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as stream:
        data = stream.read(LARGEST_REPORT + 1)
    with contextlib.suppress(OSError):
        os.unlink(path)
    try:
        report = json.loads(data) if len(data) <= LARGEST_REPORT else None
    except ValueError:
        return None
    return report if isinstance(report, dict) else None
