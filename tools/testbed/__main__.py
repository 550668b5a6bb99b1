"""Command line: python3 tools/testbed --help"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

# Modules of this folder are imported as testbed.x, by other tools too.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from testbed import engine, image, pebble, server, vm
from testbed.system import TestbedError


def main() -> int:
    os.umask(0o022)  # what goes into images is for every user of a server to read
    arguments = _parser().parse_args()
    try:
        return int(arguments.do(arguments) or 0)
    except TestbedError as error:
        print(f"testbed: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tools/testbed", description="Boot Debian servers to test against.")
    verbs = parser.add_subparsers(required=True, metavar="verb")

    verb = verbs.add_parser("up", help="boot a server, or start it again; prints the path of its inventory")
    verb.add_argument("name")
    verb.add_argument("--distro", choices=image.DISTROS, default="bookworm")
    verb.add_argument("--alias", action="append", metavar="DOMAIN", help="a domain by which the test network finds it")
    verb.add_argument("--no-alias", action="store_true", help="take every domain away")
    start = verb.add_mutually_exclusive_group()
    start.add_argument("--installed", action="store_true", help="with the packages of a site instead of a bare server")
    start.add_argument("--vm", action="store_true", help="a virtual machine with a kernel of its own, as --installed")
    verb.set_defaults(do=_up)

    verb = verbs.add_parser("down", help="remove servers")
    verb.add_argument("name", nargs="+")
    verb.set_defaults(do=_down)

    verb = verbs.add_parser("list", help="show this project's servers")
    verb.set_defaults(do=lambda _: print(server.overview()))

    verb = verbs.add_parser("ssh", help="open a shell, or run a command, on a server")
    verb.add_argument("name")
    verb.add_argument("command", nargs=argparse.REMAINDER)
    verb.set_defaults(do=_ssh)

    verb = verbs.add_parser("pebble", help="the ACME test server of the test network")
    verb.add_argument("action", choices=("up", "down"))
    verb.add_argument("--lifetime", type=int, default=pebble.LIFETIME, help="of certificates, in seconds")
    verb.set_defaults(do=_pebble)

    verb = verbs.add_parser("clean", help="remove every server and machine, Pebble and the networks; images stay")
    verb.set_defaults(do=_clean)
    return parser


def _up(arguments: argparse.Namespace) -> None:
    if arguments.vm:
        print(vm.up(arguments.name, arguments.distro))
        return
    aliases = [] if arguments.no_alias else arguments.alias
    print(server.up(arguments.name, arguments.distro, aliases, arguments.installed))


def _down(arguments: argparse.Namespace) -> None:
    for name in arguments.name:
        (vm if vm.exists(name) else server).down(name)


def _ssh(arguments: argparse.Namespace) -> int:
    config = server.folder(arguments.name) / "ssh_config"
    argv = ["ssh", "-F", str(config), "-l", server.login(arguments.name), arguments.name, *arguments.command]
    return subprocess.run(argv, check=False).returncode


def _pebble(arguments: argparse.Namespace) -> None:
    if arguments.action == "down":
        pebble.down()
    else:
        print(pebble.up(arguments.lifetime))


def _clean(_: argparse.Namespace) -> None:
    for box in engine.containers():
        engine.remove(box["Name"].lstrip("/"))
    for name in vm.names():
        vm.down(name)
    for network in (engine.NETWORK, engine.NAMES):
        engine.docker("network", "rm", network, check=False)


sys.exit(main())
