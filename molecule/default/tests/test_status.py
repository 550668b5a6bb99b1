"""What an operator is told of the apps, and of one that is closed for maintenance."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from again import play
from visitor import Visitor

SCENARIO = Path(__file__).parents[1]
LEDGER = "/var/lib/groundcrew/live-guestbook/releases.json"


def status(host: Any, *options: str, **changed: Any) -> dict[str, dict[str, Any]]:
    """As a script takes it from the output: one line of JSON for the server."""
    said = play(host, "groundcrew.django.status", *options, status_format="json", **changed)
    assert "changed=0" in said
    (line,) = [line for line in said.splitlines() if line.startswith("{")]
    told = json.loads(line)
    assert told["server"] == host.backend.get_hostname()
    return {app["name"]: app for app in told["apps"]}


def test_what_is_live_is_told(host: Any) -> None:
    told = status(host, "--check")
    assert list(told) == ["guestbook", "live-guestbook"]
    for name, app in told.items():
        assert app["release"] == host.check_output("basename $(readlink /srv/%s/current)", name)
        assert app["since"].startswith("20")
        assert "@" in app["who"]
        assert (app["service"], app["health"], app["healthy"]) == ("active", "200", True)
        assert (app["pending_migrations"], app["problems"], app["at_work"], app["draining"]) == ([], [], "", [])
        assert (app["maintenance"], app["certificate"]["self_signed"]) == (False, False)
        assert app["certificate"]["days"] > 0


def test_people_get_a_table(host: Any) -> None:
    lines = play(host, "groundcrew.django.status").splitlines()
    header = next(number for number, line in enumerate(lines) if line.startswith("APP "))
    assert lines[header - 1] == host.backend.get_hostname()
    release = host.check_output("basename $(readlink /srv/guestbook/current)")
    assert lines[header + 1].split()[:2] == ["guestbook", release]
    assert lines[header + 1].index(release) == lines[header].index("RELEASE")
    assert "ok (200)" in lines[header + 1]


def test_an_app_that_was_never_deployed(host: Any) -> None:
    new = {"name": "new", "domains": ["new.test"], "source": {"repo": "https://example.com/new.git", "version": "main"}}
    (app,) = status(host, django_apps=[new]).values()
    assert (app["release"], app["healthy"], app["certificate"], app["problems"]) == ("", None, None, [])
    assert "none yet" in play(host, "groundcrew.django.status", django_apps=[new])


@contextmanager
def unit(host: Any, name: str, description: str) -> Iterator[None]:
    """A unit that does nothing for a while."""
    host.check_output("systemd-run --collect --unit=%s --description=%s sleep 300", name, description)
    try:
        yield
    finally:
        host.check_output("systemctl stop %s", name)


def sql(host: Any, statement: str) -> str:
    return str(
        host.check_output("runuser -u postgres -- psql --quiet --no-align --tuples-only guestbook -c %s", statement)
    )


def test_what_is_not_as_it_should_be_is_told(host: Any) -> None:
    last = sql(host, "select name from django_migrations where app = 'guestbook' order by name desc limit 1")
    sql(host, f"delete from django_migrations where app = 'guestbook' and name = '{last}'")
    host.check_output(f"cp -p {LEDGER} {LEDGER}.kept; echo '{{' >{LEDGER}")
    try:
        with (
            unit(host, "guestbook-deploy.service", "guestbook: deploy by a test"),
            unit(host, "guestbook-web-drain@old.service", "Stop it"),
        ):
            told = status(host)
    finally:
        host.check_output(f"mv {LEDGER}.kept {LEDGER}")
        sql(host, f"insert into django_migrations (app, name, applied) values ('guestbook', '{last}', now())")
    app = told["guestbook"]
    assert app["pending_migrations"] == [f"guestbook.{last}"]
    assert app["at_work"] == "guestbook: deploy by a test"
    assert app["draining"] == ["old"]
    assert app["problems"] == []
    damaged = told["live-guestbook"]
    assert (damaged["health"], damaged["who"]) == ("200", "")
    (problem,) = damaged["problems"]
    assert f"The ledger {LEDGER} is damaged" in problem


def test_an_app_that_is_closed_for_maintenance_is_deployed_and_stays_closed(host: Any, visitor: Visitor) -> None:
    """The other one stays open; the deploy's smoke test, which nginx has to let through, passes."""
    described = yaml.safe_load((SCENARIO / "group_vars/all.yml").read_text("utf-8"))
    described["django_apps"][0]["env"]["CLOSED"] = "yes"
    closed, opened = (f"https://{app}.{host.backend.get_hostname()}.test/" for app in ("guestbook", "live"))
    before = host.check_output("readlink /srv/guestbook/current")
    play(host, "groundcrew.django.maintenance", state="on", app="guestbook", retry_after=300)
    try:
        play(host, "groundcrew.django.deploy", django_apps=described["django_apps"])
        assert host.check_output("readlink /srv/guestbook/current") != before
        answer = visitor.ask("POST", closed, body=b"x=1")
        assert (answer.status, answer.headers["Retry-After"]) == (503, "300")
        assert visitor.get(opened).status == 200
        told = status(host)
        assert (told["guestbook"]["maintenance"], told["live-guestbook"]["maintenance"]) == (True, False)
        assert told["guestbook"]["previous"][0] == before.rpartition("/")[2]
    finally:
        play(host, "groundcrew.django.maintenance", state="off", app="guestbook")
    assert visitor.get(closed).status == 200
