"""What there is of an app on this server, as JSON: python3 observe.py NAME"""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import subprocess
import sys

name = sys.argv[1]


def listed(directory: str) -> list[str]:
    return sorted(os.listdir(directory)) if os.path.isdir(directory) else []


def front_page() -> tuple[int, str]:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection = http.client.HTTPSConnection(f"{name}.example.com", context=context)
    connection.sock = context.wrap_socket(socket.create_connection(("127.0.0.1", 443)), server_hostname=connection.host)
    connection.request("GET", "/")
    answer = connection.getresponse()
    return answer.status, answer.read(300).decode()


def units() -> list[str]:
    argv = ["systemctl", "list-units", "--all", "--plain", "--no-legend", f"{name}-web@*", f"{name}-step-*"]
    lines = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
    # A release that was replaced is left its last visitors for some seconds.
    return sorted(line.split()[0] for line in lines)


status, page = front_page()
current = f"/srv/{name}/current"
seen = {
    "current": os.readlink(current) if os.path.islink(current) else "",
    "releases": listed(f"/srv/{name}/releases"),
    "environments": [file for file in listed(f"/etc/groundcrew/{name}") if file.endswith(".env")],
    "dropins": [file for file in listed("/etc/systemd/system") if file.startswith(f"{name}-web@2")],
    "units": units(),
    "status": status,
    "page": page,
}
json.dump(seen, sys.stdout)
