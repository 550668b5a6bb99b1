# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives a secret of an app a new value. PRIVATE to the collection: may change at any time.

A rotation is begun here, and carried through by an ordinary deploy of the live revision, whose environment differs by
the secret. From its beginning to its end the value before lies beside the secret, in ``<name>.former``, and Redis takes
both; at a database elsewhere each belongs to a user of its own. So every state in which a run may die is one that the
next deploy goes on from: it finishes what is begun when it goes well, and takes it back when it does not.
"""

from __future__ import annotations

import contextlib
import glob
import os
import pathlib
import re
import secrets as generator
import subprocess
import time
import typing as t
import urllib.parse
from collections.abc import Collection, Mapping

from ansible_collections.groundcrew.django.plugins.module_utils import _background, _ledger, _live
from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.module_utils._release import App, Options, Release, write_private
from ansible_collections.groundcrew.django.plugins.module_utils._secret_files import ALPHABET, FORMER, digest

KEY = "secret_key"
FALLBACKS = "secret_key_fallbacks"
REDIS = "redis_password"
DATABASE = "database_password"

# User, host and port.
Login = tuple[str, str, int]

# Characters of the secrets that are made without asking; secret_files makes the first ones of the same length.
LENGTH = 50

# Seconds beyond the time of the last visitors that a deploy waits for the end of what still uses the former password.
PATIENCE = 30.0

REDIS_USERS = "/etc/redis/redis-{}.acl"
REDIS_RELOAD = "/usr/local/sbin/redis-reload"


# --- pure ------------------------------------------------------------------------------------------------------------


def refuse(
    record: Mapping[str, t.Any],
    name: str,
    given: Mapping[str, str],
    kept: Mapping[str, str],
    live: Collection[Login] = (),
) -> None:
    """See whether a secret can be rotated.

    :param given: what django_app_secrets holds for the app.
    :param kept: what is on the server.
    :param live: who the live release is on database servers elsewhere.
    :raises ReleaseError: with what to do instead.
    """
    app = record["name"]
    makes = [KEY, *([REDIS] if record["redis"] else []), *record["secrets"]]
    if of_database(record, name):
        _refuse_database(record, name, given, kept, live)
        return
    if name == FALLBACKS:
        if name in given:
            raise ReleaseError(
                f"{FALLBACKS} of {app} comes from django_app_secrets.", "remove it there, and deploy: that drops them"
            )
        return
    if name in given:
        if kept.get(name) == given[name]:
            raise ReleaseError(
                f"{name} of {app} comes from django_app_secrets and is never overwritten.",
                f"give django_app_secrets.{app}.{name} a new value, and run this again: it takes that value live",
            )
        return
    if name not in makes:
        choice = ", ".join(dict.fromkeys([*makes, FALLBACKS, *given]))
        raise ReleaseError(
            f"{app} has no secret {name} that could get a new value." if name else "Which secret shall be rotated?",
            f"say which by -e secret=NAME, with NAME one of: {choice}",
        )


def of_database(record: Mapping[str, t.Any], name: str) -> bool:
    """Whether a secret is a password at a database server elsewhere, which only its operator can change."""
    return name.startswith(DATABASE) and name not in record["secrets"]


def _refuse_database(
    record: Mapping[str, t.Any],
    name: str,
    given: Mapping[str, str],
    kept: Mapping[str, str],
    live: Collection[Login],
) -> None:
    app = record["name"]
    alias = name.removeprefix(DATABASE).removeprefix("_")
    wanted = logins(record, {*given, name}).get(name)
    if not wanted:
        database = record["databases"].get(alias) if alias else record["database"]
        if not database:
            raise ReleaseError(f"{app} has no database for which {name} could be.", "")
        raise ReleaseError(
            f"The database {database['name']} has no password: it is this server's own, and knows {app} by its user.",
            "there is nothing to rotate",
        )
    is_new = given.get(name) not in (None, kept.get(name))
    if is_new and not set(wanted) & set(live):
        return
    user, host, _port = wanted[0]
    place = f"databases: {{{alias}: {{user: ...}}}}" if alias else "database: {user: ...}"
    raise ReleaseError(
        f"{name} belongs to the database server {host}, where a user has one password at a time, "
        "so a new one would cut off what is live.",
        f"let two users take turns: give a second one there the rights of {user} (GRANT {user} TO second; "
        f"ALTER ROLE second SET role = {user}), name it by `{place}`, give its password as "
        f"django_app_secrets.{app}.{name}, and run this again: no request is dropped. Where {user} has a new password "
        "already, deploy: that takes it live",
    )


def logins(record: Mapping[str, t.Any], secrets: Collection[str]) -> dict[str, list[Login]]:
    """Who an app is on database servers elsewhere, by the name of the secret that is its password.

    :param secrets: the names of all; a database without one of its own takes that of the first.
    """
    found: dict[str, list[Login]] = {}
    for alias, database in {"": record["database"], **record["databases"]}.items():
        if database and not database["local"]:
            own = f"{DATABASE}_{alias}" if alias else DATABASE
            login = (database["user"], database["host"], database["port"])
            found.setdefault(own if own in secrets else DATABASE, []).append(login)
    return found


def changes(name: str, kept: Mapping[str, str], new: str, given: Collection[str], keep_key: bool) -> dict[str, str]:
    """The secrets that change, by name; an empty value says that there is none any more.

    :param keep_key: whether what was signed with the former SECRET_KEY stays valid.
    """
    if name == FALLBACKS:
        return {FALLBACKS: ""}
    if name == KEY and FALLBACKS not in given:
        # In this order: whoever dies in between leaves a key that is a fallback as well, and no session ends.
        return {FALLBACKS: kept.get(KEY, "") if keep_key else "", KEY: new}
    return {name: new}


def foretell(name: str, changed: Mapping[str, str], elsewhere: bool) -> list[str]:
    """What a rotation does, a sentence each; the first one goes on after the app's name and a colon.

    :param elsewhere: :func:`of_database`'s answer.
    """
    if name == FALLBACKS:
        return ["what was signed with the former SECRET_KEY would not be valid any more."]
    told = [f"{name} would get a new value, and a release of the live revision with it would go live."]
    if name == KEY:
        told.append(
            "Sessions and signed links would stay valid, by SECRET_KEY_FALLBACKS."
            if changed.get(FALLBACKS)
            else "All sessions would end, and signed links would not be valid any more."
        )
    if name == REDIS:
        told.append("Redis would take both passwords until nothing uses the former one.")
    if elsewhere:
        told.append("The former user of the database would be yours to close, once nothing uses it.")
    return [*told, "Releases with the former value would be no way back any more."]


def is_before(environment: str, former: str, current: str) -> bool:
    """Whether an environment file is from before a rotation: it holds the former value, and not the new one.

    :param former: empty where there was none.
    :param current: empty where there is none any more.
    """
    if not former or former == current:
        return False
    text = re.sub(r'\\(["\\`$])', r"\1", environment)
    return _holds(text, former) and not (current and _holds(text, current))


def _holds(text: str, value: str) -> bool:
    # Redis's password stands in a URL and nowhere else.
    spelled = "|".join(re.escape(one) for one in (value, urllib.parse.quote(value, safe="")))
    return re.search(rf"(?<![A-Za-z0-9])({spelled})(?![A-Za-z0-9])", text) is not None


def with_passwords(users: str, user: str, hashes: Collection[str]) -> str:
    """A file of Redis's users in which one has these passwords and no others.

    :raises ReleaseError: when he is not there.
    """
    line = re.compile(rf"^(user {re.escape(user)} on) (?:#[0-9a-f]{{64}} )+", re.MULTILINE)
    text, found = line.subn(lambda match: f"{match[1]} {' '.join(f'#{one}' for one in hashes)} ", users)
    if not found:
        raise ReleaseError(f"Redis does not know the user {user}.", "run the playbook groundcrew.django.site once")
    return text


# --- state -----------------------------------------------------------------------------------------------------------


def pending(app: App) -> dict[str, str]:
    """The secrets whose rotation has not come to its end, with their values before; empty where there was none."""
    files = glob.glob(f"{app.paths['secrets']}/*{FORMER}")
    return {os.path.basename(path).removesuffix(FORMER): pathlib.Path(path).read_text("utf-8") for path in files}


def check(app: App, options: Options) -> None:
    """See whether what is asked for can be done, before anything changes.

    :raises ReleaseError: when it cannot.
    """
    if options.rotate not in pending(app):
        live = [login for found in _logins_of(app, app.live).values() for login in found]
        refuse(app.record, options.rotate, options.secrets, app.secrets, live)
    if not app.ledger.find(app.live):
        raise ReleaseError(f"Nothing of {app.name} is live that a rotation could take up.", "deploy first")
    if options.rotate == KEY and options.fallbacks:
        reason = Release(app, app.live).facts.get("fallbacks", "")
        if reason:
            raise no_fallbacks(reason)


def no_fallbacks(reason: str) -> ReleaseError:
    """Why the former key cannot stay valid, and the ways to go on.

    :param reason: see ``ProjectSettings.fallbacks``.
    """
    return ReleaseError(
        f"With a new SECRET_KEY all sessions would end: {reason}.",
        "change that and deploy first; or go on without, by -e fallbacks=false",
    )


def look(app: App, options: Options) -> dict[str, t.Any]:
    """Find out what a rotation would do, and change nothing."""
    check(app, options)
    kept = app.secrets
    changed = changes(options.rotate, kept, "new", options.secrets, options.fallbacks)
    told = foretell(options.rotate, changed, of_database(app.record, options.rotate))
    needed = options.rotate != FALLBACKS or bool(kept.get(FALLBACKS))
    if not needed:
        told = ["SECRET_KEY_FALLBACKS holds nothing."]
    live = app.ledger.find(app.live)
    return {
        "changed": needed,
        "needed": False,
        "release": app.live,
        "revision": live.revision if live else "",
        "summary": f"{app.name}: {told[0]}",
        "notes": told[1:],
    }


def begin(app: App, name: str, options: Options) -> str:
    """Give a secret its new value; what is live goes on with the former one.

    :returns: what there is to say of it.
    """
    kept, before = app.secrets, pending(app)
    if name in before and before[name].removesuffix("\n") != kept.get(name, ""):
        if options.secrets.get(name) in (None, kept.get(name)):
            return f"A rotation of {name} that had been cut off is finished with this deploy."
        if name in taken_up(app, before):
            raise ReleaseError(
                f"{name} of {app.name} cannot get another new value yet: what began before the last one uses the one "
                "before that.",
                "wait until it has ended (groundcrew.django.status shows it), and run this again",
            )
        # Nobody has ever used the value in between.
        kept = {**kept, name: before[name].removesuffix("\n")}
    wish = app.record["secrets"].get(name) or {}
    length = int(wish.get("generate") or LENGTH)
    new = options.secrets.get(name) or "".join(generator.choice(ALPHABET) for _character in range(length))
    wanted = changes(name, kept, new, options.secrets, options.fallbacks)
    changed = {one: value for one, value in wanted.items() if value != kept.get(one, "")}
    for one in changed:
        write_private(_path(app, one) + FORMER, kept.get(one, ""))
    if REDIS in changed:
        _tell_redis(app, [changed[REDIS], kept.get(REDIS, "")])
    for one, value in changed.items():
        _put(app, one, value)
    return f"{name} has a new value." if changed else f"{name}: nothing to change."


def finish(app: App, busy: Collection[str], waited: bool) -> bool:
    """End the rotations that the live release has gone along with: the former values are valid nowhere any more.

    :param busy: releases of which something still runs; as long as it uses a former password, that stays.
    :param waited: whether others that have a former value may be left behind; they are removed by a later deploy.
    :returns: whether there was anything to end.
    """
    former = pending(app)
    old = outdated(app, former) if former else set()
    passwords = [name for name in former if name == REDIS or of_database(app.record, name)]
    if not former or app.live in old or (old & set(busy) and (passwords or not waited)):
        return False
    for entry in app.ledger.entries:
        if entry.id in old and entry.state == _ledger.GOOD:
            # Removed as everything is that is no way back, and with them the last files that hold the former values.
            app.ledger.mark(entry, _ledger.OUTDATED, "outdated")
    if REDIS in former:
        _tell_redis(app, [app.secrets[REDIS]])
    for name in former:
        os.unlink(_path(app, name) + FORMER)
    return True


def taken_up(app: App, former: Mapping[str, str]) -> set[str]:
    """The secrets whose new value the live release has: their rotation waits for the end of something older."""
    text, kept = _held_by(app, app.live), app.secrets
    found = {
        name
        for name, value in former.items()
        if (_holds(text, kept[name]) if kept.get(name) else not _holds(text, value.removesuffix("\n")))
    }
    # The former key is a fallback from the beginning, and stands in the environment of what is live as the key.
    return found if KEY in found or KEY not in former else found - {FALLBACKS}


def to_do(app: App) -> list[str]:
    """What is left to the operator when the rotations that are on their way have come to their end, a sentence each."""
    former = pending(app)
    passwords = [name for name in former if of_database(app.record, name)]
    if not passwords:
        return []
    now = {login for found in _logins_of(app, app.live).values() for login in found}
    before = [_logins_of(app, release).get(name, []) for release in outdated(app, former) for name in passwords]
    return [
        f"Nothing of {app.name} on this server is {user} at {host}:{port} any more. Where that is so on all of its "
        f'servers, and nobody else is, close it there: ALTER ROLE "{user}" PASSWORD NULL'
        for user, host, port in sorted({login for found in before for login in found} - now)
    ]


def take_back(app: App) -> list[str]:
    """Put the values that are live back where a deploy has failed; returns the names of the secrets."""
    former = pending(app)
    for name in taken_up(app, former):
        del former[name]
    for name, value in former.items():
        _put(app, name, value)
    if REDIS in former:
        _tell_redis(app, [app.secrets[REDIS]])
    for name in former:
        os.unlink(_path(app, name) + FORMER)
    return sorted(former)


def outdated(app: App, former: Mapping[str, str]) -> set[str]:
    """The releases whose environment is from before one of the rotations."""
    kept = app.secrets
    found = set()
    for path in pathlib.Path(app.paths["config"]).glob("*.env"):
        text = _held_by(app, path.stem)
        if any(is_before(text, value.removesuffix("\n"), kept.get(name, "")) for name, value in former.items()):
            found.add(path.stem)
    return found


def _logins_of(app: App, release: str) -> dict[str, list[Login]]:
    """See :func:`logins`: as it was when the release was made; nothing for one of older code, or that is gone."""
    try:
        known = Release(app, release).facts.get("logins", {})
    except FileNotFoundError:
        return {}
    return {name: [(str(user), str(host), int(port)) for user, host, port in found] for name, found in known.items()}


def _held_by(app: App, release: str) -> str:
    """The environment of a release and what it gets as files."""
    files = [f"{app.paths['config']}/{release}.env", *Release(app, release).credentials.values()]
    return "\n".join(pathlib.Path(file).read_text("utf-8") for file in files if os.path.exists(file))


def wait(app: App, seconds: float) -> None:
    """Wait until nothing runs any more that has a former value, or the time is over."""
    old, end = outdated(app, pending(app)) - {app.live}, time.monotonic() + seconds
    while old & running(app) and time.monotonic() < end:
        time.sleep(_background.INTERVAL)


def running(app: App) -> set[str]:
    """The releases of which anything runs."""
    return {*_live.running(app.record["units"]["web"]), *_background.releases(app)}


def _path(app: App, name: str) -> str:
    return f"{app.paths['secrets']}/{name}"


def _put(app: App, name: str, value: str) -> None:
    if value:
        write_private(_path(app, name), value)
        return
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_path(app, name))


def _tell_redis(app: App, passwords: Collection[str]) -> None:
    """Have Redis take these passwords of the app, and no others; no connection is cut."""
    hashes = list(dict.fromkeys(digest(password) for password in passwords if password))
    for instance in app.record["redis"].get("instances", []):
        path = REDIS_USERS.format(instance)
        try:
            seen = os.stat(path)
            text = pathlib.Path(path).read_text("utf-8")
        except FileNotFoundError as error:
            raise ReleaseError(
                f"There is no Redis {instance} on this server.", "run the playbook groundcrew.django.site once"
            ) from error
        # Also where the file says so already: the run that wrote it may have died before Redis was told.
        write_private(path, with_passwords(text, app.record["redis"]["user"], hashes), 0o640, seen.st_gid)
        done = subprocess.run([REDIS_RELOAD, instance], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ReleaseError(
                f"Redis does not take the passwords of {app.name}.",
                f"look into journalctl -u redis-server@{instance} on the server, and run this again",
            )
