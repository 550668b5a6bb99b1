# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is tried to get into a server, and what is made of its answers. Pure. PRIVATE to the collection."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Iterable, Sequence

# Asked before anything is known of the server but that it has a shell. An image that cloud-init sets up has its package
# lists, users and keys only when that is done.
_SCRIPT = """
if [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; then echo "root yes"; fi
echo "python $(command -v python3)"
if [ -d /run/cloud-init ] && command -v cloud-init >/dev/null; then echo "cloud $(cloud-init status 2>/dev/null)"; fi
keys=/etc/ssh/authorized_keys.d/{user}
[ -f "$keys" ] || keys="/etc/ssh/authorized_keys.d/$(id -un)"
[ -f "$keys" ] || keys="$HOME/.ssh/authorized_keys"
sed 's/^/key /' "$keys" 2>/dev/null
sed -n 's/^AllowUsers /allowed /p' /etc/ssh/sshd_config.d/00-groundcrew.conf 2>/dev/null
true
"""

INSTALL_PYTHON = (
    "export DEBIAN_FRONTEND=noninteractive;"
    " apt-get -q -o DPkg::Lock::Timeout=300 update"
    " && apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends python3 python3-apt"
)

_KEY = re.compile(
    r"(ssh-(ed25519|rsa)|ecdsa-sha2-nistp\d+|sk-(ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com)"
    r" [A-Za-z0-9+/]{16,}=*( .*)?"
)

# With any of these the user does not get in, but somebody else may.
_REFUSED = re.compile(
    r"permission denied|too many authentication failures|connection closed by|connection reset by", re.I
)

_NAME = re.compile(r"[a-z_][a-z0-9_-]*")

Way = tuple["str | None", "int | None"]


@dataclasses.dataclass(frozen=True)
class Server:
    """What a server says of itself.

    :param root: the user is root, or becomes root without being asked for a password.
    :param initialising: cloud-init is at work.
    :param keys: lines that let the user in.
    :param allowed: the users whom sshd lets in, as an earlier run has said; none where it lets in everybody, or where
        that is said in patterns.
    """

    root: bool = False
    python: str = ""
    initialising: bool = False
    keys: Sequence[str] = ()
    allowed: Sequence[str] = ()


def script(user: str) -> str:
    """Asks a server about itself.

    :param user: who administers it once it has been set up. What sshd then takes for his keys is all that counts;
        before that it is what lets in whoever has come.
    """
    return _SCRIPT.replace("{user}", shlex.quote(user))


def ways(present: Way, user: str, port: int | None) -> list[Way]:
    """Users and ports to try, in this order.

    :param present: as the inventory and the command line say; None for what the SSH configuration says.
    :param user: who administers the server once it has been set up, and the only one who gets in then.
    :param port: where sshd listens then.
    """
    users = [user, present[0]] if user else [present[0]]
    ports = [present[1], port] if port else [present[1]]
    # Without a number ssh takes 22, unless its configuration says otherwise.
    if present[1] is None and port == 22:
        ports = [None]
    return list(dict.fromkeys((who, where) for who in users for where in ports))


def read(said: str) -> Server:
    """Make sense of what the script has said."""
    found: dict[str, list[str]] = {"root": [], "python": [], "cloud": [], "key": [], "allowed": []}
    for line in said.replace("\r", "").splitlines():
        kind, _space, rest = line.partition(" ")
        if kind in found and rest.strip():
            found[kind].append(rest.strip())
    allowed = tuple(dict.fromkeys(" ".join(found["allowed"]).split()))
    return Server(
        root=bool(found["root"]),
        python="".join(found["python"][:1]),
        initialising=any("running" in line or "not started" in line or "not run" in line for line in found["cloud"]),
        keys=tuple(dict.fromkeys(found["key"])),
        # Of patterns such as admin@10.0.0.* nobody but sshd knows whom they mean.
        allowed=allowed if all(_NAME.fullmatch(user) for user in allowed) else (),
    )


def is_key(line: str) -> bool:
    """Whether a line of authorized_keys is a public key without conditions.

    Images let root in by such a line only to be told to log in as somebody else.
    """
    return bool(_KEY.fullmatch(line))


def is_refusal_of_user(said: str) -> bool:
    """Whether the server has answered, and only did not like who came."""
    return bool(_REFUSED.search(said))


def host_key_problem(said: str, address: str, port: int | None) -> str:
    """What to do where ssh does not believe that this is the server; empty where that is not the problem."""
    name = f"[{address}]:{port}" if port not in (None, 22) else address
    if "IDENTIFICATION HAS CHANGED" in said:
        file = re.search(r"Offending \S+ key in (\S+?):\d+", said)
        known_hosts = f" -f {file[1]}" if file else ""
        return (
            f"{address} has another host key than it had. If the server was made anew, forget the old one with: "
            f"ssh-keygen{known_hosts} -R '{name}'; if it was not, somebody may be listening: do not go on."
        )
    if "Host key verification failed" in said or "host key is known for" in said:
        where = f" -p {port}" if port not in (None, 22) else ""
        return (
            f"the host key of {address} is not known here. Log in once with: ssh{where} {address}; compare the "
            "fingerprint with the one that the provider shows, and accept it"
        )
    return ""


def no_way_in(address: str, tried: Iterable[tuple[str | None, int | None, str]], me: str) -> str:
    """Every attempt with the reason, and the cure."""
    lines = [f"{who or me or 'you'}, port {port or 22}: {said}" for who, port, said in tried]
    return (
        f"there is no way into {address}. {'; '.join(lines)}. Set ansible_user (and ansible_port) in the inventory to "
        "what the provider tells, give the key with --private-key or the password with --ask-pass, and see with ssh "
        "that it works."
    )
