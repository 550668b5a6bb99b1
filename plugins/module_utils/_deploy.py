# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of a deploy, from the source to the live site. PRIVATE to the collection: may change at any time.

What a step needs of an earlier one stands on the server, in the release's own ``groundcrew/release.json``. A deploy
that died is simply begun again: its unfinished release is removed first.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import glob
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import typing as t
from collections.abc import Iterator, Mapping, Sequence

from ansible_collections.groundcrew.django.plugins.module_utils import (
    _background,
    _checks,
    _dependencies,
    _environment,
    _forwarding,
    _ledger,
    _live,
    _locate,
    _migrations,
    _processes,
    _procfile,
    _python,
    _rotation,
    _secret_files,
    _source,
    _units,
    _venv,
)
from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.module_utils._go_live import converge_live, heal, settle
from ansible_collections.groundcrew.django.plugins.module_utils._release import (
    App,
    Options,
    Release,
    failing,
    write_private,
)
from ansible_collections.groundcrew.django.plugins.module_utils._settings import ProjectSettings, Static, examine

# The parts of a record that a release is made of; the rest (domains that redirect, body size ...) is nginx's.
INPUTS = (
    "check",
    "commands",
    "database",
    "databases",
    "dependencies",
    "directory",
    "domains",
    "files",
    "media",
    "media_domain",
    "packages",
    "procfile",
    "production_settings",
    "python",
    "schedules",
    "server",
    "settings",
    "shared_paths",
    "static_domain",
    "workers",
)

# Text that is worth the work; the rest is compressed by itself. brotli comes with nginx's module for it.
COMPRESS = r"""
find "$1" -type f -size +1k -regextype egrep \
    -regex '.*[.](css|js|mjs|svg|json|map|html|txt|xml|ttf|eot|wasm)' -print0 > /tmp/files
xargs -0 -r gzip -9 -k -n -f < /tmp/files
if command -v brotli > /dev/null; then xargs -0 -r brotli -k -f -q 9 < /tmp/files; fi
"""

# Ownership is not preserved, because a new file takes the group of its directory, which nginx may be in.
LINK = """
mkdir -p "$2" "$(dirname "$1")"
if [ -d "$1" ] && [ ! -L "$1" ]; then cp -RPn "$1"/. "$2"; rm -rf "$1"; fi
ln -sfn "$2" "$1"
"""

# Uploads in a shared path: nginx is let through to them and reads them, and those to come.
LET_NGINX_READ = """
mkdir -p "$1"
directory=$1
while [ "$directory" != "$2" ]; do directory=$(dirname "$directory"); setfacl -m u:www-data:--x "$directory"; done
setfacl -R -P -m u:www-data:rX,d:u:www-data:rX "$1"
"""

WORKERS_ASTRAY = " Not all of its workers and schedules are as they should be, which a real run mends."

# Secrets that every app has without asking: name and length.
BUILT_IN_SECRETS = {"secret_key": 50}


# --- fetched ---------------------------------------------------------------------------------------------------------


def secrets_of(app: App, given: Mapping[str, str], check_mode: bool) -> dict[str, str]:
    """All secrets of the app: those given, those generated now or earlier. Each has a file of its own."""
    directory = app.paths["secrets"]
    lengths = dict(BUILT_IN_SECRETS)
    lengths.update({name: int(wish["generate"]) for name, wish in app.record["secrets"].items()})
    entries = [
        {"path": f"{directory}/{name}", "length": length, "value": None}
        for name, length in lengths.items()
        if name not in given
    ]
    entries += [{"path": f"{directory}/{name}", "length": len(value), "value": value} for name, value in given.items()]
    try:
        wanted = _secret_files.wanted(entries)
        steps = _secret_files.plan(wanted, {secret.path: _secret_files.observe(secret.path) for secret in wanted})
        if not check_mode:
            _secret_files.apply(steps)
    except (_secret_files.SecretFileError, OSError) as error:
        raise ReleaseError(f"The secrets of {app.name} cannot be kept on the server: {error}.") from error
    # In a dry run those that are not there yet have no value; their names are all that is asked for.
    return {**dict.fromkeys(lengths, ""), **app.secrets, **given}


def resolve(app: App, options: Options, key_file: str) -> tuple[_source.Repository | None, _source.Revision]:
    """The exact code that is wanted: of a rotation what is live."""
    source = app.record["source"]
    live = app.ledger.find(app.live) if options.rotate else None
    if source["kind"] == "path":
        revision = _source.Revision(**(options.archive or {})["revision"])
        if live and revision.id != live.revision:
            raise ReleaseError(
                f"What lies in {source['path']} is not what is live, and a rotation changes nothing else.",
                "deploy it first",
            )
        return None, revision
    repository = _source.Repository(
        url=source["repo"],
        version=live.revision if live else source["version"],
        mirror=f"{app.paths['cache']}/source.git",
        known_hosts=f"{app.home}/known_hosts",
        key_file=key_file,
        submodules=source["submodules"],
    )
    revision = _source.resolve(app.runner, repository)
    return repository, dataclasses.replace(revision, description=live.described) if live else revision


@contextlib.contextmanager
def deploy_key(app: App, secrets: Mapping[str, str]) -> Iterator[str]:
    """The deploy key in a file that the app's user reads, in memory and only for the time of the fetch."""
    name = app.record["source"].get("key")
    if not name:
        yield ""
        return
    directory = f"/run/groundcrew-{app.name}"
    # One that a killed run has left belongs to the app, and may hold anything.
    shutil.rmtree(directory, ignore_errors=True)
    os.mkdir(directory, 0o700)
    path = f"{directory}/key"
    try:
        write_private(path, secrets[name].rstrip("\n") + "\n")
        os.chown(path, app.user.pw_uid, app.user.pw_gid)
        os.chown(directory, app.user.pw_uid, app.user.pw_gid)
        yield path
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def fingerprint(app: App, options: Options, revision: str, secrets: Mapping[str, str]) -> str:
    """Hash of all that a release is made of."""
    inputs = {
        "revision": revision,
        "submodules": app.record["source"].get("submodules"),
        "record": {name: app.record[name] for name in INPUTS},
        "environment": _environment.compose(app.record, secrets, "-"),
        "files": [dict(file) for file in options.files],
        "tuning": app.tuning(),
        "sandbox": _units.SERVICE_SANDBOX,
    }
    if credentials := _environment.credentials(app.record, secrets):
        inputs["credentials"] = credentials
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def clear_unfinished(app: App) -> bool:
    """Remove what runs that died have left; whoever calls this is the only one at work.

    :returns: whether there was anything.
    """
    _live.systemctl("stop", f"{app.runner.unit_prefix}*", check=False)
    for left in glob.glob(f"{app.home}/probe-*.json"):
        os.unlink(left)
    unfinished = [entry for entry in app.ledger.entries if entry.state == _ledger.BUILDING and entry.id != app.live]
    for entry in unfinished:
        Release(app, entry.id).remove()
        app.ledger.mark(entry, _ledger.FAILED, "abandoned")
    return bool(unfinished)


def look(app: App, options: Options) -> dict[str, t.Any]:
    """Find out what a deploy would do, and change nothing."""
    if not app.prepared():
        summary = f"{app.name}: the first release comes with the first real run."
        return {"changed": True, "needed": False, "summary": summary}
    if options.rotate:
        return _rotation.look(app, options)
    secrets = secrets_of(app, options.secrets, check_mode=True)
    with deploy_key(app, secrets) as key_file:
        repository, revision = resolve(app, options, key_file)
    live = app.ledger.find(app.live)
    found = {"revision": revision.id, "described": revision.description, "needed": False}
    if live and live.fingerprint == fingerprint(app, options, revision.id, secrets):
        up = app.instance(live.id).active()
        well = up and _background.settled(app, Release(app, live.id))
        summary = live_already(app, live, up) + (WORKERS_ASTRAY if up and not well else "")
        return {**found, "release": live.id, "changed": not well, "summary": summary}
    commits: list[str] = []
    if repository:
        files = _source.list_commit(app.runner, repository, revision.id)
        if live:
            commits = _source.commits_between(app.runner, repository, live.revision, revision.id)
    else:
        files = (options.archive or {}).get("files", [])
    migrations = _migrations.planned(Release(app, app.live).code if app.live else "", files)
    after = [
        f"revision: {revision.id} ({revision.description})",
        *(f"commit: {commit}" for commit in commits),
        *(f"migration: {migration}" for migration in migrations),
    ]
    return {
        **found,
        "changed": True,
        "summary": f"{app.name}: {revision.description} would become the next release.",
        "commits": commits,
        "migrations": migrations,
        "notes": after[1:],
        "diff": {
            "before_header": f"{app.name}, live",
            "after_header": f"{app.name}, wanted",
            "before": f"revision: {live.revision} ({live.described})\n" if live else "",
            "after": "".join(f"{line}\n" for line in after),
        },
    }


def fetch(app: App, options: Options) -> dict[str, t.Any]:
    """Find out what is wanted, and have its code on the server if that is not live already."""
    app.prepare()
    if not app.prepared():
        raise ReleaseError(
            f"The server is not prepared for {app.name}.", "run the playbook groundcrew.django.site against it once"
        )
    for path in app.record["sandbox"]["writable_paths"]:
        if not os.path.isdir(path):
            raise ReleaseError(
                f"The directory {path}, which {app.name} is to write, is not there.",
                f"make it on the server with: install -d -o {app.name} -g {app.name} {path}; or mount what belongs "
                "there; or take it out of sandbox.writable_paths",
            )
    rotated = rotate(app, options)
    secrets = secrets_of(app, options.secrets, check_mode=False)
    tidied = clear_unfinished(app)
    healed = heal(app, options)
    if tidied or healed:
        # Who died may have stopped the beat of what is live, and a build takes its time, or fails.
        converge_live(app)
    with deploy_key(app, secrets) as key_file:
        repository, revision = resolve(app, options, key_file)
        print_ = fingerprint(app, options, revision.id, secrets)
        result: dict[str, t.Any] = {
            "revision": revision.id,
            "described": revision.description,
            "needed": False,
            "notes": [note for note in (*rotated, healed, was_taken_back(app, print_)) if note],
        }
        live = app.ledger.find(app.live)
        if live and live.fingerprint == print_:
            kept = keep_live(app, live, options, tidied or bool(healed))
            return {**result, **kept, "notes": [*result["notes"], *kept["notes"]]}
        release = Release(app, f"{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}-{revision.id[:8]}")
        result.update(
            release=release.id,
            changed=True,
            summary=f"{app.name}: {revision.description} becomes release {release.id}.",
        )
        if repository is None and not (options.archive or {}).get("path"):
            # The action plugin sends the archive only when it is really wanted.
            return {**result, "archive_wanted": True}
        app.ledger.entries.append(
            _ledger.Entry(
                id=release.id,
                revision=revision.id,
                described=revision.description,
                fingerprint=print_,
                who=options.who,
                why=options.why,
                times={"begun": _ledger.now()},
            )
        )
        with failing(app, release):
            app.ledger.save()
            release.make()
            if repository is None:
                _source.unpack(str((options.archive or {})["path"]), release.code, app.user.pw_uid, app.user.pw_gid)
            else:
                _source.checkout(app.runner, repository, revision, release.code)
            place_files(release, options.files)
            for path in app.record["shared_paths"]:
                link_outside(release, f"{release.code}/{path}", f"{app.paths['data']}/{path}")
            files = _locate.list_files(release.code)
            release.remember(
                directory=_locate.locate(files, app.record["directory"]), logins=_rotation.logins(app.record, secrets)
            )
            release.write_environment(_environment.compose(app.record, secrets, release.id))
            release.write_credentials(_environment.credentials(app.record, secrets))
    return {**result, "needed": True}


def rotate(app: App, options: Options) -> list[str]:
    """Begin the rotation that is asked for; one that has been cut off is finished by this deploy, or taken back.

    A new password of Redis from the vault is a rotation as well, because Redis has to know it before the release does.
    """
    if options.rotate:
        _rotation.check(app, options)
    kept = app.secrets
    wanted = [options.rotate] if options.rotate else []
    if app.live and app.record["redis"] and kept.get(_rotation.REDIS):
        given = options.secrets.get(_rotation.REDIS)
        wanted += [_rotation.REDIS] if given and given != kept[_rotation.REDIS] else []
    cut_off = sorted(set(_rotation.pending(app)) - {*wanted, _rotation.FALLBACKS})
    said = [f"The rotation of {name}, which was on its way, ends with this deploy." for name in cut_off]
    return said + [_rotation.begin(app, name, options) for name in dict.fromkeys(wanted)]


def was_taken_back(app: App, print_: str) -> str:
    """A warning for one who deploys again what was rolled back."""
    same = [entry for entry in app.ledger.entries if entry.fingerprint == print_ and entry.state == _ledger.ROLLED_BACK]
    return f"The same was live as {same[-1].id} and was rolled back." if same else ""


def keep_live(app: App, live: _ledger.Entry, options: Options, tidied: bool) -> dict[str, t.Any]:
    """What is wanted is live: only see to it that it runs, and nothing else of the app does."""
    up = app.instance(live.id).active()
    if not up:
        app.instance(live.id).start()
    to_do = _rotation.to_do(app)
    tidied = settle(app, options) or tidied
    return {
        "release": live.id,
        "changed": not up or tidied,
        "summary": live_already(app, live, up),
        "notes": [] if _rotation.pending(app) else to_do,
    }


def live_already(app: App, live: _ledger.Entry, up: bool) -> str:
    """The sentence for an operator whose wish is fulfilled."""
    down = "" if up else " It was down, which a real run mends."
    return f"{app.name}: {live.id} ({live.described}) is live already.{down}"


def place_files(release: Release, files: Sequence[Mapping[str, t.Any]]) -> None:
    """Write the app's `files`: into the code, or, those with an absolute path, onto the server."""
    for file in files:
        absolute = file["dest"].startswith("/")
        path = file["dest"] if absolute else _source.inside(release.code, file["dest"])
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write_private(path, file["content"], int(file["mode"], 8), release.app.user.pw_gid)


def link_outside(release: Release, inside: str, outside: str) -> None:
    """Make a directory of the code a link; what the project ships in it goes along, unless it is there already.

    Done by the app's user: what is outside belongs to it, and root must not follow a link that waits there.
    """
    path = _source.inside(release.code, os.path.relpath(inside, release.code))
    release.app.runner.run(
        ["/bin/sh", "-e", "-c", LINK, "sh", path, outside],
        title=f"Keep {os.path.relpath(path, release.code)} outside of the release",
        writable=[release.code, release.static, *release.app.writable],
    )


# --- built -----------------------------------------------------------------------------------------------------------


def place_of(release: Release, options: Options) -> _dependencies.Place:
    """Where the release is built."""
    uv = _python.ensure_uv(options.environment)
    return _dependencies.Place(uv, release.code, release.venv, release.app.paths["cache"], options.environment)


def add_missing(release: Release, place: _dependencies.Place, installed: Mapping[str, str], server: str) -> list[str]:
    """Install the app server or the database driver that the project does not bring; returns what was added."""
    wanted = _dependencies.missing(installed, server, release.app.record["database"] is not None)
    if wanted:
        _dependencies.install(release.app.runner, place, _dependencies.add(place, wanted), release.environment_file)
    return wanted


def build(app: App, release: Release, options: Options) -> dict[str, t.Any]:
    """Make the venv, install the dependencies into it, and run the app's own build commands."""
    record = app.record
    files = _locate.list_files(release.code)
    read = _locate.reader(release.code)
    directory = release.facts["directory"]
    wanted = record["dependencies"]
    found = _locate.dependencies(files, directory, wanted["files"], read, wanted["packages"])
    interpreter = _python.choose(
        record["python"],
        _locate.python_version_file(files, directory, read),
        found.requires_python,
        _python.server_python(),
    )
    place = place_of(release, options)
    _python.ensure_python(place.uv, interpreter, options.environment)
    commands = _dependencies.plan(place, found, interpreter, wanted, files, read, directory)
    recipe = _venv.recipe(found, interpreter.request, record, options.environment, files, read)
    as_before = _venv.takes_over(app, release, recipe)
    if as_before:
        commands = []
    release.remember(recipe=recipe)
    installed = _dependencies.install(app.runner, place, commands, release.environment_file)
    server = record["server"]["kind"]
    added = add_missing(release, place, installed, "" if server == "auto" else server)
    for command in record["commands"]["build"]:
        release.shell(command, f"Run commands.build: {command}")
    taken = ", taken over unchanged from the live release" if as_before else ""
    notes = [f"Python: {interpreter.reason}", f"Dependencies: {found.reason}{taken}", *found.notices]
    if added:
        notes.append(f"Added because the project does not bring it: {', '.join(added)}")
    return {"changed": True, "notes": notes, "release": release.id}


# --- checked ---------------------------------------------------------------------------------------------------------


def check(app: App, release: Release, options: Options) -> dict[str, t.Any]:
    """Judge the settings with their real environment, collect the static files, and close the release for writing."""
    record = app.record
    environment = _environment.compose(record, app.secrets, release.id)
    settings = examine(
        app.runner,
        record,
        files=_locate.list_files(release.code),
        read=_locate.reader(release.code),
        environment=environment,
        environment_file=release.environment_file,
        python=release.python,
        code=release.code,
        directory=release.facts["directory"],
        beside=release.beside,
        static=release.static,
        scratch=app.home,
    )
    notes = [f"{laid['name']} is laid over: {laid['now']} (was {laid['was']}; {laid['why']})" for laid in settings.laid]
    notes += settings.warnings
    notes += judge_rotation(app, settings)
    notes += judge_checks(settings.checks, record["check"])
    refuse_unknown_scheme(settings.proxy_ssl_header)
    release.write_environment({**environment, "DJANGO_SETTINGS_MODULE": settings.module})
    health = dict(record["health"])
    if not health["status"] and not settings.health_resolves:
        health["status"] = [404]
        notes.append(
            f"No view answers at {health['path']}, so its 404 counts as healthy; name a better page by `health:`."
        )
    found_workers, procfile = workers(release, settings.module)
    notes += procfile
    release.remember(
        server=settings.kind,
        interface=settings.interface,
        entry=settings.entry,
        health=health,
        django=settings.django,
        database="default" in settings.databases,
        static_url=settings.static.url_path,
        schedules=record["schedules"],
        workers=found_workers,
        fallbacks=settings.fallbacks,
    )
    judge_calendars(record["schedules"])
    place = place_of(release, options)
    added = add_missing(release, place, _dependencies.install(app.runner, place, []), settings.kind)
    if added:
        notes.append(f"Added because the project does not bring it: {', '.join(added)}")
    if settings.media.link:
        link_outside(release, settings.media.link, settings.media.root)
    collect_static(release, settings.static)
    _dependencies.compile_code(app.runner, place)
    close(release)
    publish(release, settings.static.url_path, settings.static.root, "static")
    if settings.media.kind == "public":
        if settings.media.root.startswith(f"{app.paths['data']}/"):
            app.runner.run(
                ["/bin/sh", "-e", "-c", LET_NGINX_READ, "sh", settings.media.root, app.paths["data"]],
                title="Let nginx read the uploads",
                writable=app.writable,
            )
        publish(release, settings.media.url_path, settings.media.root, "media")
    return {"changed": True, "notes": notes, "release": release.id}


def judge_rotation(app: App, settings: ProjectSettings) -> list[str]:
    """What a rotation of SECRET_KEY comes to with these settings, as notes.

    :raises ReleaseError: when it would come to nothing, or end all sessions though they are to stay.
    """
    former, kept = _rotation.pending(app), app.secrets
    if _rotation.KEY in former and settings.secret_key != _secret_files.digest(kept[_rotation.KEY]):
        raise ReleaseError(
            "The project's SECRET_KEY is not the secret_key of the app, so there is nothing to rotate.",
            "change it where it comes from, or have the settings read SECRET_KEY from the environment",
        )
    if not kept.get(_rotation.FALLBACKS) or settings.falls_back:
        return []
    reason = settings.fallbacks or "the project does not use SECRET_KEY_FALLBACKS of its environment"
    if _rotation.FALLBACKS in former:
        raise _rotation.no_fallbacks(reason)
    return [f"The former SECRET_KEY is not valid any more: {reason}."]


def workers(release: Release, settings: str) -> tuple[list[dict[str, t.Any]], list[str]]:
    """The release's workers, each with all that the project says about it; and what there is to say of its Procfile.

    :raises ReleaseError: where the project does not say enough.
    """
    found: list[dict[str, t.Any]] = [dict(worker) for worker in release.app.record["workers"]]
    notes: list[str] = []
    if release.app.record["procfile"]:
        read = _locate.reader(release.code)
        places = [os.path.join(place, "Procfile") for place in ("", release.facts["directory"])]
        place = next((place for place in places if os.path.isfile(f"{release.code}/{place}")), None)
        if not place:
            raise ReleaseError("The project has no Procfile.", "add one to the project, or remove `procfile: true`")
        taken, notes = _procfile.workers(read(place), found)
        found += taken
    of_celery = [worker for worker in found if worker["kind"] in ("celery", "celery-beat") and not worker["app"]]
    if of_celery:
        files, read = _locate.list_files(release.code), _locate.reader(release.code)
        celery = _processes.find_celery(files, read, release.facts["directory"], settings)
        for worker in of_celery:
            worker["app"] = celery
    return found, notes


def judge_calendars(schedules: Sequence[Mapping[str, t.Any]]) -> None:
    """Have systemd itself read when schedules are due; only the server knows every time zone.

    :raises ReleaseError: with systemd's words.
    """
    for schedule in schedules:
        argv = ["systemd-analyze", "calendar", schedule["calendar"]]
        done = subprocess.run(argv, capture_output=True, text=True, errors="replace", check=False)
        if done.returncode != 0:
            raise ReleaseError(
                f"systemd does not understand the calendar of the schedule {schedule['name']}: {schedule['calendar']}",
                "write it as systemd.time(7) says",
                done.stderr,
            )


def judge_checks(messages: Sequence[Mapping[str, t.Any]], wanted: Mapping[str, t.Any]) -> list[str]:
    """What Django's deployment checks say, as notes.

    :raises ReleaseError: when they say something that nothing in front of the app makes good.
    """
    judgement = _checks.judge(messages, wanted["fail_level"], wanted["ignore"])
    if judgement.failed:
        ids = ", ".join(dict.fromkeys(message["id"] for message in judgement.failed if message["id"]))
        raise ReleaseError(
            "Django's deployment checks fail:\n" + "\n".join(map(_checks.describe, judgement.failed)),
            f"mend the settings, or accept what you know to be harmless by `check: {{ignore: [{ids}]}}`",
        )
    return [*map(_checks.describe, judgement.answered_by_nginx), *map(_checks.describe, judgement.shown)]


def refuse_unknown_scheme(header: Sequence[str] | None) -> None:
    """A header that nginx does not set would let any visitor claim to have come by https."""
    if not header:
        return
    known = {"HTTP_" + name.upper().replace("-", "_"): value for name, value in _forwarding.SCHEME_HEADERS.items()}
    if known.get(header[0]) != header[1]:
        raise ReleaseError(
            f"SECURE_PROXY_SSL_HEADER is {tuple(header)}, which nginx does not send.",
            'set it to ("HTTP_X_FORWARDED_PROTO", "https"), or remove it: the scheme reaches the app without it',
        )


def collect_static(release: Release, static: Static) -> None:
    """Collect and compress the static files, in the release."""
    if static.collect:
        if static.root != release.static:
            # The project names a place of its own inside its code, where nginx may not look; a link leads it to ours.
            link_outside(release, static.root, release.static)
        release.manage(["collectstatic", "--noinput", "--verbosity=0"], "Collect the static files")
    for command in release.app.record["commands"]["static"]:
        release.shell(command, f"Run commands.static: {command}")
    if static.collect:
        release.run(["/bin/sh", "-e", "-c", COMPRESS, "sh", release.static], "Compress the static files")


def close(release: Release) -> None:
    """Take the release out of the app's hands: from here on nobody but root can change what will run."""
    group = release.app.user.pw_gid
    for tree in (release.code, release.venv, release.static):
        _source.finalize_tree(tree, 0, group)
    open_static(release.static)


def open_static(static: str) -> None:
    """Let nginx read the static files; who may enter the app's own directory at all is decided there.

    A link that leads out of them goes: nginx would follow it with rights that the app has not, to another's uploads.
    """
    root = os.path.realpath(static)
    for directory, directories, names in os.walk(static):
        os.chmod(directory, 0o755)  # noqa: S103 (nginx passes through it)
        for path in (os.path.join(directory, name) for name in (*directories, *names)):
            if not os.path.islink(path):
                if os.path.isfile(path):
                    os.chmod(path, 0o644)
            elif not os.path.realpath(path).startswith(f"{root}/"):
                os.unlink(path)


def publish(release: Release, url_path: str | None, root: str, kind: str) -> None:
    """Let nginx find a directory below its URL, by a link that goes live with the release."""
    if not url_path:
        return
    link = pathlib.Path(f"{release.public}/{kind}{url_path}".rstrip("/"))
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(release.static if kind == "static" else root)
    if kind == "media":
        # Among uploads nginx follows a link only to what its owner owns, so that no app leads it to another's files.
        os.lchown(link, release.app.user.pw_uid, release.app.user.pw_gid)


# --- migrated --------------------------------------------------------------------------------------------------------


def migrate(app: App, release: Release, options: Options) -> dict[str, t.Any]:
    """Bring the database to the release's schema, once, before any of its processes starts."""
    del options
    notes: list[str] = []
    if release.facts["database"]:
        notes += _migrations.bring_up(release)
    commands = [(command, "migrated") for command in app.record["commands"]["migrated"]]
    if not app.ledger.first_done:
        commands += [(command, "first") for command in app.record["commands"]["first"]]
    for command, when in commands:
        release.shell(command, f"Run commands.{when}: {command}")
        notes.append(f"commands.{when}: {command}")
    if not app.ledger.first_done:
        app.ledger.first_done = True
        app.ledger.save()
    return {"changed": True, "notes": notes, "release": release.id}
