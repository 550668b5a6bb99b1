"""Plans, dumps, locks, time limits and the way back, on real databases with two versions of Django."""

from __future__ import annotations

import json
import shlex
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

MANAGE = """
import os
import sys

from django.core.management import execute_from_command_line

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
execute_from_command_line(sys.argv)
"""

# Settings that talk, so that whatever is read from a process is proved not to be theirs.
SETTINGS = """
import os

print("loading the settings")
SECRET_KEY = os.environ["SECRET_KEY"]
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "shop", "news"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ["PGDATABASE"],
        "USER": os.environ["PGUSER"],
        "HOST": os.environ["PGHOST"],
        "PASSWORD": os.environ.get("PGPASSWORD", ""),
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
"""

MIGRATION = """
import time

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


def count(apps, schema_editor):
    # As often as it is run, whatever becomes of the transaction.
    with open("/srv/shop/shared/data/calls", "a") as file:
        file.write("x")


def fail(apps, schema_editor):
    raise ValueError("the second half is missing")


class Migration(migrations.Migration):
    atomic = {atomic}
    dependencies = {dependencies}
    operations = [{operations}]
"""


def migration(operations: str, *after: str, atomic: bool = True) -> str:
    dependencies = [tuple(name.split(".")) for name in after]
    return MIGRATION.format(operations=operations, dependencies=dependencies, atomic=atomic)


FIRST = migration(
    "migrations.CreateModel('Item', [('id', models.BigAutoField(primary_key=True)),"
    " ('name', models.CharField(max_length=50)), ('note', models.TextField(default=''))])"
)
NEWS = migration(
    "migrations.CreateModel('Entry', [('id', models.BigAutoField(primary_key=True)),"
    " ('item', models.ForeignKey('shop.Item', models.CASCADE))])",
    "shop.0001_initial",
)
BASE = {
    "manage.py": MANAGE,
    "settings.py": SETTINGS,
    "shop/__init__.py": "",
    "shop/migrations/__init__.py": "",
    "shop/migrations/0001_initial.py": FIRST,
    "news/__init__.py": "",
    "news/migrations/__init__.py": "",
    "news/migrations/0001_initial.py": NEWS,
}
PRICE = "migrations.AddField('item', 'price', models.IntegerField(null=True))"
NO_NOTE = "migrations.RemoveField('item', 'note')"


def shop(**more: str) -> dict[str, str]:
    """The project with further migrations of its app shop."""
    return BASE | {f"shop/migrations/{name.lstrip('_')}.py": text for name, text in more.items()}


class Server:
    """A server, and an app on it that has been migrated once, with one row."""

    def __init__(self, host: Any) -> None:
        self.host = host
        self.local = host.backend.get_hostname().endswith("bookworm")

    def drive(self, *orders: Any) -> list[Any]:
        done = self.host.run(f"python3 /opt/driver/drive.py <<< {shlex.quote(json.dumps(orders))}")
        assert done.rc == 0, done.stderr
        return json.loads(done.stdout)

    def release(self, name: str, files: dict[str, str], *orders: Any) -> Any:
        """Add a release, carry out orders about it, and return what came of the last one."""
        return self.drive(["add", name, files], *orders)[-1]

    def sql(self, sql: str) -> str:
        return self.host.check_output("cd / && runuser -u postgres -- psql -XAtq -d shop -c %s", sql).strip()

    def columns(self) -> list[str]:
        return self.sql(
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'shop_item' ORDER BY ordinal_position"
        ).split()

    def applied(self, app: str = "shop") -> list[str]:
        return self.sql(f"SELECT name FROM django_migrations WHERE app = '{app}' ORDER BY id").split()

    def let_go(self) -> None:
        """End whoever holds something; a server that sleeps does not notice that its client has gone."""
        self.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'night report'")

    def hold(self, seconds: int, sql: str = "LOCK TABLE shop_item") -> None:
        """Somebody else's transaction, in the background."""
        text = f"SET application_name = 'night report'; BEGIN; {sql}; SELECT pg_sleep({seconds}); COMMIT"
        self.host.check_output(
            "cd /; systemd-run --collect --unit=holder runuser -u postgres -- psql -X -v ON_ERROR_STOP=1 -d shop -c %s",
            text,
        )
        for _attempt in range(100):
            if (
                self.sql(
                    "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(%' AND pid <> pg_backend_pid()"
                )
                != "0"
            ):
                return
            time.sleep(0.1)
        raise AssertionError("nothing holds the table")


@pytest.fixture
def server(host: Any) -> Server:
    here = Server(host)
    here.let_go()
    owner = "SET ROLE shop; DROP SCHEMA public CASCADE; CREATE SCHEMA public"
    here.host.check_output("cd / && runuser -u postgres -- psql -Xq -d shop -c %s", "ALTER SCHEMA public OWNER TO shop")
    for one in owner.split("; ")[1:]:
        here.host.check_output("cd / && runuser -u postgres -- psql -Xq -d shop -c %s", f"SET ROLE shop; {one}")
    host.run("rm -rf /var/backups/groundcrew /srv/shop/shared/data/calls")
    result = here.drive(["forget"], ["add", "r1", BASE], ["apply", "r1", {}], ["note", "r1", []])[2]
    assert "shop.0001_initial" in result["applied"], result
    here.sql("INSERT INTO shop_item (name, note) VALUES ('lamp', 'bright')")
    return here


def test_a_plan_that_adds_is_applied(server: Server) -> None:
    second = migration(PRICE, "shop.0001_initial")
    third = migration(
        "migrations.AddField('item', 'colour', models.CharField(max_length=9, default=''))", "shop.0002_price"
    )
    files = shop(_0002_price=second, _0003_colour=third)
    before, applied, after = server.drive(["add", "r2", files], ["plan", "r2"], ["apply", "r2", {}], ["plan", "r2"])[1:]
    assert before["names"] == ["shop.0002_price", "shop.0003_colour"]
    assert before["judged"] == [
        [
            "shop.0003_colour",
            False,
            True,
            False,
            "the running release gives the new column shop_item.colour no value, and it has to have one",
        ]
    ]
    assert applied["applied"] == ["shop.0002_price", "shop.0003_colour"]
    assert "Migrations to run: shop.0002_price, shop.0003_colour" in applied["notes"]
    assert after["names"] == []
    assert server.columns() == ["id", "name", "note", "price", "colour"]


def test_handlers_of_post_migrate_run_although_nothing_is_pending(server: Server) -> None:
    files = BASE | {
        "shop/models.py": "",
        "shop/apps.py": "from django.apps import AppConfig\nfrom django.db.models.signals import post_migrate\n"
        "def note(**kwargs):\n    open('/srv/shop/shared/data/calls', 'a').write('x')\n"
        "class ShopConfig(AppConfig):\n    name = 'shop'\n    def ready(self):\n        post_migrate.connect(note, sender=self)\n",
    }
    found = server.release("r2", files, ["plan", "r2", True])
    assert (found["names"], found["settled"]) == ([], True)
    assert server.host.file("/srv/shop/shared/data/calls").content_string == "x"


def test_a_plan_that_loses_data_is_refused(server: Server) -> None:
    files = shop(_0002_price=migration(PRICE, "shop.0001_initial"), _0003_lean=migration(NO_NOTE, "shop.0002_price"))
    result = server.release("r2", files, ["apply", "r2", {}])
    assert result["error"] == (
        "Migrations would lose data, and nothing has been migrated:\n- shop.0003_lean, Remove field note from item: "
        "the column shop_item.note goes with all that is in it"
    )
    assert (
        "`migrations: {dump: true}`" in result["cure"] and "`migrations: {allow_destructive: true}`" in result["cure"]
    )
    assert server.columns() == ["id", "name", "note"]
    assert server.applied() == ["0001_initial"]
    assert server.release("r3", files, ["apply", "r3", {"allow_destructive": True}])["applied"] == [
        "shop.0002_price",
        "shop.0003_lean",
    ]
    assert server.columns() == ["id", "name", "price"]
    assert not server.host.file("/var/backups/groundcrew").exists


def test_a_dump_is_made_and_brings_everything_back(server: Server) -> None:
    files = shop(
        _0002_lean=migration(NO_NOTE, "shop.0001_initial"),
        _0003_new=migration(
            "migrations.CreateModel('Thing', [('id', models.BigAutoField(primary_key=True))])", "shop.0002_lean"
        ),
    )
    result = server.release("r2", files, ["apply", "r2", {"dump": True}])
    assert result["applied"] == ["shop.0002_lean", "shop.0003_new"], result
    assert "note" not in server.columns()
    dump = server.host.file("/var/backups/groundcrew/shop/r2.dump")
    assert (dump.user, dump.group, dump.mode) == ("root", "root", 0o600)
    assert server.host.file("/var/backups/groundcrew/shop").mode == 0o700
    assert server.host.check_output("ls -A /var/backups/groundcrew/shop") == "r2.dump"
    note = next(note for note in result["notes"] if "/var/backups/groundcrew/shop/r2.dump" in note)
    command = note.partition(" run: ")[2]
    if not server.local:
        # The password is asked for; here it comes from a file that is for this user alone.
        server.host.check_output(
            "python3 -c %s",
            "import json, os; password = json.load(open('/opt/driver/app.json'))['password'].replace('\\\\', '\\\\\\\\');"
            "file = os.open('/root/.pgpass', os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600);"
            "os.write(file, ('localhost:*:shop:shop:' + password + '\\n').encode())",
        )
    server.host.check_output(f"cd / && {command}")
    assert server.sql("SELECT name, note FROM shop_item") == "lamp|bright"
    assert server.applied() == ["0001_initial"]
    if server.local:
        # What is younger than the dump has gone, so that the deploy can be done again.
        assert server.release("r3", files, ["apply", "r3", {"allow_destructive": True}])["applied"] == [
            "shop.0002_lean",
            "shop.0003_new",
        ]


def test_a_full_disk_stops_before_the_migration(server: Server) -> None:
    host = server.host
    host.check_output(
        "mkdir -p /var/backups/groundcrew && mount -t tmpfs -o size=16k,mode=700 none /var/backups/groundcrew"
    )
    try:
        files = shop(_0002_lean=migration(NO_NOTE, "shop.0001_initial"))
        result = server.release("r2", files, ["apply", "r2", {"dump": True}])
        assert "could not be dumped" in result["error"] and "Nothing has been migrated" in result["error"]
        assert "No space left" in result["output"] and "free some space" in result["cure"]
        assert host.check_output("find /var/backups/groundcrew -type f") == ""
    finally:
        host.check_output("umount /var/backups/groundcrew")
    assert server.columns() == ["id", "name", "note"]


def test_no_password_is_seen_on_the_way(server: Server) -> None:
    """Neither in the list of processes, while pg_dump and the migration run, nor in the journal."""
    if server.local:
        pytest.skip("has none")
    steps = f"{NO_NOTE}, migrations.RunSQL('SELECT pg_sleep(3)')"
    server.drive(["add", "r2", shop(_0002_lean=migration(steps, "shop.0001_initial"))])
    seen = ""
    with ThreadPoolExecutor() as pool:
        migrating = pool.submit(server.drive, ["apply", "r2", {"dump": True}])
        while not migrating.done():
            seen += server.host.run("cat /proc/[0-9]*/cmdline | tr '\\0' ' '").stdout
        assert migrating.result()[0]["applied"] == ["shop.0002_lean"]
    assert "pg_dump --format=custom" in seen
    journal = server.host.run("journalctl --no-pager --output=cat --since=-5min").stdout
    assert "shop: Dump the database" in journal
    assert "p'ss w" not in seen and "p'ss w" not in journal


def test_a_lock_that_is_released_is_waited_for(server: Server) -> None:
    counted = f"migrations.RunPython(count, migrations.RunPython.noop), {PRICE}"
    server.drive(["add", "r2", shop(_0002_price=migration(counted, "shop.0001_initial"))])
    server.hold(300)
    with ThreadPoolExecutor() as pool:
        migrating = pool.submit(server.drive, ["apply", "r2", {"lock_timeout": 1}])
        while len(server.host.run("cat /srv/shop/shared/data/calls").stdout) < 3:
            assert not migrating.done(), migrating.result()
            time.sleep(0.2)
        server.let_go()
        result = migrating.result()[0]
    assert result["applied"] == ["shop.0002_price"], result
    (note,) = [note for note in result["notes"] if "began anew" in note]
    calls = server.host.file("/srv/shop/shared/data/calls").content_string
    assert note.endswith(f"{len(calls) - 1} times")
    assert server.columns() == ["id", "name", "note", "price"]


def test_a_lock_that_is_never_released_is_an_error(server: Server) -> None:
    steps = f"migrations.CreateModel('Half', [('id', models.BigAutoField(primary_key=True))]), {PRICE}"
    more = "migrations.CreateModel('Whole', [('id', models.BigAutoField(primary_key=True))])"
    files = shop(_0002_whole=migration(more, "shop.0001_initial"), _0003_half=migration(steps, "shop.0002_whole"))
    server.drive(["add", "r2", files])
    server.hold(60)
    result = server.drive(["apply", "r2", {"lock_timeout": 1}, {"ATTEMPTS": 3}])[0]
    server.let_go()
    assert "The migration shop.0003_half did not get a lock within 1 s, tried 3 times." in result["error"]
    assert "Nothing of it is left" in result["error"] and "staying so: shop.0002_whole" in result["error"]
    assert "of the role postgres; named night report; holding shop_item" in result["error"]
    assert result["applied"] == ["shop.0002_whole"]
    assert server.sql("SELECT to_regclass('shop_half') IS NULL") == "t"
    assert server.columns() == ["id", "name", "note"]
    assert server.applied() == ["0001_initial", "0002_whole"]


def test_others_are_not_kept_waiting_longer_than_the_lock_timeout(server: Server) -> None:
    """A migration that waits for a table makes everybody else wait behind it."""
    server.drive(["add", "r2", shop(_0002_price=migration(PRICE, "shop.0001_initial"))])
    server.hold(12, "SELECT count(*) FROM shop_item")
    with ThreadPoolExecutor() as pool:
        migrating = pool.submit(server.drive, ["apply", "r2", {"lock_timeout": 1}])
        slowest = 0.0
        while not migrating.done():
            began = time.monotonic()
            server.sql("SELECT count(*) FROM shop_item")
            slowest = max(slowest, time.monotonic() - began)
            time.sleep(0.2)
        result = migrating.result()[0]
    assert result["applied"] == ["shop.0002_price"]
    assert slowest < 5


def test_a_statement_that_takes_too_long_is_not_tried_again(server: Server) -> None:
    steps = f"{PRICE}, migrations.RunPython(count), migrations.RunSQL('SELECT pg_sleep(20)')"
    files = shop(_0002_slow=migration(steps, "shop.0001_initial"))
    result = server.release("r2", files, ["apply", "r2", {"statement_timeout": 1}])
    assert "The migration shop.0002_slow had a statement that took longer than 1 s." in result["error"]
    assert "statement_timeout" in result["cure"]
    assert server.host.file("/srv/shop/shared/data/calls").content_string == "x"
    assert server.columns() == ["id", "name", "note"]


def test_limits_hold_for_connections_that_are_made_anew(server: Server) -> None:
    steps = (
        "migrations.RunPython(lambda apps, editor: (__import__('django.db').db.connection.close(),"
        " __import__('django.db').db.connection.cursor().execute('SELECT pg_sleep(20)')))"
    )
    files = shop(_0002_slow=migration(steps, "shop.0001_initial", atomic=False))
    result = server.release("r2", files, ["apply", "r2", {"statement_timeout": 1}])
    assert "took longer than 1 s" in result["error"] and "It is not atomic" in result["error"]


def test_an_index_is_made_concurrently_without_a_lock_timeout(server: Server) -> None:
    steps = "AddIndexConcurrently('item', models.Index(fields=['name'], name='by_name'))"
    server.drive(["add", "r2", shop(_0002_index=migration(steps, "shop.0001_initial", atomic=False))])
    server.hold(300, "INSERT INTO shop_item (name, note) VALUES ('x', '')")
    with ThreadPoolExecutor() as pool:
        migrating = pool.submit(server.drive, ["apply", "r2", {"lock_timeout": 1}])
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE query ~ '^CREATE INDEX' AND now() - query_start > '3s'"
        while server.sql(waiting) == "0":
            assert not migrating.done(), migrating.result()
            time.sleep(0.2)
        server.let_go()
        result = migrating.result()[0]
    assert result["applied"] == ["shop.0002_index"], result
    assert server.sql("SELECT indisvalid FROM pg_index WHERE indexrelid = 'by_name'::regclass") == "t"


def test_of_two_that_migrate_at_once_one_waits(server: Server) -> None:
    steps = f"migrations.RunPython(count), migrations.RunSQL('SELECT pg_sleep(4)'), {PRICE}"
    files = shop(_0002_price=migration(steps, "shop.0001_initial"))
    server.drive(["add", "r2", files], ["add", "r3", files])
    with ThreadPoolExecutor() as pool:
        results = list(pool.map(lambda name: server.drive(["apply", name, {}])[0], ["r2", "r3"]))
    assert sorted(result["applied"] for result in results) == [[], ["shop.0002_price"]], results
    late = next(result for result in results if not result["applied"])
    assert any(note.startswith("Waited ") for note in late["notes"])
    assert server.host.file("/srv/shop/shared/data/calls").content_string == "x"


def test_one_who_migrates_for_too_long_is_named(server: Server) -> None:
    files = shop(_0002_price=migration(PRICE, "shop.0001_initial"))
    server.drive(["add", "r2", files])
    server.hold(30, "SELECT pg_advisory_lock(1735552885, 1835624306)")
    result = server.drive(["apply", "r2", {}, {"LOCK_WAIT": 2}])[0]
    assert result["error"].startswith("Somebody else has been migrating this database for 2 s: process ")
    assert "named night report" in result["error"]
    assert server.columns() == ["id", "name", "note"]


def test_a_migration_that_fails_leaves_nothing(server: Server) -> None:
    files = shop(_0002_bad=migration(f"{PRICE}, migrations.RunPython(fail)", "shop.0001_initial"))
    result = server.release("r2", files, ["apply", "r2", {}])
    assert result["error"] == (
        "The migration shop.0002_bad failed: ValueError: the second half is missing. Nothing of it is left in the database."
    )
    assert "0002_bad.py" in result["output"]
    assert result["applied"] == []
    assert server.columns() == ["id", "name", "note"]


def test_a_migration_that_is_killed_leaves_nothing(server: Server) -> None:
    steps = f"{PRICE}, migrations.RunSQL('SELECT pg_sleep(60)')"
    server.drive(["add", "r2", shop(_0002_price=migration(steps, "shop.0001_initial"))])
    with ThreadPoolExecutor() as pool:
        migrating = pool.submit(server.drive, ["apply", "r2", {}])
        while (
            server.sql(
                "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 'shop_item'::regclass"
            )
            == "0"
        ):
            time.sleep(0.2)
        server.host.check_output("systemctl kill --signal=KILL 'shop-look@*'")
        result = migrating.result()[0]
    assert "Migrate the database: the process ended with status " in result["error"]
    assert result["applied"] == ["shop.0002_price"], "so that nobody thinks that it cannot be there"
    began = time.monotonic()
    files = shop(_0002_price=migration(PRICE, "shop.0001_initial"))
    assert server.release("r3", files, ["apply", "r3", {}])["applied"] == ["shop.0002_price"]
    assert time.monotonic() - began < 40


def test_the_ledger_knows_what_a_release_has_applied(server: Server) -> None:
    files = shop(
        _0002_price=migration(PRICE, "shop.0001_initial"),
        _0003_bad=migration("migrations.RunPython(fail)", "shop.0002_price"),
    )
    failed, done = server.drive(
        ["add", "r2", files],
        ["deploy", "r2", {}],
        ["add", "r3", shop(_0002_price=files["shop/migrations/0002_price.py"])],
        ["deploy", "r3", {}],
    )[1::2]
    assert failed["migrations"] == ["shop.0002_price"]
    assert "The migration shop.0003_bad failed: ValueError" in failed["notes"][0]
    assert done == {"notes": [], "migrations": []}


@pytest.mark.parametrize(
    ("files", "message", "cure"),
    [
        (
            shop(_0002_a=migration(PRICE, "shop.0001_initial"), _0002_b=migration(NO_NOTE, "shop.0001_initial")),
            "nobody can say which comes last (shop: 0002_a, 0002_b)",
            "makemigrations --merge",
        ),
        (
            shop(_0003_c=migration(PRICE, "shop.0002_gone")),
            "A migration that others build on is not in this code",
            ".gitignore",
        ),
        (
            BASE
            | {
                "shop/migrations/0001_initial.py": FIRST.replace(
                    "dependencies = []", "dependencies = [('shop', '0000_new')]"
                ),
                "shop/migrations/0000_new.py": migration(""),
            },
            "do not follow those that the database has had",
            "deploy code that has all of them",
        ),
    ],
    ids=["grown apart", "missing", "inconsistent"],
)
def test_migrations_that_contradict_are_explained(
    server: Server, files: dict[str, str], message: str, cure: str
) -> None:
    result = server.release("r2", files, ["plan", "r2"])
    assert message in result["error"]
    assert cure in result["cure"]


SECOND = migration(
    f"{PRICE}, migrations.AlterField('item', 'name', models.CharField(max_length=80))", "shop.0001_initial"
)
THIRD = migration("migrations.RenameField('item', 'note', 'remark')", "shop.0002_price")
NEWS_SECOND = migration(
    "migrations.AddField('entry', 'text', models.TextField(null=True))", "news.0001_initial", "shop.0003_name"
)


def newer() -> dict[str, str]:
    return shop(_0002_price=SECOND, _0003_name=THIRD) | {"news/migrations/0002_text.py": NEWS_SECOND}


def test_the_way_back_is_told_exactly_and_gone(server: Server) -> None:
    applied, way = server.drive(["add", "r2", newer()], ["apply", "r2", {}], ["past", "r1", "r2"])[1:]
    assert applied["applied"] == ["shop.0002_price", "shop.0003_name", "news.0002_text"]
    assert [(step["app"], step["to"], step["unapplied"]) for step in way] == [
        ("news", "0001_initial", ["news.0002_text"]),
        ("shop", "0001_initial", ["shop.0003_name", "shop.0002_price"]),
    ]
    assert way[1]["line"] == "migrate shop 0001_initial (unapplies shop.0003_name, shop.0002_price)"
    assert way[0]["breaks"] == []
    assert way[1]["breaks"] == [
        "shop.0003_name, Rename field note on item to remark: the column shop_item.note becomes remark"
    ]
    assert server.drive(["past", "r2", "r2"]) == [[]]
    notes, left = server.drive(["reverse", "r1", "r2", {}], ["past", "r1", "r2"])
    assert notes == ["Unapplied: news.0002_text, shop.0003_name, shop.0002_price"]
    assert left == []
    assert server.columns() == ["id", "name", "note"]
    assert server.sql("SELECT name, note FROM shop_item") == "lamp|bright"


def test_the_way_back_keeps_a_dump_where_one_is_wanted(server: Server) -> None:
    notes = server.drive(["add", "r2", newer()], ["apply", "r2", {}], ["reverse", "r1", "r2", {"dump": True}])[2]
    assert "/var/backups/groundcrew/shop/r2-before-" in notes[0]
    assert server.columns() == ["id", "name", "note"]


def test_a_way_back_over_what_is_irreversible_is_refused(server: Server) -> None:
    files = shop(_0002_price=SECOND, _0003_py=migration("migrations.RunPython(count)", "shop.0002_price"))
    files |= {"news/migrations/0002_text.py": NEWS_SECOND.replace("0003_name", "0003_py")}
    way, refused = server.drive(
        ["add", "r2", files], ["apply", "r2", {}], ["past", "r1", "r2"], ["reverse", "r1", "r2", {}]
    )[2:]
    assert "shop.0003_py (Raw Python operation) is not reversible" in way[1]["line"]
    assert "shop.0003_py (Raw Python operation) is not reversible" in refused["error"]
    assert "nothing has been changed" in refused["error"]
    assert server.applied() == ["0001_initial", "0002_price", "0003_py"]
    assert server.applied("news") == ["0001_initial", "0002_text"]


def test_a_way_back_past_a_release_that_failed_is_refused(server: Server) -> None:
    """What a release applied that then failed is in nobody's code any more."""
    way, note = server.drive(
        ["add", "r2", shop(_0002_price=SECOND)],
        ["apply", "r2", {}],
        ["note", "r2", ["shop.0002_price"]],
        ["add", "r3", shop(_0002_price=SECOND, _0003_name=THIRD)],
        ["apply", "r3", {}],
        ["note", "r3", ["shop.0003_name"]],
        ["past", "r1", "r2"],
        ["plan", "r2"],
    )[6:]
    assert way[-1]["line"] == (
        "shop.0003_name cannot be unapplied: shop.0003_name was applied by a release whose code is not live"
    )
    assert note["notes"] == [
        "The database has migrations that this code does not: shop.0003_name; it was made for a newer version"
    ]


def test_squashed_migrations_are_no_news(server: Server) -> None:
    """The older release has them one by one, the newer one as one: nothing has to be unapplied, and nothing is lost."""
    lean = migration(NO_NOTE, "shop.0002_price")
    one_by_one = shop(_0002_price=SECOND, _0003_lean=lean)
    squashed = shop(
        _0002_price=SECOND,
        _0003_lean=lean,
        _0001_squashed_0003=FIRST.replace(
            "class Migration(migrations.Migration):",
            "class Migration(migrations.Migration):\n"
            "    replaces = [('shop', '0001_initial'), ('shop', '0002_price'), ('shop', '0003_lean')]",
        ),
    )
    plan, way = server.drive(
        ["add", "r2", one_by_one],
        ["apply", "r2", {"allow_destructive": True}],
        ["add", "r3", squashed],
        ["plan", "r3"],
        ["apply", "r3", {}],
        ["past", "r2", "r3"],
    )[3::2]
    assert plan["names"] == [] and way == []


def test_a_first_deploy_loses_nothing(server: Server) -> None:
    server.sql("SET ROLE shop; DROP SCHEMA public CASCADE")
    server.sql("SET ROLE shop; CREATE SCHEMA public")
    drop = "migrations.RunSQL('DROP TABLE IF EXISTS old_things')"
    files = shop(_0002_lean=migration(f"{NO_NOTE}, {drop}", "shop.0001_initial"))
    result = server.release("r2", files, ["apply", "r2", {}])
    assert "shop.0002_lean" in result["applied"]
    (note,) = result["notes"]
    assert note.startswith("Migrations that make the database: ") and note.endswith(" more")
