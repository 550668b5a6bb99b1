# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What systemd is told about an app's processes. Pure. PRIVATE to the collection: may change at any time."""

from __future__ import annotations

import os
import typing as t
from collections.abc import Mapping, Sequence

from ansible_collections.groundcrew.django.plugins.module_utils._servers import SERVERS

# Holds for everything that runs with an app's code, build steps included. systemd.exec(5) explains each.
STEP_SANDBOX: dict[str, str] = {
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "ProtectClock": "yes",
    "ProtectHostname": "yes",
    "ProtectKernelLogs": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectControlGroups": "yes",
    "ProtectProc": "invisible",
    "RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6",
    "RestrictNamespaces": "yes",
    "RestrictRealtime": "yes",
    "RestrictSUIDSGID": "yes",
    "LockPersonality": "yes",
    "SystemCallArchitectures": "native",
    "SystemCallFilter": "@system-service",
    "SystemCallErrorNumber": "EPERM",
    "KeyringMode": "private",
    "UMask": "0027",
}

# A serving process needs less than a build: no compiler, no JIT of node's, no look at the machine.
SERVICE_SANDBOX: dict[str, str] = {
    **STEP_SANDBOX,
    "CapabilityBoundingSet": "",
    "AmbientCapabilities": "",
    "ProcSubset": "pid",
    "PrivateUsers": "yes",
    "RemoveIPC": "yes",
    "MemoryDenyWriteExecute": "yes",
    # One line may not both allow and deny; the second line takes away from the first.
    "SystemCallFilter": "@system-service\nSystemCallFilter=~@privileged @resources",
    "DevicePolicy": "closed",
}


# Where systemd lays the files that LoadCredential= brings, for each unit in a directory of its name.
CREDENTIALS = "/run/credentials"

# The first line of every drop-in.
WRITTEN = "# Written by groundcrew.django at the deploy of this release; it is never edited afterwards.\n"


# What one unit may use, by its name in a description; systemd.resource-control(5).
LIMITS = {"memory_high": "MemoryHigh", "memory_max": "MemoryMax", "cpu_weight": "CPUWeight", "tasks_max": "TasksMax"}


def limits(wished: Mapping[str, t.Any], tuning: Mapping[str, t.Any]) -> dict[str, str]:
    """Settings of a unit that limit what it uses.

    :param wished: of the description of the process, by the names of ``LIMITS``.
    :param tuning: what server.json of the app says, which has a default for ``tasks_max``.
    """
    default = {"TasksMax": str(tuning.get("tasks_max", ""))}
    return default | {setting: str(wished[key]) for key, setting in LIMITS.items() if wished[key]}


def quote(text: str, *, variables: bool = False) -> str:
    """One word of a unit file, with none of systemd's specifiers expanded.

    :param variables: the setting would expand ``$NAME`` too, as ``ExecStart=`` does and ``Environment=`` does not.
    """
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    if variables:
        escaped = escaped.replace("$", "$$")
    return f'"{escaped}"'


def release_dropin(
    *,
    app: str,
    unit: str,
    user: str,
    kind: str,
    command: Sequence[str],
    socket: str,
    directory: str,
    environment_file: str,
    environment: Mapping[str, str],
    writable: Sequence[str],
    described: Mapping[str, t.Any],
    tuning: Mapping[str, t.Any],
    credentials: Mapping[str, str] | None = None,
) -> str:
    """The drop-in that makes ``<app>-web@<id>.service`` this release and no other.

    Everything that decides how a release runs stands in its own drop-in, so that a crash restarts a release as it
    went live, whatever has been configured since.

    :param unit: the name of the app's web units, without the release.
    :param socket: path of the release's socket; a server that binds it by itself may write its directory.
    :param described: the app's ``server``, for its limits.
    :param tuning: what server.json of the app says: workers, threads, timeout (s), start_timeout (s), tasks_max,
        memory_deny_write_execute.
    :param credentials: files of secrets by the variables that name them to the process.
    """
    server = SERVERS[kind]
    service: dict[str, str] = {
        "Type": "notify" if server.notifies else "exec",
        # What a server that was killed has left would keep the next from binding.
        "ExecStartPre": f"/bin/rm -f {quote(socket, variables=True)}" if server.binds else "",
        "ExecStart": " ".join(quote(part, variables=True) for part in command),
        # Taken to the end of the line as it is, apart from specifiers.
        "WorkingDirectory": directory.replace("%", "%%"),
        "User": user,
        "Group": user,
        "EnvironmentFile": environment_file,
        "KillMode": "mixed",
        "TimeoutStartSec": str(tuning.get("start_timeout", 60)),
        # Longer than the app server takes to let requests end.
        "TimeoutStopSec": str(int(tuning["timeout"]) + 10),
        "Restart": "always",
        "RestartSec": "1",
        "SyslogIdentifier": f"{app}-web",
        **limits(described, tuning),
        # At the limit of memory the kernel ends one process, and the app server has another.
        "OOMPolicy": "continue",
        "ReadWritePaths": " ".join(map(quote, [*writable, os.path.dirname(socket)] if server.binds else writable)),
    }
    needs = "" if server.binds else f"[Unit]\nRequires={unit}@%i.socket\nAfter={unit}@%i.socket\n"
    return WRITTEN + needs + service_section(service, environment, tuning, credentials or {})


def service_section(
    service: Mapping[str, str],
    environment: Mapping[str, str],
    tuning: Mapping[str, t.Any],
    credentials: Mapping[str, str],
) -> str:
    """A ``[Service]`` section with the sandbox of everything that serves; settings without a value are left out."""
    sandbox = dict(SERVICE_SANDBOX)
    if not tuning.get("memory_deny_write_execute", True):
        del sandbox["MemoryDenyWriteExecute"]
    lines = ["[Service]"]
    lines += [f"{key}={value}" for key, value in service.items() if value]
    lines += [f"Environment={quote(f'{key}={value}')}" for key, value in sorted(environment.items())]
    for name, path in credentials.items():
        lines += [f"LoadCredential={name}:{path}", f'Environment="{name}={CREDENTIALS}/%n/{name}"']
    lines += [f"{key}={value}" for key, value in sandbox.items()]
    return "\n".join(lines) + "\n"
