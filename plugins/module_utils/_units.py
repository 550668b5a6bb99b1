# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What systemd is told about an app's processes. Pure. PRIVATE to the collection: may change at any time."""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Mapping, Sequence

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


@dataclasses.dataclass(frozen=True)
class Server:
    """How an app server is started, told its socket, and watched.

    :param module: run as ``python -m module``, so that no script's first line has to hold a path.
    :param notifies: the server tells systemd by itself when it is ready (``Type=notify``).
    :param arguments: from tuning to arguments; systemd hands the listening socket over as descriptor 3.
    """

    module: str
    notifies: bool
    arguments: t.Callable[[Mapping[str, t.Any]], list[str]]


def _gunicorn(tuning: Mapping[str, t.Any]) -> list[str]:
    arguments = [
        f"--workers={tuning['workers']}",
        f"--threads={tuning['threads']}",
        f"--timeout={tuning['timeout']}",
        f"--graceful-timeout={tuning['timeout']}",
        # The heartbeat file of a worker must not wait for a disk.
        "--worker-tmp-dir=/dev/shm",
        "--access-logfile=-" if tuning.get("access_log") else "--log-level=info",
    ]
    if tuning.get("control_socket"):
        # Its control socket (gunicorn 24 and later) would need a writable home that the sandbox does not give.
        arguments.append("--no-control-socket")
    return arguments


def _uvicorn(tuning: Mapping[str, t.Any]) -> list[str]:
    return [
        "--fd=3",
        f"--workers={tuning['workers']}",
        f"--timeout-graceful-shutdown={tuning['timeout']}",
        # Our entry point sets the visitor's address; two layers would undo each other.
        "--no-proxy-headers",
        "--no-server-header",
        "--no-access-log",
    ]


SERVERS: dict[str, Server] = {
    "gunicorn": Server("gunicorn", True, _gunicorn),
    "uvicorn": Server("uvicorn", False, _uvicorn),
}


def workers(tuning: Mapping[str, t.Any], cpus: int, memory: float) -> dict[str, int]:
    """Worker processes by kind of app server: as many as the app's description says, or the server has room for.

    gunicorn's own advice is two per core and one more; a uvicorn worker keeps one core busy by itself.

    :param tuning: ``workers``, ``memory_share`` (of the server's memory that this app's workers may count on) and
        ``worker_memory`` (MB that one takes).
    :param memory: of the server, in MB.
    """
    affordable = max(1, int(memory * tuning["memory_share"] / tuning["worker_memory"]))
    by_cores = {"gunicorn": 2 * cpus + 1, "uvicorn": cpus}
    return {kind: tuning["workers"] or min(number, affordable) for kind, number in by_cores.items()}


def start_command(kind: str, python: str, entry: str, tuning: Mapping[str, t.Any]) -> list[str]:
    """The argv that starts the app server ``kind`` with ``entry`` ("module:callable")."""
    server = SERVERS[kind]
    return [python, "-m", server.module, *server.arguments(tuning), entry]


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
    user: str,
    kind: str,
    command: Sequence[str],
    directory: str,
    environment_file: str,
    environment: Mapping[str, str],
    writable: Sequence[str],
    tuning: Mapping[str, t.Any],
) -> str:
    """The drop-in that makes ``<app>-web@<id>.service`` this release and no other.

    Everything that decides how a release runs stands in its own drop-in, so that a crash restarts a release as it
    went live, whatever has been configured since.

    :param tuning: what server.json of the app says: workers, threads, timeout (s), memory_high, memory_max,
        tasks_max, memory_deny_write_execute, writable_paths.
    """
    service: dict[str, str] = {
        "Type": "notify" if SERVERS[kind].notifies else "exec",
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
        "MemoryHigh": str(tuning.get("memory_high", "")),
        "MemoryMax": str(tuning.get("memory_max", "")),
        "TasksMax": str(tuning.get("tasks_max", "")),
        "ReadWritePaths": " ".join(map(quote, writable)),
    }
    return WRITTEN + service_section(service, environment, tuning)


# The first line of every drop-in.
WRITTEN = "# Written by groundcrew.django at the deploy of this release; it is never edited afterwards.\n"


def service_section(service: Mapping[str, str], environment: Mapping[str, str], tuning: Mapping[str, t.Any]) -> str:
    """A ``[Service]`` section with the sandbox of everything that serves; settings without a value are left out."""
    sandbox = dict(SERVICE_SANDBOX)
    if not tuning.get("memory_deny_write_execute", True):
        del sandbox["MemoryDenyWriteExecute"]
    lines = ["[Service]"]
    lines += [f"{key}={value}" for key, value in service.items() if value]
    lines += [f"Environment={quote(f'{key}={value}')}" for key, value in sorted(environment.items())]
    lines += [f"{key}={value}" for key, value in sandbox.items()]
    return "\n".join(lines) + "\n"
