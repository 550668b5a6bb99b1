# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rotation may do and where it goes on from; the deploy that carries it through is seen on a real server."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import typing as t

import pytest

from ansible_collections.groundcrew.django.plugins.module_utils import _ledger, _rotation
from ansible_collections.groundcrew.django.plugins.module_utils._engine import hide
from ansible_collections.groundcrew.django.plugins.module_utils._environment import compose, credentials, render
from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.module_utils._release import App, Options
from ansible_collections.groundcrew.django.plugins.module_utils._rollback import choose
from ansible_collections.groundcrew.django.plugins.module_utils._secret_files import digest

LOCAL = {"local": True, "host": "", "name": "shop", "user": "shop"}
ELSEWHERE = {"local": False, "host": "db.example.com", "port": 5432, "name": "shop", "user": "shop"}
SHOP = ("shop", "db.example.com", 5432)
RECORD: dict[str, t.Any] = {
    "name": "shop",
    "redis": {"instances": ["cache", "queue"], "user": "shop"},
    "secrets": {"pepper": {"generate": 64}},
    "database": LOCAL,
    "databases": {"far": ELSEWHERE},
}
KEPT = {"secret_key": "k0", "redis_password": "p0", "pepper": "x0", "token": "t0"}
GIVEN = {"token": "t0"}


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("secret_key", GIVEN),
        ("redis_password", GIVEN),
        ("pepper", GIVEN),
        ("secret_key_fallbacks", GIVEN),
        # The vault has a new one.
        ("token", {"token": "t1"}),
        ("redis_password", {"redis_password": "p1"}),
    ],
)
def test_what_can_be_rotated(name: str, given: dict[str, str]) -> None:
    _rotation.refuse(RECORD, name, given, KEPT)


@pytest.mark.parametrize("name", ["database_password", "database_password_far"])
def test_two_users_of_a_database_elsewhere_take_turns(name: str) -> None:
    second = {**ELSEWHERE, "user": "second"}
    record = {**RECORD, "database": second, "databases": {"far": second}}
    _rotation.refuse(record, name, {name: "d1"}, {name: "d0"}, [SHOP])


@pytest.mark.parametrize(
    ("databases", "secrets", "logins"),
    [
        ({"database": LOCAL, "databases": {}}, [], {}),
        ({"database": None, "databases": {}}, [], {}),
        ({"database": ELSEWHERE, "databases": {}}, ["database_password"], {"database_password": [SHOP]}),
        (
            {"database": ELSEWHERE, "databases": {"far": ELSEWHERE}},
            ["database_password", "database_password_far"],
            {"database_password": [SHOP], "database_password_far": [SHOP]},
        ),
        # One without a password of its own takes the first one's.
        (
            {"database": LOCAL, "databases": {"far": ELSEWHERE}},
            ["database_password"],
            {"database_password": [SHOP]},
        ),
    ],
)
def test_who_an_app_is_elsewhere(databases: dict[str, t.Any], secrets: list[str], logins: dict[str, t.Any]) -> None:
    assert _rotation.logins(databases, secrets) == logins


@pytest.mark.parametrize(
    ("name", "given", "changes", "message", "cure"),
    [
        ("salt", GIVEN, {}, "no secret salt", "secret_key, redis_password, pepper, secret_key_fallbacks, token"),
        ("redis_password", {}, {"redis": {}}, "no secret redis_password", "one of: secret_key, pepper"),
        ("token", GIVEN, {}, "never overwritten", "django_app_secrets.shop.token"),
        ("secret_key", {"secret_key": "k0"}, {}, "never overwritten", "django_app_secrets.shop.secret_key"),
        ("secret_key_fallbacks", {"secret_key_fallbacks": "a"}, {}, "django_app_secrets", "remove it there"),
        ("database_password", {}, {"databases": {}}, "has no password", "nothing to rotate"),
        ("database_password", {"database_password": "d1"}, {"databases": {}}, "has no password", "nothing to rotate"),
        (
            "database_password",
            {"database_password": "d0"},
            {"database": ELSEWHERE},
            "db.example.com",
            "database: {user",
        ),
        # New, and of the user who is live.
        ("database_password", {"database_password": "d1"}, {"database": ELSEWHERE}, "one password at a time", "second"),
        ("database_password_far", {"database_password": "d1"}, {}, "db.example.com", "databases: {far: {user"),
        ("database_password_near", {}, {}, "no database", ""),
        ("", {}, {}, "Which secret", "-e secret=NAME"),
    ],
)
def test_what_cannot_be_rotated_is_told_with_what_to_do(
    name: str, given: dict[str, str], changes: dict[str, t.Any], message: str, cure: str
) -> None:
    with pytest.raises(ReleaseError) as caught:
        _rotation.refuse({**RECORD, **changes}, name, given, {**KEPT, "database_password": "d0"}, [SHOP])
    assert message in caught.value.message
    assert cure in caught.value.cure


@pytest.mark.parametrize(
    ("name", "given", "keep_key", "changes"),
    [
        ("secret_key", (), True, {"secret_key": "new", "secret_key_fallbacks": "k0"}),
        ("secret_key", (), False, {"secret_key": "new", "secret_key_fallbacks": ""}),
        ("secret_key", ("secret_key_fallbacks",), True, {"secret_key": "new"}),
        ("secret_key_fallbacks", (), True, {"secret_key_fallbacks": ""}),
        ("pepper", (), True, {"pepper": "new"}),
    ],
)
def test_what_changes(name: str, given: tuple[str, ...], keep_key: bool, changes: dict[str, str]) -> None:
    assert _rotation.changes(name, KEPT, "new", given, keep_key) == changes


ENVIRONMENT = render(
    {"SECRET_KEY": 'a"b$c', "REDIS_URL": "redis://shop:old@127.0.0.1:6379/7", "B": "redis://shop:p%40ss@"}
)


@pytest.mark.parametrize(
    ("former", "current", "before"),
    [
        ("old", "new", True),
        ('a"b$c', "new", True),
        ("new", "old", False),
        ("p@ss", "new", True),
        ("old", "p@ss", False),
        # Both: the former SECRET_KEY among the fallbacks.
        ("old", 'a"b$c', False),
        # Neither: nothing of the release uses it.
        ("x", "y", False),
        ("127", "new", True),
        ("12", "new", False),
        # There was none, there is none any more, and begun but not changed yet.
        ("", "new", False),
        ("old", "", True),
        ("old", "old", False),
    ],
)
def test_a_release_is_from_before_a_rotation(former: str, current: str, before: bool) -> None:
    assert _rotation.is_before(ENVIRONMENT, former, current) is before


OLD, NEW = digest("old"), digest("new")
USERS = f"user default off\nuser root on #{OLD} ~*\nuser shop on #{OLD} ~* +@all\nuser shop-two on #{OLD} ~*\n"


def test_redis_takes_both_passwords_of_one_user() -> None:
    both = _rotation.with_passwords(USERS, "shop", [NEW, OLD])
    assert both == USERS.replace(f"user shop on #{OLD}", f"user shop on #{NEW} #{OLD}")
    assert _rotation.with_passwords(both, "shop", [OLD]) == USERS
    with pytest.raises(ReleaseError, match="does not know the user blog"):
        _rotation.with_passwords(USERS, "blog", [NEW])


SECRETS = ("redis_password", "secret_key", "secret_key_fallbacks", "pepper", "token", "database_password")


@dataclasses.dataclass
class Server:
    """An app with one live release, whose Redis only writes down which passwords it takes."""

    app: App
    redis: list[list[str]]

    @property
    def secrets(self) -> dict[str, str]:
        return self.app.secrets

    def release(self, name: str) -> None:
        text = render({name: self.app.secrets.get(name, "") for name in SECRETS})
        pathlib.Path(self.app.paths["config"], f"{name}.env").write_text(text)
        self.app.ledger.entries.append(_ledger.Entry(name, "", "", "", "", state=_ledger.GOOD))
        (pathlib.Path(self.app.paths["releases"]) / name).mkdir(parents=True, exist_ok=True)
        current = pathlib.Path(self.app.paths["current"])
        current.unlink(missing_ok=True)
        current.symlink_to(f"releases/{name}")

    def put(self, name: str, value: str) -> None:
        pathlib.Path(self.app.paths["secrets"], name).write_text(value)

    def remember(self, release: str, **facts: t.Any) -> None:
        beside = pathlib.Path(self.app.paths["releases"], release, "groundcrew")
        beside.mkdir(parents=True)
        (beside / "release.json").write_text(json.dumps(facts))


@pytest.fixture
def server(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    paths = {name: str(tmp_path / name) for name in ("releases", "current", "state", "config")}
    paths["secrets"] = f"{paths['config']}/secrets"
    for name in ("state", "secrets"):
        pathlib.Path(paths[name]).mkdir(parents=True)
    for name, value in KEPT.items():
        pathlib.Path(paths["secrets"], name).write_text(value)
    monkeypatch.setattr(_rotation, "write_private", lambda path, text: pathlib.Path(path).write_text(text))
    taken: list[list[str]] = []
    monkeypatch.setattr(_rotation, "_tell_redis", lambda _app, passwords: taken.append(list(passwords)))
    server = Server(App({**RECORD, "user": "shop", "paths": paths}), taken)
    server.release("r1")
    return server


@pytest.mark.parametrize("name", ["secret_key", "redis_password", "pepper"])
def test_a_rotation_goes_from_its_beginning_to_its_end(server: Server, name: str) -> None:
    _rotation.begin(server.app, name, Options())
    assert _rotation.pending(server.app)[name] == KEPT[name]
    assert len(server.secrets[name]) == (64 if name == "pepper" else 50)
    # Not before the deploy.
    assert not _rotation.finish(server.app, [], waited=True)
    server.release("r2")
    assert _rotation.outdated(server.app, _rotation.pending(server.app)) == {"r1"}
    assert not _rotation.finish(server.app, ["r1"], waited=False)
    assert _rotation.finish(server.app, ["r1"], waited=True) is (name != "redis_password")
    assert _rotation.finish(server.app, [], waited=False) is (name == "redis_password")
    assert _rotation.pending(server.app) == {}
    first, second = server.app.ledger.entries
    assert (first.state, second.state) == (_ledger.OUTDATED, _ledger.GOOD)
    if name == "redis_password":
        new = server.secrets[name]
        assert server.redis == [[new, "p0"], [new]]
    if name == "secret_key":
        assert server.secrets["secret_key_fallbacks"] == "k0"


@pytest.mark.parametrize("name", ["secret_key", "redis_password", "pepper"])
def test_a_rotation_is_taken_back(server: Server, name: str) -> None:
    _rotation.begin(server.app, name, Options())
    assert name in _rotation.take_back(server.app)
    assert server.secrets == KEPT
    assert server.redis[1:] == ([["p0"]] if name == "redis_password" else [])


@pytest.mark.parametrize("name", ["secret_key", "redis_password", "pepper"])
def test_what_is_live_keeps_its_value_when_a_later_deploy_fails(server: Server, name: str) -> None:
    _rotation.begin(server.app, name, Options())
    server.release("r2")
    after, told = server.secrets, len(server.redis)
    # A worker of r1 is at a long task.
    assert not _rotation.finish(server.app, ["r1"], waited=False)
    assert _rotation.take_back(server.app) == []
    assert (server.secrets, len(server.redis)) == (after, told)
    assert name in _rotation.pending(server.app)


def test_of_two_rotations_only_the_one_that_failed_is_taken_back(server: Server) -> None:
    _rotation.begin(server.app, "redis_password", Options())
    server.release("r2")
    new = server.secrets["redis_password"]
    _rotation.begin(server.app, "secret_key", Options())
    assert _rotation.take_back(server.app) == ["secret_key", "secret_key_fallbacks"]
    assert server.secrets == {**KEPT, "redis_password": new, "redis_password.former": "p0"}
    assert list(_rotation.pending(server.app)) == ["redis_password"]


def test_a_key_is_a_fallback_before_it_is_replaced(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(app: App, name: str, value: str) -> None:
        if name == "secret_key":
            raise OSError(28, "No space left on device")
        put(app, name, value)

    put = _rotation._put
    monkeypatch.setattr(_rotation, "_put", die)
    with pytest.raises(OSError):
        _rotation.begin(server.app, "secret_key", Options())
    assert (server.secrets["secret_key"], server.secrets["secret_key_fallbacks"]) == ("k0", "k0")
    monkeypatch.undo()
    monkeypatch.setattr(_rotation, "_tell_redis", lambda _app, _passwords: None)
    monkeypatch.setattr(_rotation, "write_private", lambda path, text: pathlib.Path(path).write_text(text))
    _rotation.begin(server.app, "secret_key", Options())
    assert server.secrets["secret_key"] != "k0"
    assert server.secrets["secret_key_fallbacks"] == "k0"


def test_another_value_from_the_vault_while_a_rotation_is_on_its_way(server: Server) -> None:
    _rotation.begin(server.app, "redis_password", Options())
    # r1 is live still: the value in between has never been in use.
    _rotation.begin(server.app, "redis_password", Options(secrets={"redis_password": "p2"}))
    assert server.redis[-1] == ["p2", "p0"]
    assert (server.secrets["redis_password"], _rotation.pending(server.app)["redis_password"]) == ("p2", "p0")
    server.release("r2")
    with pytest.raises(ReleaseError, match="cannot get another new value yet"):
        _rotation.begin(server.app, "redis_password", Options(secrets={"redis_password": "p3"}))
    assert server.redis[-1] == ["p2", "p0"]


def test_the_former_user_of_a_database_elsewhere_is_left_to_its_operator(server: Server) -> None:
    name, second = "database_password", {**ELSEWHERE, "user": "second"}
    server.app.record = {**server.app.record, "database": ELSEWHERE}
    server.put(name, "d0")
    server.release("r1")
    server.remember("r1", logins={name: [SHOP]})
    _rotation.begin(server.app, name, Options(secrets={name: "d1"}))
    server.app.record = {**server.app.record, "database": second, "databases": {}}
    server.release("r2")
    server.remember("r2", logins=_rotation.logins(server.app.record, [name]))
    (said,) = _rotation.to_do(server.app)
    assert "Nothing of shop on this server is shop at db.example.com:5432 any more" in said
    assert said.endswith('ALTER ROLE "shop" PASSWORD NULL')
    # A worker of r1 is at a long task.
    assert not _rotation.finish(server.app, ["r1"], waited=True)
    assert _rotation.finish(server.app, [], waited=True)
    assert _rotation.to_do(server.app) == []


def test_one_that_was_cut_off_keeps_its_new_value(server: Server) -> None:
    _rotation.begin(server.app, "redis_password", Options())
    new = server.secrets["redis_password"]
    assert "cut off" in _rotation.begin(server.app, "redis_password", Options())
    assert server.secrets["redis_password"] == new


def test_one_that_was_cut_off_may_be_asked_for_again(server: Server) -> None:
    asked = Options(rotate="token", secrets={"token": "t1"})
    server.put("token", "t0")
    _rotation.check(server.app, asked)
    _rotation.begin(server.app, asked.rotate, asked)
    # The value of the vault is on the server now.
    _rotation.check(server.app, asked)
    server.release("r2")
    assert _rotation.finish(server.app, [], waited=True)
    with pytest.raises(ReleaseError, match="is never overwritten"):
        _rotation.check(server.app, asked)


@pytest.mark.parametrize("name", ["database_password", "database_password_hint"])
def test_only_a_password_of_a_database_has_a_former_user(server: Server, name: str) -> None:
    own = {**RECORD["secrets"], "database_password_hint": {}}
    server.app.record = {**server.app.record, "database": ELSEWHERE, "databases": {}, "secrets": own}
    given = {name: "new"} if name == "database_password" else {}
    notes = " ".join(_rotation.look(server.app, Options(rotate=name, secrets=given))["notes"])
    assert ("former user of the database" in notes) == (name == "database_password")


def test_one_that_died_before_it_changed_anything_begins_anew(server: Server) -> None:
    former = pathlib.Path(server.app.paths["secrets"], "redis_password.former")
    former.write_text("p0")
    # The next deploy may end it as well: nothing has changed.
    _rotation.begin(server.app, "redis_password", Options())
    assert server.secrets["redis_password"] != "p0"
    assert former.read_text() == "p0"


def test_a_value_from_the_vault_is_the_new_one(server: Server) -> None:
    _rotation.begin(server.app, "token", Options(secrets={"token": "t1"}))
    assert server.secrets["token"] == "t1"


def test_former_keys_reach_the_app_and_are_forgotten_on_demand(server: Server) -> None:
    assert _rotation.begin(server.app, "secret_key_fallbacks", Options()) == "secret_key_fallbacks: nothing to change."
    assert _rotation.pending(server.app) == {}
    _rotation.begin(server.app, "secret_key", Options())
    server.release("r2")
    _rotation.finish(server.app, [], waited=True)
    _rotation.begin(server.app, "secret_key_fallbacks", Options())
    assert "secret_key_fallbacks" not in server.secrets
    _rotation.take_back(server.app)
    assert server.secrets["secret_key_fallbacks"] == "k0"


def test_former_keys_stand_in_the_environment() -> None:
    record: dict[str, t.Any] = {
        "name": "shop",
        "domains": ["shop.example.com"],
        "paths": {"media": "", "data": "", "releases": ""},
        "database": None,
        "databases": {},
        "redis": {},
        "env": {"OLD_KEYS": "${secret.secret_key_fallbacks}"},
    }
    assert "SECRET_KEY_FALLBACKS" not in compose(record, {"secret_key": "k1"}, "r1")
    found = compose(record, {"secret_key": "k1", "secret_key_fallbacks": "k0"}, "r1")
    assert (found["SECRET_KEY_FALLBACKS"], found["OLD_KEYS"]) == ("k0", "k0")


def test_a_release_from_before_a_rotation_is_no_way_back() -> None:
    history = [
        _ledger.Entry("r1", "c1", "main at c1", "", "", state=_ledger.OUTDATED),
        _ledger.Entry("r2", "c2", "", "", "", state=_ledger.GOOD),
    ]
    with pytest.raises(ReleaseError, match="before the rotation of a secret are no way back"):
        choose(history, ["r2"], "r2", "")
    with pytest.raises(ReleaseError, match="main at c1. is from before the rotation") as caught:
        choose(history, ["r2"], "r2", "r1")
    assert "version: c1" in caught.value.cure


def test_what_a_failure_says_holds_no_secret_that_is_taken_back() -> None:
    error = ReleaseError("password s3cret-long is wrong", "", "s3cret s3cret-long")
    hide(error, {"s3cret", "s3cret-long"})
    assert (error.message, error.output) == ("password ******** is wrong", "******** ********")


def test_a_secret_that_is_a_file_is_not_in_the_environment() -> None:
    record: dict[str, t.Any] = {
        "name": "shop",
        "domains": ["shop.example.com"],
        "paths": {"media": "", "data": "", "releases": ""},
        "database": None,
        "databases": {},
        "redis": {},
        "env": {"PEPPER_FILE": "${secret_file.pepper}", "SECRET_KEY": "${secret_file.secret_key}", "A": "1"},
    }
    secrets = {"secret_key": "k1", "pepper": "hot"}
    found = compose(record, secrets, "r1")
    assert "SECRET_KEY" not in found
    assert not [value for value in found.values() if value in ("hot", "k1")]
    assert credentials(record, secrets) == {"PEPPER_FILE": "hot", "SECRET_KEY": "k1"}
    with pytest.raises(ReleaseError, match="pepper"):
        credentials(record, {"secret_key": "k1"})
