# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs in a project's own Python to plan, apply and reverse migrations. PRIVATE to the collection.

It only finds out and carries out; what the facts mean is judged in `_migrations_judge`, where tables test it.
"""

from __future__ import annotations

from ansible_collections.groundcrew.django.plugins.module_utils._project_script import PRELUDE

MIGRATIONS_SCRIPT = "".join(
    (
        PRELUDE,
        r'''
import random
import time

# The two halves of the advisory lock's key: "grou" and "migr", read as numbers.
KEY = (1735552885, 1835624306)
# lock_not_available (a lock timeout) and deadlock_detected: both pass, because what was done has been rolled back.
PASSING = ("55P03", "40P01")
LONGEST_PAUSE = 30


class Refused(Exception):
    """The report says why already."""


def label(key):
    return "%s.%s" % (key[0], key[1])


# --- what the database and the code know ---------------------------------------------------------------------------
def executor_of(connection):
    from django.db.migrations.executor import MigrationExecutor

    executor = MigrationExecutor(connection)
    executor.loader.check_consistent_history(connection)
    conflicts = executor.loader.detect_conflicts()
    if conflicts:
        REPORT["conflicts"] = {app: sorted(names) for app, names in conflicts.items()}
        raise Refused
    return executor


def in_order(executor):
    """Every migration of the code, in the order in which an empty database would get them."""
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes(), clean_start=True)
    return [migration for migration, _ in plan]


def key_of(migration):
    return (migration.app_label, migration.name)


def pending(executor):
    return [migration for migration, _ in executor.migration_plan(executor.loader.graph.leaf_nodes())]


def known_to(loader):
    """What the code has an opinion about: its migrations, and those that they have taken the place of."""
    known = set(loader.disk_migrations)
    for migration in loader.disk_migrations.values():
        known.update(map(tuple, migration.replaces))
    return known


# --- what an operation does ----------------------------------------------------------------------------------------
def tables(connection, state, app):
    """From an app's models to their tables, as far as Django keeps them in this database."""
    from django.db import router
    from django.db.models import NOT_PROVIDED

    found = {}
    for name, model in state.apps.all_models[app].items():
        if not (model._meta.can_migrate(connection) and router.allow_migrate_model(connection.alias, model)):
            continue
        fields = {}
        for field in model._meta.local_concrete_fields:
            parameters = field.db_parameters(connection)
            if parameters["type"] is None:
                continue
            fields[field.name] = {
                "column": field.column,
                "type": str(parameters["type"]),
                "check": str(parameters.get("check") or ""),
                "null": bool(field.null),
                "unique": bool(field.unique),
                "db_default": getattr(field, "db_default", NOT_PROVIDED) is not NOT_PROVIDED,
                "generated": bool(getattr(field, "generated", False)),
                "references": bool(field.remote_field and field.db_constraint),
            }
        together = sorted(sorted(names) for names in model._meta.unique_together)
        found[name] = {"table": model._meta.db_table, "fields": fields, "unique_together": together}
    return found


def texts(sql):
    """The statements of a RunSQL: a string, or a list of strings and of pairs with parameters."""
    if isinstance(sql, (list, tuple)):
        return [str(one[0] if isinstance(one, (list, tuple)) else one) for one in sql]
    return [str(sql)]


def reversible(operation):
    if hasattr(operation, "database_operations"):
        return all(map(reversible, operation.database_operations))
    return bool(operation.reversible)


class Judge:
    """Walks through migrations and writes down what each of their operations does to the database."""

    def __init__(self, executor, connection, watched):
        from django.db.migrations.state import ProjectState

        self.connection = connection
        self.state = ProjectState(real_apps=executor.loader.unmigrated_apps)
        # Apps that may have had tables before; what the others do touches nothing that anybody has.
        self.watched = set(watched)
        self.tables = {}

    def skip(self, migration):
        migration.mutate_state(self.state, preserve=False)

    def facts(self, migration):
        found = {"app": migration.app_label, "name": migration.name, "atomic": bool(migration.atomic)}
        found["operations"] = []
        for operation in migration.operations:
            found["operations"] += self.judge(operation, migration.app_label)
        return found

    def judge(self, operation, app):
        from django.db.migrations import operations

        if isinstance(operation, operations.SeparateDatabaseAndState):
            if operation.state_operations:
                # It may take over a table that is there.
                self.watched.add(app)
            whole, self.state = self.state, self.state.clone()
            self.tables = {}
            facts = [fact for inner in operation.database_operations for fact in self.judge(inner, app)]
            self.state = whole
            self.tables = {}
            operation.state_forwards(app, self.state)
            return facts
        kinds = [kind.__name__ for kind in type(operation).__mro__ if kind.__module__.startswith("django.")]
        fact = {
            "kinds": kinds,
            "described": str(operation.describe()),
            "reversible": reversible(operation),
            "names": [str(getattr(operation, name, "") or "") for name in ("model_name", "old_name", "new_name")],
            "table": "",
            "before": {},
            "after": {},
        }
        if isinstance(operation, operations.RunSQL):
            fact["sql"] = texts(operation.sql)
        if isinstance(operation, operations.RunPython):
            fact["noop"] = operation.code is operations.RunPython.noop
        if app not in self.watched:
            operation.state_forwards(app, self.state)
            return [fact]
        if app not in self.tables:
            self.tables[app] = tables(self.connection, self.state, app)
        before = self.tables[app]
        operation.state_forwards(app, self.state)
        # One app's operation may change the columns of another's, so nothing older than this is kept.
        self.tables = {app: tables(self.connection, self.state, app)}
        after = self.tables[app]
        fact["table"] = after.get(fact["names"][0].lower(), {}).get("table", "")
        fact["before"] = {name: one for name, one in before.items() if after.get(name) != one}
        fact["after"] = {name: one for name, one in after.items() if before.get(name) != one}
        return [fact]


def facts_of(executor, connection, chosen):
    """What the chosen migrations do, in their order, to a database that has all the other applied ones."""
    applied = set(executor.loader.applied_migrations)
    keys = {key_of(migration) for migration in chosen}
    judge = Judge(executor, connection, {app for app, _ in applied - keys})
    for migration in in_order(executor):
        if key_of(migration) in applied - keys:
            judge.skip(migration)
    return [judge.facts(migration) for migration in chosen]


# --- the modes -----------------------------------------------------------------------------------------------------
def plan(connection):
    executor = executor_of(connection)
    todo = pending(executor)
    if not todo and REQUEST["idle"]:
        # Handlers of post_migrate expect to be called in every deploy.
        migrate(connection)
        REPORT["settled"] = True
    REPORT["fresh"] = not connection.introspection.table_names()
    REPORT["pending"] = facts_of(executor, connection, todo)
    tell_applied(executor)


def tell_applied(executor):
    REPORT["known"] = sorted(map(label, known_to(executor.loader)))
    REPORT["recorded"] = sorted(map(label, executor.loader.applied_migrations))


def known(connection):
    """Needs no database: what the code knows."""
    from django.db.migrations.loader import MigrationLoader

    loader = MigrationLoader(None, load=False)
    loader.load_disk()
    REPORT["known"] = sorted(map(label, known_to(loader)))


def past(connection):
    """What of this code's migrations another code does not know, and how to unapply it."""
    executor = executor_of(connection)
    theirs = set(REQUEST["known"])
    applied = set(executor.loader.applied_migrations)
    order = [migration for migration in in_order(executor) if key_of(migration) in applied]

    def strange(migration):
        replaced = [label(key) for key in migration.replaces]
        return label(key_of(migration)) not in theirs and not (replaced and theirs.issuperset(replaced))

    unknown = [migration for migration in order if strange(migration)]
    REPORT["unknown"] = facts_of(executor, connection, unknown)
    tell_applied(executor)
    wanted = {key_of(migration) for migration in unknown}
    REPORT["reverses"], done = [], set()
    for app in dict.fromkeys(migration.app_label for migration in reversed(unknown)):
        own = [migration for migration in order if migration.app_label == app]
        kept = [migration.name for migration in own if key_of(migration) not in wanted]
        target = kept[-1] if kept else None
        whole = [migration for migration, _ in executor.migration_plan([(app, target)])]
        steps = [migration for migration in whole if key_of(migration) not in done]
        done.update(map(key_of, steps))
        if steps:
            hard = [
                "%s (%s)" % (label(key_of(migration)), operation.describe())
                for migration in steps
                for operation in migration.operations
                if not reversible(operation)
            ]
            names = [label(key_of(migration)) for migration in steps]
            more = [label(key_of(migration)) for migration in steps if key_of(migration) not in wanted]
            REPORT["reverses"].append(
                {"app": app, "to": target or "zero", "unapplied": names, "irreversible": hard, "more": more}
            )
    REPORT["unreached"] = sorted(map(label, wanted - done))


def dump(connection):
    """Become pg_dump, which writes to our standard output: the password never leaves this process."""
    argv, more = connection.client.settings_to_cmd_args_env(connection.settings_dict, [])
    sys.stdout.flush()
    os.dup2(OUTPUT, 1)
    # Whoever holds a table must not hold up a deploy for ever.
    options = ["--format=custom", "--no-password", "--lock-wait-timeout=60s"]
    os.execvpe("pg_dump", ["pg_dump", *options, *argv[1:]], {**os.environ, **(more or {})})


# --- migrating -----------------------------------------------------------------------------------------------------
def set_limits(connection, **_kwargs):
    """For every connection of this process, also for one that is made anew."""
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        for name in ("lock_timeout", "statement_timeout"):
            cursor.execute("SET %s = %d" % (name, REQUEST[name] * 1000))
        if connection.pg_version >= 140000:
            # Of a deploy that is killed no statement goes on, holding its locks.
            cursor.execute("SET client_connection_check_interval = '2s'")
        cursor.execute("SET application_name = '%s'" % re.sub(r"[^\w.@: -]", "", REQUEST["title"]))
    # With AUTOCOMMIT off in the settings, a rollback would undo all that.
    connection.connection.commit()


def without_lock_timeout(execute, sql, params, many, context):
    """What works CONCURRENTLY keeps nobody waiting, and leaves a broken index behind when it is interrupted."""
    if not re.match(r"\s*(CREATE|DROP|REINDEX)\b[^;]*\bCONCURRENTLY\b", str(sql), re.I):
        return execute(sql, params, many, context)
    context["cursor"].execute("SET lock_timeout = 0")
    try:
        return execute(sql, params, many, context)
    finally:
        try:
            context["cursor"].execute("SET lock_timeout = %d" % (REQUEST["lock_timeout"] * 1000))
        except Exception:
            pass  # the connection has gone, and limits are set on the next one


def ask(connection, sql, *values):
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchall()


HOLDERS = """
SELECT a.pid, a.application_name, a.client_addr::text, a.backend_start::timestamp(0)::text
  FROM pg_locks l JOIN pg_stat_activity a USING (pid)
 WHERE l.locktype = 'advisory' AND l.granted AND l.classid = %s AND l.objid = %s AND l.objsubid = 2
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

IN_THE_WAY = """
SELECT a.pid, a.usename, a.application_name, string_agg(DISTINCT c.relname, ', '),
       extract(epoch FROM now() - a.xact_start)::int
  FROM pg_locks l JOIN pg_stat_activity a USING (pid) JOIN pg_class c ON c.oid = l.relation
 WHERE l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND c.relkind IN ('r', 'p', 'm') AND c.oid >= 16384 AND a.pid <> pg_backend_pid()
 GROUP BY a.pid, a.usename, a.application_name, a.xact_start
 ORDER BY a.xact_start LIMIT 5
"""


def described(rows, names):
    return ["; ".join("%s %s" % (name, one) for name, one in zip(names, row) if one) for row in rows]


def alone(connection):
    """Take the lock that lets one process migrate this database, on a connection that does nothing else."""
    lock = connection.copy("groundcrew_lock")
    lock.settings_dict["AUTOCOMMIT"] = True
    lock.settings_dict["OPTIONS"].pop("pool", None)
    deadline = time.monotonic() + REQUEST["lock_wait"]
    began = None
    while not ask(lock, "SELECT pg_try_advisory_lock(%s::int, %s::int)", *KEY)[0][0]:
        holders = described(ask(lock, HOLDERS, *KEY), ("process", "named", "from", "since"))
        if began is None:
            began = time.monotonic()
            print("Somebody else is migrating: %s" % ", ".join(holders), flush=True)
        if time.monotonic() > deadline:
            REPORT["holders"] = holders
            raise Refused
        time.sleep(0.5)
    if began is not None:
        REPORT["waited"] = round(time.monotonic() - began, 1)
    return lock


def sqlstate(error):
    """What PostgreSQL called an error; psycopg and psycopg2 keep that under different names."""
    while error is not None:
        code = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
        if code:
            return code
        error = error.__cause__ or error.__context__
    return ""


def migrate(connection):
    """Run the project's own command "migrate": to each target in turn, or to the newest of everything."""
    from django.db.backends.signals import connection_created
    from django.db.migrations.executor import MigrationExecutor

    REPORT["stage"] = "migrate"
    current = []
    REPORT["done"] = {}

    def watched(original):
        def apply(self, state, migration, *args, **kwargs):
            current[:] = [migration]
            began = time.monotonic()
            state = original(self, state, migration, *args, **kwargs)
            REPORT["done"][label(key_of(migration))] = round(time.monotonic() - began, 2)
            current.clear()
            return state

        return apply

    MigrationExecutor.apply_migration = watched(MigrationExecutor.apply_migration)
    MigrationExecutor.unapply_migration = watched(MigrationExecutor.unapply_migration)
    lock = None
    if connection.vendor == "postgresql":
        connection.close()
        connection_created.connect(set_limits)
        connection.execute_wrappers.append(without_lock_timeout)
        lock = alone(connection)
    if REQUEST["expected"] is not None:
        # What has been planned and allowed is what is run; another host may have done it meanwhile.
        todo = [label(key_of(migration)) for migration in pending(executor_of(connection))]
        REPORT["unplanned"] = [name for name in todo if name not in REQUEST["expected"]]
        if REPORT["unplanned"]:
            raise Refused
    try:
        for target in REQUEST["targets"] or [[]]:
            persist(connection, lock, target, current)
    except BaseException as error:
        REPORT["sqlstate"] = sqlstate(error)
        if current:
            REPORT["failed"] = label(key_of(current[0]))
            REPORT["atomic"] = bool(current[0].atomic)
        if lock and REPORT["sqlstate"] in PASSING:
            names = ("process", "of the role", "named", "holding", "for seconds:")
            REPORT["in_the_way"] = described(ask(lock, IN_THE_WAY), names)
        raise


def persist(connection, lock, target, current):
    """Migrate, and begin again when others have only stood in the way."""
    from django.core.management import call_command

    for attempt in range(1, REQUEST["attempts"] + 1):
        try:
            return call_command("migrate", *target, interactive=False, no_color=True)
        except Exception as error:
            whole = not current or current[0].atomic
            if not lock or not whole or attempt == REQUEST["attempts"] or sqlstate(error) not in PASSING:
                raise
            REPORT["retries"] = REPORT.get("retries", 0) + 1
            pause = min(2 ** (attempt - 1), LONGEST_PAUSE) * random.uniform(0.75, 1.25)
            print("A lock was not to be had (%s); trying again in %.0f s" % (masked(error, 200), pause), flush=True)
            connection.close()
            time.sleep(pause)


MODES = {"plan": plan, "known": known, "past": past, "dump": dump, "migrate": migrate}


def look():
    import django
    from django.db import connections

    REPORT["stage"] = "setup"
    django.setup()
    REPORT["stage"] = "migrations"
    connection = connections["default"]
    settings = connection.settings_dict
    REPORT["database"] = {key: str(settings.get(key.upper()) or "") for key in ("name", "host", "port", "user")}
    REPORT["database"]["vendor"] = connection.vendor
    try:
        MODES[REQUEST["mode"]](connection)
    except Refused:
        REPORT["error"] = {"type": "Refused", "message": "", "frames": [], "module": None}
    except BaseException as error:
        print(masked(traceback.format_exc(), 20000), file=sys.stderr)
        REPORT["sqlstate"] = sqlstate(error)
        failed(error)
    raise Done


# What settings print must not get into a dump.
OUTPUT = os.dup(1)
if REQUEST["mode"] == "dump":
    os.dup2(2, 1)
through_manage(look)
tell()
''',
    )
)
