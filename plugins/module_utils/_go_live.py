# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes a release live: the gate, the switch, the smoke test, the drain. PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import glob
import os
import pathlib
import re
import typing as t

from ansible_collections.groundcrew.django.plugins.module_utils import (
    _background,
    _entry,
    _ledger,
    _live,
    _rotation,
    _servers,
    _smoke,
    _units,
)
from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.module_utils._release import App, Options, Release, health_question

# Names as Django's ManifestStaticFilesStorage and the usual bundlers write them; their content never changes.
HASHED = re.compile(r"\.[0-9a-f]{8,32}\.")

# Asks for a page in a process of its own, so that an error comes with its traceback and not as a page about it.
ASK = """
import sys
import django
django.setup()
from django.test import Client
Client(SERVER_NAME=sys.argv[1]).get(sys.argv[2], secure=True)
"""


def go_live(app: App, release: Release, options: Options) -> dict[str, t.Any]:
    """Start the release, switch over once it is healthy, see that visitors get it, and stop the one before it."""
    app.instance(release.id).install(describe(app, release))
    _background.describe(release)
    start(app, release, options)
    share_static(release)
    switch(app, release, options)
    notes = _rotation.to_do(app)
    settle(app, options, waited=False)
    if _rotation.pending(app):
        _rotation.wait(app, options.drain_timeout + _rotation.PATIENCE)
        settle(app, options)
    if waiting := _rotation.pending(app):
        notes = [
            f"The former {name} is in use until the next deploy: what began before is still at its tasks."
            for name in waiting
        ]
    return {"changed": True, "notes": notes, "release": release.id}


def start(app: App, release: Release, options: Options) -> None:
    """Start a release beside what is live, and wait until it is healthy; no visitor reaches it yet.

    Its workers come last, since from then on they take tasks.
    """
    instance = app.instance(release.id)
    instance.start()
    _live.wait_until_healthy(
        health_question(release),
        instance,
        release.facts["health"],
        options.health_timeout,
        lambda: traceback_of(release),
    )
    _background.begin(app, release)


def switch(app: App, release: Release, options: Options) -> None:
    """Give a release to the visitors; when it fails there, give them back what they had.

    :raises ReleaseError: when it fails.
    """
    before = app.live
    try:
        _background.hand_over_beat(app, Release(app, before), release)
        _live.switch(app.paths["current"], release.id)
        smoke(app, release, options)
    except BaseException:
        try:
            _live.switch(app.paths["current"], before)
        finally:
            _background.give_back(app, Release(app, before), release)
        # Visitors who came to it in between are served to the end.
        app.instance(release.id).stop_when_idle(release.socket, 10)
        raise


def smoke(app: App, release: Release, options: Options) -> None:
    """See that visitors get the release."""
    if options.smoke_test:
        _smoke.test(release.id, release.facts, app.record, release.static, release.smoke_token())


def settle(app: App, options: Options, *, waited: bool = True) -> bool:
    """Make the live release the only one: note it, stop every other one, remove what is not kept.

    A run may die after the switch, which decides, so all of this is done again whenever a deploy looks at the app.

    :param waited: whether a rotation may end though something still runs that it leaves behind.
    :returns: whether anything was left to do.
    """
    live = app.live
    entry = app.ledger.find(live)
    noted = not entry or entry.state == _ledger.GOOD
    if entry and not noted:
        app.ledger.mark(entry, _ledger.GOOD, "live")
    running = _live.running(app.record["units"]["web"])
    for release in running:
        if release != live:
            app.instance(release).stop_later(Release(app, release).socket, options.drain_timeout)
    moved = _background.converge(app, Release(app, live))
    busy = {*running, *_background.releases(app)}
    rotated = _rotation.finish(app, busy, waited)
    present = os.listdir(app.paths["releases"])
    surplus = _ledger.surplus(app.ledger.entries, present, live, options.keep, busy)
    # Of a release whose directory somebody has removed by hand, the secrets in its environment file are still there.
    environments = {path.stem for path in pathlib.Path(app.paths["config"]).glob("*.env")}
    surplus += sorted(environments - {*present, *busy, live})
    for release in surplus:
        Release(app, release).remove()
    if surplus:
        prune_static(app)
    return not noted or bool(surplus) or set(running) > {live} or moved or rotated


def converge_live(app: App) -> None:
    """See to the workers and schedules of what is live, if its files are there."""
    if os.path.exists(app.paths["current"]):
        _background.converge(app, Release(app, app.live))


def heal(app: App, options: Options) -> str:
    """Judge a release that a run switched to before it died; returns what there is to say of it.

    It serves, and nobody has seen whether it does so for visitors.
    """
    entry = app.ledger.find(app.live)
    if entry and entry.state == _ledger.ROLLED_BACK:
        # A rollback notes first what it is about to leave.
        app.ledger.restore(entry)
        return f"A killed rollback had not left {entry.id} yet."
    if not entry or entry.state != _ledger.BUILDING:
        return ""
    before = _ledger.previous(app.ledger.entries, os.listdir(app.paths["releases"]), entry.id)
    try:
        if not app.instance(entry.id).active():
            app.instance(entry.id).start()
        smoke(app, Release(app, entry.id), options)
    except ReleaseError as error:
        if before:
            app.instance(before).start()
        _live.switch(app.paths["current"], before)
        _background.converge(app, Release(app, before))
        Release(app, entry.id).remove()
        app.ledger.mark(entry, _ledger.FAILED, "failed")
        return f"A killed deploy had left {entry.id} live. {error.message} Now {before or 'nothing'} is live again."
    app.ledger.mark(entry, _ledger.GOOD, "live")
    return f"A killed deploy had left {entry.id} live; it is well."


def traceback_of(release: Release) -> str:
    """What goes wrong when the health page is asked for: unless told otherwise, Django logs that nowhere."""
    argv = [release.python, "-c", ASK, release.app.record["domains"][0], release.facts["health"]["path"]]
    result = release.run(argv, "Ask the project why", timeout=60, check=False)
    return f"\n{result.last_lines()}" if result.rc else ""


def describe(app: App, release: Release) -> str:
    """The drop-in that says how the release runs, for as long as it exists."""
    facts = release.facts
    tuning = app.tuning()
    kind, interface = facts["server"], facts["interface"]
    server = _servers.SERVERS[kind]
    tuning["workers"] = 1 if server.alone else tuning["workers"][interface]
    tuning["control_socket"] = bool(glob.glob(f"{release.venv}/lib/python*/site-packages/gunicorn/ctl"))
    module, text = _entry.entry_module(interface, facts["entry"])
    pathlib.Path(f"{release.beside}/{module}.py").write_text(text, "utf-8")
    if server.binds:
        release.make_socket_directory()
    start = _servers.Start(tuning, interface, release.socket)
    return _units.release_dropin(
        app=app.name,
        unit=app.record["units"]["web"],
        user=app.record["user"],
        kind=kind,
        command=_servers.start_command(kind, release.python, f"{module}:application", start),
        socket=release.socket,
        directory=release.directory,
        environment_file=release.environment_file,
        environment={**release.path_variables, "HOME": app.home},
        writable=app.writable,
        described=app.record["server"],
        tuning=tuning,
        credentials=release.credentials,
    )


def share_static(release: Release) -> None:
    """Keep the hashed static files where nginx finds them after the release has gone, for pages that are still open."""
    facts = release.facts
    if not facts["static_url"]:
        return
    shared = pathlib.Path(release.app.paths["static"])
    for directory, _directories, names in os.walk(release.static):
        for name in filter(HASHED.search, names):
            source = pathlib.Path(directory, name)
            target = shared / source.relative_to(release.static)
            target.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                os.link(source, target)
    link = pathlib.Path(f"{release.app.paths['public']}{facts['static_url']}".rstrip("/"))
    if not os.path.lexists(link):
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(shared)


def prune_static(app: App) -> None:
    """Remove the shared static files that no release has any more."""
    shared = app.paths["static"]
    releases = [Release(app, release).static for release in os.listdir(app.paths["releases"])]
    for directory, _directories, names in os.walk(shared, topdown=False):
        below = os.path.relpath(directory, shared)
        for name in names:
            if not any(os.path.exists(os.path.join(static, below, name)) for static in releases):
                os.unlink(os.path.join(directory, name))
        if directory != shared:
            with contextlib.suppress(OSError):  # not empty
                os.rmdir(directory)
