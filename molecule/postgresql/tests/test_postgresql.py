"""What roles can do and cannot do, which settings hold, and what a change of them does to connections."""

from __future__ import annotations

import re
import shlex
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from again import converge

ROLE = Path(__file__).parents[3] / "roles" / "postgresql"
PASSWORD = "chosen-by-a-person's-hand"


def psql(
    host: Any, sql: str, *, system_user: str = "shop", role: str = "", database: str = "", options: str = ""
) -> Any:
    """Run SQL as a system user, on the unix socket unless the options say otherwise."""
    role, database = role or system_user, database or role or system_user
    argv = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-U", role, "-d", database, *shlex.split(options), "-c", sql]
    return host.run(f"cd / && runuser -u {system_user} -- {shlex.join(argv)}")


def root(host: Any, sql: str, database: str = "postgres") -> str:
    """What the administrator reads."""
    return host.check_output(f"cd / && psql -XAtq -U postgres -d {database} -c %s", sql).strip()


@pytest.fixture
def tcp(host: Any) -> None:
    """For the server that was asked to listen."""
    if not host.backend.get_hostname().endswith("trixie"):
        pytest.skip("listens on the unix socket only")


def test_listens_nowhere_unless_asked_to(host: Any) -> None:
    listening = {line.split()[3] for line in host.check_output("ss -Hltnp").splitlines() if "postgres" in line}
    asked = host.backend.get_hostname().endswith("trixie")
    assert listening <= {"127.0.0.1:5432", "[::1]:5432"}
    assert bool(listening) == asked


@pytest.mark.parametrize("app", ["shop", "my-blog"])
def test_an_app_does_what_it_wants_in_its_database(host: Any, app: str) -> None:
    result = psql(
        host,
        "CREATE TABLE t (a int); INSERT INTO t VALUES (42); CREATE SCHEMA s; SELECT a FROM t; DROP TABLE t; DROP SCHEMA s",
        system_user=app,
    )
    assert result.stdout.strip() == "42", result.stderr


@pytest.mark.parametrize(
    ("system_user", "role", "database", "error"),
    [
        ("my-blog", "my-blog", "shop", "permission denied for database"),
        ("my-blog", "shop", "shop", "Peer authentication failed"),
        ("shop", "postgres", "postgres", "Peer authentication failed"),
        ("nobody", "postgres", "postgres", "Peer authentication failed"),
        ("nobody", "shop", "shop", "Peer authentication failed"),
    ],
)
def test_nobody_else_gets_in(host: Any, system_user: str, role: str, database: str, error: str) -> None:
    result = psql(host, "SELECT 1", system_user=system_user, role=role, database=database)
    assert result.failed and error in result.stderr


@pytest.mark.parametrize(
    "sql", ["CREATE DATABASE x", "CREATE ROLE x", "COPY (SELECT 1) TO PROGRAM 'id'", "SET log_statement = 'all'"]
)
def test_an_app_is_no_administrator(host: Any, sql: str) -> None:
    result = psql(host, sql)
    assert result.failed and ("permission denied" in result.stderr or "must be superuser" in result.stderr)


def test_root_is_the_administrator_without_changing_the_user(host: Any) -> None:
    assert root(host, "SELECT current_user") == "postgres"
    host.check_output("postgresql-check")


def test_databases_hold_any_text_in_an_order_that_stays(host: Any) -> None:
    query = "SELECT pg_encoding_to_char(encoding), datcollate, datctype FROM pg_database WHERE datname IN ('shop', 'my-blog')"
    assert set(root(host, query).splitlines()) == {"UTF8|C.UTF-8|C.UTF-8"}
    assert psql(host, "SELECT upper('äß'), 'Ünï→💾' = 'Ünï→💾', E'a' < 'b'").stdout.strip() == "Äß|t|t"


def test_extensions_work_where_they_were_asked_for(host: Any) -> None:
    assert psql(host, "SELECT 'HELLO'::citext = 'hello'::citext").stdout.strip() == "t"
    assert psql(host, "SELECT 'HELLO'::citext", system_user="my-blog").failed


def test_memory_follows_from_the_share_of_the_server(host: Any) -> None:
    names = [
        "shared_buffers",
        "effective_cache_size",
        "work_mem",
        "maintenance_work_mem",
        "max_connections",
        "random_page_cost",
    ]
    found = [root(host, f"SHOW {name}") for name in names]
    if host.backend.get_hostname().endswith("trixie"):
        assert found == ["256MB", "768MB", "7MB", "64MB", "40", "1.1"]
        assert root(host, "SHOW log_min_duration_statement") == "2500ms"
        assert root(host, "SHOW jit") == "off"
        assert "t" in root(host, "SELECT calls > 0 FROM pg_stat_statements LIMIT 1", "shop")
    else:
        assert found == ["256MB", "768MB", "4MB", "64MB", "100", "1.1"]
    assert root(host, "SELECT count(*) FROM pg_settings WHERE pending_restart") == "0"


def test_the_role_knows_every_setting_that_needs_a_restart(host: Any) -> None:
    known = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())["__postgresql_restart_settings"]
    needed = set(root(host, "SELECT name FROM pg_settings WHERE context = 'postmaster' AND name !~ '[.]'").splitlines())
    assert needed <= set(known)


def test_a_line_of_pg_hba_comes_before_the_roles_own(host: Any, tcp: None) -> None:
    if not root(host, "SELECT 1 FROM pg_roles WHERE rolname = 'agent'"):
        root(host, "CREATE ROLE agent LOGIN")
    assert (
        psql(host, "SELECT current_user", system_user="games", role="agent", database="postgres").stdout.strip()
        == "agent"
    )
    assert psql(host, "SELECT current_user", system_user="games", role="agent", database="template1").failed


def test_a_password_opens_the_door_on_tcp(host: Any, tcp: None) -> None:
    def login(role: str, password: str, database: str) -> Any:
        command = shlex.join(
            [
                "psql",
                "-XAtqw",
                "-h",
                "127.0.0.1",
                "-U",
                role,
                "-d",
                database,
                "-c",
                "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
            ]
        )
        return host.run(f"cd / && PGPASSWORD={shlex.quote(password)} {command}")

    assert login("report", PASSWORD, "report-archive").stdout.strip() == "t"
    assert "password authentication failed" in login("report", "guess", "report-archive").stderr
    assert "permission denied for database" in login("report", PASSWORD, "shop").stderr
    # Roles without a password, the administrator among them, cannot come this way at all.
    for role in ("shop", "postgres"):
        assert "password authentication failed" in login(role, "", role).stderr + login(role, "guess", role).stderr
    assert root(host, "SELECT rolpassword LIKE 'SCRAM-SHA-256$%' FROM pg_authid WHERE rolname = 'report'") == "t"


def started(host: Any) -> str:
    return root(host, "SELECT pg_postmaster_start_time()")


def test_a_new_password_is_set_and_not_told(host: Any, tcp: None) -> None:
    said = converge(host, "-vvv", "--diff", report_password="anew-by-a-person's-hand")
    assert "changed=1" in said
    assert PASSWORD not in said and "anew-by" not in said
    login = "psql -XAtqw -h 127.0.0.1 -U report -d report-archive -c 'SELECT 1'"
    assert host.run(f'cd / && PGPASSWORD="anew-by-a-person\'s-hand" {login}').stdout.strip() == "1"


def test_a_setting_is_reloaded_where_that_is_enough(host: Any) -> None:
    before = started(host)
    said = converge(
        host,
        postgresql_settings={"work_mem": "9MB"},
        postgresql_max_connections=int(root(host, "SHOW max_connections")),
    )
    # The other server loses shared_preload_libraries by this, for which a restart is due.
    expected_restart = host.backend.get_hostname().endswith("trixie")
    assert "changed=" in said and root(host, "SHOW work_mem") == "9MB"
    assert (started(host) != before) == expected_restart
    before = started(host)
    converge(host, postgresql_settings={"work_mem": "9MB"}, postgresql_max_connections=30)
    assert root(host, "SHOW max_connections") == "30" and started(host) != before


# --- the sandbox


def unit(host: Any) -> str:
    return f"postgresql@{int(root(host, 'SHOW server_version_num')) // 10000}-main.service"


def exposure(host: Any) -> float:
    """What systemd says about the unit, from 0 to 10."""
    said = host.check_output(f"systemd-analyze security --no-pager {unit(host)}").splitlines()[-1]
    return float(re.findall(r"service: ([0-9.]+)", said)[0])


def test_the_server_is_in_a_sandbox(host: Any) -> None:
    assert exposure(host) <= 4.0
    # A superuser can run any program; in there it is postgres for good, and finds neither homes nor the system open.
    program = "CREATE TEMP TABLE out (line text); COPY out FROM PROGRAM $$ {} $$; SELECT line FROM out"
    status = dict(
        line.split(":")[:2] for line in root(host, program.format("tr -d '\\t' </proc/self/status")).splitlines()
    )
    assert (status["CapEff"].strip("0"), status["NoNewPrivs"], status["Seccomp"]) == ("", "1", "2")
    assert root(host, program.format("ls /root 2>&1; ls /home | wc -l")).splitlines()[-1] == "0"
    postmaster = f"$(systemctl show -P MainPID {unit(host)})"
    for path in ("/etc/postgresql", "/usr/local/bin"):
        made = host.run(f"nsenter --mount --target {postmaster} -- touch {path}/made")
        assert "Read-only file system" in made.stderr


def test_what_administrators_do_works_in_the_sandbox(host: Any) -> None:
    version, _, cluster = unit(host).partition("@")[2].removesuffix(".service").partition("-")
    before = started(host)
    for verb in ("reload", "restart", "stop", "start"):
        host.check_output(f"pg_ctlcluster {version} {cluster} {verb}")
    assert started(host) != before and host.service(unit(host)).is_running
    host.check_output("postgresql-check")
    # Tables on another disk.
    host.check_output("install -d -o postgres -g postgres /srv/tables")
    root(host, "CREATE TABLESPACE elsewhere LOCATION '/srv/tables'")
    root(host, "CREATE TABLE there TABLESPACE elsewhere AS SELECT generate_series(1, 100000) AS a")
    root(host, "CHECKPOINT")
    # Parallel workers share memory below /dev; queries are compiled where the package can.
    parallel = "SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;"
    compiled = "SET jit = on; SET jit_above_cost = 0;"
    assert root(host, f"{parallel} {compiled} SELECT sum(a * 2) FROM there") == "10000100000"
    assert "Workers Launched" in root(host, f"{parallel} EXPLAIN (ANALYZE) SELECT count(*) FROM there")
    root(host, "DROP TABLE there")
    root(host, "DROP TABLESPACE elsewhere")
    assert host.check_output(f"tail -n 1 /var/log/postgresql/postgresql-{version}-{cluster}.log")


def test_the_log_of_changes_is_archived_from_the_sandbox(host: Any) -> None:
    host.check_output("install -d -o postgres -g postgres /var/lib/archive")
    settings = {"archive_mode": "on", "archive_command": "test ! -f /var/lib/archive/%f && cp %p /var/lib/archive/%f"}
    converge(host, postgresql_settings=settings)
    try:
        root(host, "CREATE TABLE archived AS SELECT 1 AS a")
        segment = root(host, "SELECT pg_walfile_name(pg_switch_wal())")
        deadline = time.monotonic() + 30
        while not host.file(f"/var/lib/archive/{segment}").exists:
            assert time.monotonic() < deadline, root(host, "SELECT * FROM pg_stat_archiver")
            time.sleep(0.5)
    finally:
        root(host, "DROP TABLE IF EXISTS archived")
        converge(host)


def test_the_sandbox_can_be_left_out(host: Any) -> None:
    before = started(host)
    converge(host, postgresql_sandbox=False)
    assert exposure(host) > 9 and started(host) != before
    assert host.check_output("ls /etc/systemd/system/postgresql@.service.d") == ""
    assert psql(host, "SELECT 1").stdout.strip() == "1"
    converge(host)
    assert exposure(host) <= 4.0
    assert psql(host, "SELECT 1").stdout.strip() == "1"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"postgresql_settings": {"wrok_mem": "9MB"}}, 'unrecognized configuration parameter "wrok_mem"'),
        ({"postgresql_hba": ["local all all nonsense"]}, 'invalid authentication method "nonsense"'),
        ({"postgresql_settings": {"shared_buffers": "3000GB"}}, "could not map anonymous shared memory"),
    ],
)
def test_what_postgresql_does_not_take_is_taken_back(host: Any, changed: dict[str, Any], words: str) -> None:
    said = converge(host, check=False, **changed)
    assert words in said.replace('\\"', '"')
    assert psql(host, "SELECT 1").stdout.strip() == "1"
    assert root(host, "SHOW shared_buffers") == "256MB"
