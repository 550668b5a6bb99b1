"""Secrets get new values while visitors and workers are at it; what dies or fails on the way loses nothing."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from jobs import Jobs
from load import Load
from testbed import pebble, server

FOLDER = "/etc/groundcrew/jobs/secrets"
PLANTED = "planted-token-6f2b9c4e"
# No release is as healthy as this wants it.
FAILING = {"jobs_change": {"health": {"path": "/", "status": [204]}}, "app_deploy_health_timeout": 10}


# Two users of a database elsewhere, of whom the second one does everything as the first.
USERS = {"jobs": "chosen-for-the-first-0d81", "jobs_second": "chosen-for-the-second-7ac4"}
DATABASE = f"""
CREATE ROLE jobs LOGIN PASSWORD '{USERS["jobs"]}';
CREATE ROLE jobs_second LOGIN PASSWORD '{USERS["jobs_second"]}';
GRANT jobs TO jobs_second;
ALTER ROLE jobs_second SET role = jobs;
CREATE DATABASE jobs OWNER jobs;
"""
OPEN = """
DEBIAN_FRONTEND=noninteractive; export DEBIAN_FRONTEND
{ apt-get -qq update && apt-get install -qq -y --no-install-recommends postgresql; } >/dev/null 2>&1
cd /etc/postgresql/*/main
echo "host all all samenet scram-sha-256" >>pg_hba.conf
echo "listen_addresses = '*'" >conf.d/open.conf
systemctl restart postgresql
"""


class Keeper(Jobs):
    """The jobs, everything that its operator has seen, and every secret that there ever was."""

    def __init__(self, name: str, load: Load) -> None:
        super().__init__(name)
        self.load = load
        self.said: list[str] = []
        self.known: set[str] = {PLANTED}
        self.secrets()

    def play(self, playbook: str, **options: Any) -> str:
        self.said.append(super().play(playbook, **options))
        self.secrets()
        return " ".join(self.said[-1].split())

    def rotate(self, secret: str, **more: Any) -> str:
        return self.play("rotate", secret=secret, **more)

    def secrets(self) -> dict[str, str]:
        """The files of the secrets and what they hold."""
        script = f"import json, pathlib; print(json.dumps({{p.name: p.read_text() for p in pathlib.Path('{FOLDER}').iterdir()}}))"
        found: dict[str, str] = json.loads(self.root(f'python3 -c "{script}"'))
        self.known |= {value for value in found.values() if value}
        return found

    def redis_takes(self, password: str) -> bool:
        """Whether both instances let the app in with it."""
        script = f"REDISCLI_AUTH={password} redis-cli --user jobs -p %d CLIENT LIST 2>&1 | grep -c ^id= || true"
        answers = {self.root(script % port) != "0" for port in (6379, 6380)}
        assert len(answers) == 1
        return answers.pop()

    def users(self) -> list[list[str]]:
        """The hashes that the files of Redis's users have for the app."""
        lines = self.root("grep -h '^user jobs ' /etc/redis/redis-*.acl").splitlines()
        return [[word[1:] for word in line.split() if word.startswith("#")] for line in lines]

    def releases(self) -> list[str]:
        return self.root("cd /etc/groundcrew/jobs; ls *.env").split()

    @contextmanager
    def nobody_notices(self) -> Iterator[None]:
        with self.load.watched() as windows:
            yield
        assert not windows[0].failures, str(windows[0])
        assert len(windows[0].requests) > 20

    @contextmanager
    def killed(self, secret: str) -> Iterator[None]:
        """A rotation of which everything dies once the new release has its environment."""
        only = "{{ django_apps | groundcrew.django.app_records | selectattr('name', 'eq', 'jobs') }}"
        inventory = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], "inventory")
        argv = ["ansible-playbook", "groundcrew.django.rotate", f"--limit={self.name}", f"--inventory={inventory}"]
        extra = {"app_deploy_apps": only, "secret": secret}
        before = self.releases()
        with subprocess.Popen(
            [*argv, f"--extra-vars={json.dumps(extra)}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as run:
            self.wait_for(lambda: self.releases() != before)
            self.root("systemctl kill --signal=KILL jobs-deploy.service")
            self.said.append(run.communicate()[0])
            assert run.returncode
        assert self.releases() != before
        yield


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture(scope="module")
def jobs(host: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keeper]:
    name = host.backend.get_hostname()
    url, log = f"https://jobs.{name}.test/count/", tmp_path_factory.mktemp(name) / "requests"
    address = ":".join(map(str, server.endpoint(name, 443)))
    patch = pytest.MonkeyPatch()
    # As much output as somebody who looks for a fault asks for.
    patch.setenv("ANSIBLE_VERBOSITY", "3")
    patch.setenv("ANSIBLE_DIFF_ALWAYS", "1")
    with Load(url, address, pebble.ROOTS, log, rate=15) as load:
        yield Keeper(name, load)
    patch.undo()


def visit(jobs: Keeper, cookie: str = "") -> tuple[int, str]:
    """How often the bearer of a session was here, and the session."""
    answer = jobs.visitor.get(f"{jobs.url}/visits/", headers={"Cookie": cookie})
    return json.loads(answer.text)["visits"], str(answer.headers["Set-Cookie"]).partition(";")[0]


def test_a_dry_run_says_what_would_happen(jobs: Keeper) -> None:
    before, current = jobs.secrets(), jobs.current()
    said = jobs.rotate("secret_key", dry=True)
    assert "secret_key would get a new value" in said
    assert "Sessions and signed links would stay valid" in said
    assert "All sessions would end" in jobs.rotate("secret_key", dry=True, fallbacks=False)
    assert "Redis would take both passwords" in jobs.rotate("redis_password", dry=True)
    assert (jobs.secrets(), jobs.current()) == (before, current)


@pytest.mark.parametrize(
    ("secret", "says"),
    [
        ("payment_token", "give django_app_secrets.jobs.payment_token a new value"),
        ("salt", "one of: secret_key, redis_password, pepper, secret_key_fallbacks, payment_token"),
        ("database_password", "The database jobs has no password"),
        ("", "-e secret=NAME"),
    ],
)
def test_what_cannot_be_rotated_is_refused_before_anything_changes(jobs: Keeper, secret: str, says: str) -> None:
    before, current = jobs.secrets(), jobs.current()
    for dry in (True, False):
        assert says in jobs.rotate(secret, fails=True, dry=dry)
    assert (jobs.secrets(), jobs.current()) == (before, current)


def test_a_session_outlives_a_new_key_until_that_is_forgotten(jobs: Keeper) -> None:
    before, left = jobs.secrets(), jobs.current()
    _once, session = visit(jobs)
    assert visit(jobs, session)[0] == 2
    with jobs.nobody_notices():
        jobs.rotate("secret_key")
    after = jobs.secrets()
    assert after["secret_key"] != before["secret_key"]
    assert after["secret_key_fallbacks"] == before["secret_key"]
    assert not [name for name in after if name.endswith(".former")]
    assert visit(jobs, session)[0] == 2
    # What has the former key is no way back, and not there any more.
    jobs.wait_for(lambda: "changed=0" in jobs.deploy("good-1"))
    assert jobs.releases() == [f"{jobs.current()}.env"]
    said = jobs.play("rollback", fails=True)
    assert "those from before the rotation of a secret are no way back" in said
    assert "is from before the rotation of a secret" in jobs.play("rollback", fails=True, release=left)
    with jobs.nobody_notices():
        jobs.rotate("secret_key_fallbacks")
    assert "secret_key_fallbacks" not in jobs.secrets()
    assert visit(jobs, session)[0] == 1
    assert "changed=0" in jobs.rotate("secret_key_fallbacks")


def test_redis_takes_both_passwords_until_nobody_uses_the_former(jobs: Keeper) -> None:
    jobs.forget()
    before = jobs.secrets()["redis_password"]
    jobs.add("celery", 1, 30, 30, first=100)
    jobs.wait_for(lambda: jobs.runs("celery"))
    jobs.add("celery", 60, 0.1, 1)
    with jobs.nobody_notices():
        jobs.rotate("redis_password")
    after = jobs.secrets()
    assert "redis_password.former" not in after
    assert jobs.redis_takes(after["redis_password"])
    assert not jobs.redis_takes(before)
    assert jobs.users() == [[digest(after["redis_password"])]] * 2
    jobs.wait_for(lambda: len(jobs.runs("celery")) > 60)
    assert jobs.done("celery") == dict.fromkeys([*range(60), 100], 1)
    jobs.wait_for(jobs.tidy)
    assert jobs.beats() == 1
    assert "changed=0" in jobs.play("site", app_deploy_lock_wait=60)


def test_a_secret_of_the_app_itself_gets_a_new_value(jobs: Keeper) -> None:
    before = jobs.secrets()
    jobs.rotate("pepper")
    after = jobs.secrets()
    assert len(after["pepper"]) == 64
    assert {name for name in after if after[name] != before.get(name)} == {"pepper"}
    assert jobs.get("pepper/")["sha256"] == digest(after["pepper"])


def test_a_secret_reaches_every_process_as_a_file_that_nobody_else_reads(jobs: Keeper) -> None:
    pepper = jobs.secrets()["pepper"]
    assert pepper not in jobs.root(f"cat /etc/groundcrew/jobs/{jobs.current()}.env")
    jobs.forget()
    jobs.add("celery", 1, 0, 0)
    assert jobs.done("celery") == {0: 1}
    assert "had a nap" in jobs.play("manage", app="jobs", schedule="nap")
    command = "shell -c 'from django.conf import settings; print(len(settings.PEPPER))'"
    assert "64" in jobs.play("manage", app="jobs", command=command)
    script = "umask 077; cat > /root/pattern; {} grep -rlF -f - /run/credentials -s < /root/pattern | wc -l; rm /root/pattern"
    as_nobody = "setpriv --reuid=nobody --regid=nogroup --clear-groups"
    assert int(server.root(jobs.name, script.format(""), pepper)) > 1
    assert server.root(jobs.name, script.format(as_nobody), pepper) == "0"
    names = jobs.root("systemctl cat 'jobs-*' | grep -c '^LoadCredential=PEPPER_FILE:/etc/groundcrew/jobs/'")
    assert int(names) >= 4


@pytest.mark.parametrize("secret", ["redis_password", "secret_key"])
def test_a_rotation_that_fails_is_taken_back(jobs: Keeper, secret: str) -> None:
    before, current = jobs.secrets(), jobs.current()
    with jobs.nobody_notices():
        said = jobs.rotate(secret, fails=True, **FAILING)
    assert "the value before is in use again" in said
    assert (jobs.secrets(), jobs.current()) == (before, current)
    assert jobs.users() == [[digest(before["redis_password"])]] * 2


def test_a_project_that_cannot_take_the_former_key_is_told_of(jobs: Keeper) -> None:
    before, current = jobs.secrets(), jobs.current()
    settings = {"production_settings": "never"}
    said = jobs.rotate("secret_key", fails=True, jobs_change=settings)
    assert "With a new SECRET_KEY all sessions would end: the settings do not read SECRET_KEY_FALLBACKS" in said
    assert "-e fallbacks=false" in said
    assert (jobs.secrets(), jobs.current()) == (before, current)
    _once, session = visit(jobs)
    jobs.rotate("secret_key", fallbacks=False, jobs_change=settings)
    assert visit(jobs, session)[0] == 1
    assert "secret_key_fallbacks" not in jobs.secrets()
    # By now it is known of what is live.
    before = jobs.secrets()
    assert "all sessions would end" in jobs.rotate("secret_key", fails=True, dry=True, jobs_change=settings)
    jobs.deploy("good-1")


def test_a_rotation_that_was_killed_is_finished_by_the_next_deploy(jobs: Keeper) -> None:
    before, current = jobs.secrets(), jobs.current()
    with jobs.nobody_notices():
        with jobs.killed("redis_password"):
            between = jobs.secrets()
            assert jobs.current() == current
            assert between["redis_password.former"] == before["redis_password"]
            assert jobs.redis_takes(before["redis_password"])
            assert jobs.redis_takes(between["redis_password"])
            # The role of Redis lets both be.
            jobs.play("site", app_deploy_apps=[])
            assert jobs.redis_takes(before["redis_password"])
        said = jobs.deploy("good-1")
    assert "The rotation of redis_password, which was on its way, ends with this deploy" in said
    after = jobs.secrets()
    assert after["redis_password"] == between["redis_password"]
    assert "redis_password.former" not in after
    assert not jobs.redis_takes(before["redis_password"])
    assert jobs.current() != current


def test_a_rotation_that_was_killed_is_taken_back_by_a_deploy_that_fails(jobs: Keeper) -> None:
    before, current = jobs.secrets(), jobs.current()
    with jobs.nobody_notices(), jobs.killed("redis_password"):
        jobs.deploy("good-1", fails=True, **FAILING)
        assert jobs.secrets() == before
        assert jobs.users() == [[digest(before["redis_password"])]] * 2
    assert jobs.current() == current
    assert "changed=0" in jobs.deploy("good-1")


def test_a_new_password_from_the_vault_drops_no_request_either(jobs: Keeper) -> None:
    before = jobs.secrets()["redis_password"]
    given = {"jobs": {"payment_token": PLANTED, "redis_password": "chosen-by-somebody-8c1d"}}
    with jobs.nobody_notices():
        jobs.deploy("good-1", app_deploy_secrets=given)
    assert jobs.secrets()["redis_password"] == "chosen-by-somebody-8c1d"
    assert not jobs.redis_takes(before)
    given["jobs"]["redis_password"] = "chosen-by-somebody-else"
    with jobs.nobody_notices():
        jobs.play("site", django_app_secrets=given)
    assert jobs.secrets()["redis_password"] == "chosen-by-somebody-else"
    assert not jobs.redis_takes("chosen-by-somebody-8c1d")
    said = jobs.rotate("redis_password", fails=True, app_deploy_secrets=given)
    assert "comes from django_app_secrets and is never overwritten" in said
    jobs.rotate("redis_password")


class Elsewhere:
    """A server of PostgreSQL that is not ours."""

    def __init__(self, name: str) -> None:
        self.name = name
        server.up(name, "trixie")
        server.root(name, OPEN)
        self.sql(DATABASE, "postgres")
        self.address = server.address(name)

    def sql(self, statements: str, database: str = "jobs") -> str:
        psql = f"cd / && runuser -u postgres -- psql -AtqX -v ON_ERROR_STOP=1 {database}"
        return server.root(self.name, psql, statements)

    def variables(self, user: str, password: str) -> dict[str, Any]:
        """What is in the inventory and the vault of an app that is this user."""
        secrets = {"payment_token": PLANTED, "database_password": password}
        database = {"host": self.address, "user": user}
        return {"jobs_change": {"database": database}, "django_app_secrets": {"jobs": secrets}}


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    name = "secrets-elsewhere"
    try:
        yield Elsewhere(name)
    finally:
        server.down(name)


def test_users_of_a_database_elsewhere_take_turns(jobs: Keeper, elsewhere: Elsewhere) -> None:
    first, second = (elsewhere.variables(user, password) for user, password in USERS.items())
    jobs.deploy("good-1", **first)
    for same in (first, elsewhere.variables("jobs", "chosen-for-nobody-55e0")):
        assert "let two users take turns" in jobs.rotate("database_password", fails=True, **same)
    assert "yours to close" in jobs.rotate("database_password", dry=True, **second)
    # He is refused by the server before anything of him is live.
    current = jobs.current()
    with jobs.nobody_notices():
        jobs.rotate("database_password", fails=True, **elsewhere.variables("jobs_second", "chosen-for-nobody-55e0"))
    assert jobs.current() == current
    # A worker goes on as the former user until its task is over.
    jobs.add("celery", 1, 20, 20, first=7)
    jobs.wait_for(lambda: jobs.runs("celery"))
    with jobs.nobody_notices():
        said = jobs.rotate("database_password", **second)
        close = f"Nothing of jobs on this server is jobs at {elsewhere.address}:5432 any more"
        assert close in said
        assert 'ALTER ROLE "jobs" PASSWORD NULL' in said
        # From here on nobody gets in as the former user, neither visitors nor workers.
        elsewhere.sql('ALTER ROLE "jobs" PASSWORD NULL')
        jobs.add("celery", 1, 1, 1, first=8)
        jobs.wait_for(lambda: len(jobs.runs("celery")) == 2)
        assert jobs.done("celery") == {7: 1, 8: 1}
    assert jobs.secrets()["database_password"] == USERS["jobs_second"]
    assert elsewhere.sql("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'") == "jobs"
    assert "changed=0" in jobs.deploy("good-1", **second)
    # And home again, before there is nothing any more that it could leave.
    jobs.deploy("good-1")


def test_no_run_leaves_a_module_with_its_arguments(jobs: Keeper) -> None:
    """Without pipelining, which is Ansible's default, each module is a file; here one that fails as well."""
    jobs.play("site", ansible_pipelining=False)
    jobs.play("site", fails=True, ansible_pipelining=False, redis_settings={"no-such-setting": "1"})
    jobs.rotate("secret_key", fails=True, ansible_pipelining=False, **FAILING)
    assert jobs.root("ls -d /home/admin/.ansible") == "/home/admin/.ansible"
    assert jobs.root("find /root /home /tmp /var/tmp -name 'ansible*tmp-*' -o -name 'AnsiballZ*'") == ""


def test_no_secret_is_anywhere(jobs: Keeper) -> None:
    assert len(jobs.known) > 8
    assert any("+++ after" in said for said in jobs.said)
    known = jobs.known | {"chosen-for-nobody-55e0"}
    assert not [secret[:4] for secret in known for said in jobs.said if secret in said]
    places = "/etc /home /opt /run /srv /tmp /usr/local /var"
    script = f"""
        umask 077
        cat > /root/patterns
        journalctl --no-pager --output=export > /root/journal
        cat /proc/[0-9]*/cmdline > /root/cmdlines
        systemctl show --all '*' > /root/units
        grep -qrF -f /root/patterns /etc/groundcrew && echo the search finds what is there
        grep -laF -f /root/patterns /root/journal /root/cmdlines /root/units
        grep -rlaF -s -f /root/patterns /dev/shm $(find / -maxdepth 1 -type f) \
            $(find / -mindepth 1 -maxdepth 1 -type d ! -name proc ! -name sys ! -name dev) |
            grep -v -e ^/etc/groundcrew/ -e ^/run/credentials/ -e ^/root/patterns
        setpriv --reuid=nobody --regid=nogroup --clear-groups grep -rlaF -s -f - {places} < /root/patterns
        rm /root/patterns /root/journal /root/cmdlines /root/units
        true
        """
    assert server.root(jobs.name, script, "\n".join(sorted(known)) + "\n") == "the search finds what is there"
