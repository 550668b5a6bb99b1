# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An app on its server and the files of one release of it. PRIVATE to the collection: may change at any time."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import functools
import glob
import grp
import json
import os
import pathlib
import pwd
import re
import shutil
import subprocess
import traceback
import typing as t
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ansible_collections.groundcrew.django.plugins.module_utils import (
    _background,
    _environment,
    _forwarding,
    _ledger,
    _live,
    _servers,
)
from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.module_utils._runner import (
    Result,
    SandboxRunner,
    credentials_of,
)

# Shorter parts of a secret are ordinary words, and would mask half of what an operator has to read.
SHORTEST_LINE = 12


@dataclasses.dataclass(frozen=True)
class Options:
    """What the operator's side hands in; see the documentation of the module ``release``."""

    secrets: Mapping[str, str] = dataclasses.field(default_factory=dict)
    files: Sequence[Mapping[str, t.Any]] = ()
    archive: Mapping[str, t.Any] | None = None
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    who: str = ""
    why: str = ""
    release: str = ""
    keep: int = 5
    health_timeout: float = 60
    drain_timeout: float = 60
    smoke_test: bool = True
    rollback_migrations: bool = False
    rotate: str = ""
    fallbacks: bool = True


class App:
    """An app on this server: its record, its ledger and its user."""

    def __init__(self, record: Mapping[str, t.Any], carrier: str = "") -> None:
        """
        :param carrier: the unit that carries the operation on the app; empty for one who only looks.
        """
        self.record = record
        self.name: str = record["name"]
        self.paths: Mapping[str, str] = record["paths"]
        self.home = f"{self.paths['state']}/home"
        self.runner = SandboxRunner(self.name, record["user"], self.home, "step" if carrier else "look", carrier)

    @functools.cached_property
    def ledger(self) -> _ledger.Ledger:
        """What has been released here; read when it is first asked for."""
        return _ledger.Ledger(f"{self.paths['state']}/releases.json", released=bool(self.live))

    @property
    def live(self) -> str:
        """Id of the live release; empty before the first."""
        return _live.live_release(self.paths["current"])

    @property
    def writable(self) -> list[str]:
        """What every process of the app may write."""
        return [self.paths["media"], self.paths["data"], self.home, *self.record["sandbox"]["writable_paths"]]

    @property
    def user(self) -> pwd.struct_passwd:
        """The app's user."""
        return pwd.getpwnam(self.record["user"])

    def instance(self, release: str) -> _live.Instance:
        """A release as systemd knows it."""
        return _live.Instance(self.record["units"]["web"], release)

    def prepared(self) -> bool:
        """Whether the roles before the deploy have done their work here."""
        try:
            return bool(self.user) and os.path.isdir(self.paths["releases"]) and os.path.exists(self.tuning_file)
        except KeyError:
            return False

    def prepare(self) -> None:
        """Bring back what the roles have declared and somebody has removed since: the user and its directories."""
        own = [f"--prefix={self.paths[name]}" for name in ("root", "state", "cache")]
        for argv in (["systemd-sysusers"], ["systemd-tmpfiles", "--create", *own]):
            # Other packages' declarations may be faulty; whether ours are fulfilled is asked afterwards.
            subprocess.run(argv, capture_output=True, check=False)

    @property
    def tuning_file(self) -> str:
        """Where the role app_server leaves workers, limits and timeouts."""
        return f"{self.paths['config']}/server.json"

    @property
    def secrets(self) -> dict[str, str]:
        """Every secret of the app that is on the server.

        An editor leaves a newline behind a password; the one behind the last line of a PEM key belongs to the key.
        """
        texts = {
            os.path.basename(path): pathlib.Path(path).read_text("utf-8")
            for path in glob.glob(f"{self.paths['secrets']}/*")
        }
        return {name: text if text.count("\n") > 1 else text.removesuffix("\n") for name, text in texts.items()}

    def secret_values(self) -> set[str]:
        """What must be kept out of everything that an operator sees."""
        return spellings(self.secrets.values())

    def tuning(self) -> dict[str, t.Any]:
        """What the role app_server has left, with the app's sandbox, and the number of workers for each interface."""
        tuning: dict[str, t.Any] = json.loads(pathlib.Path(self.tuning_file).read_text("utf-8"))
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20
        return {**tuning, **self.record["sandbox"], "workers": _servers.workers(tuning, os.cpu_count() or 1, memory)}


def spellings(secrets: Iterable[str]) -> set[str]:
    """Secrets also as URLs and as Python and JSON spell them, and the lines of those that have several."""
    values = {value.removesuffix("\n") for value in secrets} - {""}
    lines = {line for value in values for line in value.splitlines() if len(line) >= SHORTEST_LINE}
    spelled = {urllib.parse.quote(value, safe="") for value in values}
    return values | lines | spelled | {json.dumps(value)[1:-1] for value in values}


class Release:
    """The files of one release."""

    def __init__(self, app: App, release: str) -> None:
        self.app = app
        self.id = release
        self.root = f"{app.paths['releases']}/{release}"
        self.code = f"{self.root}/code"
        self.venv = f"{self.root}/venv"
        self.static = f"{self.root}/static"
        self.public = f"{self.root}/public"
        self.beside = f"{self.root}/groundcrew"
        self.python = f"{self.venv}/bin/python"
        self.socket = f"{self.root}/run/web.sock"
        self.environment_file = f"{app.paths['config']}/{release}.env"
        self.credentials_directory = f"{app.paths['config']}/{release}.credentials"
        self._facts = pathlib.Path(f"{self.beside}/release.json")

    @property
    def facts(self) -> dict[str, t.Any]:
        """What earlier steps found out about the release."""
        found: dict[str, t.Any] = json.loads(self._facts.read_text("utf-8"))
        return found

    def remember(self, **facts: t.Any) -> None:
        """Keep facts for the steps to come."""
        known = self.facts if self._facts.exists() else {}
        self._facts.write_text(json.dumps({**known, **facts}, indent=1) + "\n", "utf-8")

    @property
    def directory(self) -> str:
        """Where manage.py is and every process runs."""
        return os.path.join(self.code, self.facts["directory"]).rstrip("/")

    @property
    def path_variables(self) -> dict[str, str]:
        """Variables that lead a process to the release's own Python and modules."""
        return {
            "PATH": f"{self.venv}/bin:/usr/local/bin:/usr/bin:/bin",
            "VIRTUAL_ENV": self.venv,
            "PYTHONPATH": f"{self.beside}:{self.directory}",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def make(self) -> None:
        """Create the directories; those that a build writes belong to the app until it is finished."""
        for path in (self.root, self.beside, self.public):
            os.mkdir(path)
            os.chmod(path, 0o755)  # noqa: S103 (nginx passes through it)
        user = self.app.user
        for path in (self.code, self.venv, self.static):
            os.mkdir(path, 0o700)
            os.chown(path, user.pw_uid, user.pw_gid)

    def make_socket_directory(self) -> None:
        """Let the app bind its socket by itself, and nginx connect to it.

        Others of the server do not get this far. A new file belongs to nginx's group, which passes through but does not
        look inside. For the sticky bit a kernel with fs.protected_symlinks, as Debian sets it, follows no link of the
        app's here: nginx is led to no other socket.
        """
        path = os.path.dirname(self.socket)
        os.makedirs(path, exist_ok=True)
        os.chown(path, 0, grp.getgrnam("www-data").gr_gid)
        os.chmod(path, 0o3717)  # noqa: S103 (see above)

    def write_environment(self, environment: Mapping[str, str]) -> None:
        """Write what systemd loads for every process of the release.

        The file wins over single variables, so search paths that the app sets are put behind the release's own.
        """
        own = self.path_variables
        paths = {name: f"{own[name]}:{environment[name]}" for name in ("PATH", "PYTHONPATH") if environment.get(name)}
        write_private(self.environment_file, _environment.render({**environment, **paths}))

    def write_credentials(self, secrets: Mapping[str, str]) -> None:
        """Keep the secrets that processes get as files, beside the environment; systemd copies them for each unit."""
        if secrets:
            os.mkdir(self.credentials_directory, 0o700)
        for name, secret in secrets.items():
            write_private(f"{self.credentials_directory}/{name}", secret)

    @property
    def credentials(self) -> dict[str, str]:
        """Their paths, by the variables that name them."""
        return credentials_of(self.environment_file)

    def smoke_token(self) -> str:
        """What the release answers to with its id. It keeps its own, whatever secrets the app has got since."""
        text = pathlib.Path(self.environment_file).read_text("utf-8")
        found = re.search(r'^GROUNDCREW_SMOKE="([0-9a-f]+)"$', text, re.MULTILINE)
        return found[1] if found else ""

    def shell(self, command: str, title: str) -> None:
        """Run one of the app's own commands in its directory, sandbox and environment."""
        self.run(["/bin/sh", "-e", "-c", command], title)

    def manage(self, arguments: Sequence[str], title: str) -> str:
        """Run a management command and return its output."""
        return self.run([self.python, "manage.py", *arguments], title).stdout

    def run(self, argv: Sequence[str], title: str, *, timeout: int = 3600, **more: t.Any) -> Result:
        """Run a program as the app, with the release's environment; it may write what a build may write.

        :param more: of what :meth:`Runner.run` takes: ``check``, ``stdin``, ``output``.
        """
        return self.app.runner.run(
            argv,
            title=title,
            cwd=self.directory,
            env=self.path_variables,
            environment_file=self.environment_file,
            writable=[self.code, self.static, self.app.paths["cache"], *self.app.writable],
            timeout=timeout,
            **more,
        )

    def remove(self) -> None:
        """Leave nothing of the release.

        The directory goes last: as long as it is there, a later run knows that there is something to remove.
        """
        if self.id == self.app.live:
            raise ReleaseError(f"Release {self.id} of {self.app.name} is live, so it stays.")
        self.app.instance(self.id).remove()
        if not _background.remove(self.app.record["units"]["worker"], self.id):
            # A worker of it finishes a task, with its code; a later run comes by here again.
            return
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.environment_file)
        shutil.rmtree(self.credentials_directory, ignore_errors=True)
        if os.path.isdir(self.root):
            shutil.rmtree(self.root)


def write_private(path: str, text: str, mode: int = 0o600, group: int = 0) -> None:
    """Write a file of root's in one step; until then, and unless ``mode`` says otherwise, only root reads it."""
    new = f"{path}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fchown(file.fileno(), 0, group)
        os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())
    os.replace(new, path)


@contextlib.contextmanager
def failing(app: App, release: Release) -> Iterator[None]:
    """Whatever goes wrong inside: leave no trace but the ledger's, and say that visitors notice nothing."""
    try:
        with told():
            yield
    except ReleaseError as error:
        if release.id == app.live:
            error.message += f"{_stop(error.message)}Release {release.id} is live; the next deploy clears up after it."
            raise
        # Removed first: that frees the space that the ledger may need, and a run that dies here is told by "building".
        release.remove()
        entry = app.ledger.find(release.id)
        if entry:
            with contextlib.suppress(OSError):
                app.ledger.mark(entry, _ledger.FAILED, "failed")
        error.message += f"{_stop(error.message)}{app.name} was not deployed; {still_serving(app)}"
        raise


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Tell whatever goes wrong inside as a :class:`ReleaseError`: nobody sees another one's traceback."""
    try:
        yield
    except ReleaseError:
        raise
    except OSError as error:
        cure = "free some space and deploy again" if error.errno == errno.ENOSPC else ""
        raise ReleaseError(f"The server says: {error}.", cure) from error
    except Exception as error:
        raise ReleaseError(
            "groundcrew.django has failed at something that it did not foresee.",
            "report it, with the lines below",
            traceback.format_exc(),
        ) from error


def _stop(message: str) -> str:
    """A list of reasons ends with its last item, a sentence with its stop."""
    return "\n" if "\n" in message else " " if message.endswith(".") else ". "


def still_serving(app: App) -> str:
    """What visitors see, as the end of a sentence."""
    return f"release {app.live} is still serving." if app.live else "nothing is live yet."


def health_question(release: Release) -> t.Callable[[], tuple[int, str]]:
    """Asks a release for its health page as a visitor's request would arrive from nginx."""
    headers = {
        **_forwarding.SCHEME_HEADERS,
        "Host": release.app.record["domains"][0],
        "X-Real-IP": "127.0.0.1",
        "Connection": "close",
    }
    path = release.facts["health"]["path"]
    return lambda: _live.ask(release.socket, path, headers)
