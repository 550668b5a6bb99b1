"""Wrong descriptions and the message that each must give: through the filter, and a few through ansible-playbook.

What only the server can tell (an unknown version, settings that do not import ...) belongs to the scenarios.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from worktree import collections

from ansible_collections.groundcrew.django.plugins.filter.apps import FilterModule

app_problems = FilterModule().filters()["app_problems"]

SHOP = {"name": "shop", "domains": ["shop.example.com"], "source": {"repo": "https://example.com/acme/shop.git"}}
BLOG = {"name": "blog", "domains": ["blog.example.com"], "source": {"repo": "https://example.com/acme/blog.git"}}
WRITABLE = "django_apps[0].sandbox.writable_paths"
SECRET = "correct-horse-battery-staple"


def shop(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(SHOP), **changes}


def repo(address: str, **more: Any) -> dict[str, Any]:
    return shop(source={"repo": address, **more})


ADMIN = "django_apps[0].admin"
WORKER = "django_apps[0].workers[0]"
SCHEDULE = "django_apps[0].schedules[0]"


def worker(**keys: Any) -> dict[str, Any]:
    return shop(workers=[keys])


def schedule(**keys: Any) -> dict[str, Any]:
    return shop(schedules=[{"name": "nightly", "command": "clearsessions", "calendar": "daily", **keys}])


# What stands in the inventory as YAML is given as YAML, so that YAML's own surprises are part of the test.
def parsed(text: str) -> dict[str, Any]:
    return shop(**yaml.safe_load(text))


# (what is wrong, the app or the list of apps, the place, a part of the message)
APPS: list[tuple[str, Any, str, str]] = [
    ("no list", {"shop": SHOP}, "django_apps", "expected a list of apps"),
    ("no app", [], "django_apps", "no app is described here; add one, such as {name: shop"),
    ("an app that is a word", ["shop"], "django_apps[0]", "expected an app, such as {name: shop"),
    # Keys
    ("unknown key", shop(domain=["a.example.com"]), "django_apps[0].domain", "did you mean `domains`?"),
    (
        "unknown key below",
        shop(database={"extension": []}),
        "django_apps[0].database.extension",
        "did you mean `extensions`?",
    ),
    (
        "unknown key in a list",
        shop(files=[{"dest": "a", "template": "b", "modes": "1"}]),
        "django_apps[0].files[0].modes",
        "`mode`",
    ),
    ("key at the wrong place", shop(repo="x"), "django_apps[0].repo", "did you mean `source.repo`?"),
    ("key that means nothing", shop(zzz=1), "django_apps[0].zzz", "unknown key; Known here: `name`, `domains`"),
    ("key that is a number", shop(env={1: "x"}), "django_apps[0].env", "a key is a number: put it in quotes"),
    ("reserved path", shop(path="/blog/"), "django_apps[0].path", "not built yet: two apps under one domain"),
    # Workers
    ("a number for workers", shop(workers=3), "django_apps[0].workers", "expected a list, found a number"),
    (
        "a worker that is nothing",
        worker(),
        "django_apps[0].workers[0]",
        "needs a kind, such as celery or rq, or a comm",
    ),
    ("unknown kind", worker(kind="sidekiq"), WORKER + ".kind", "none of the choices; Choose from celery, celery-beat"),
    ("misspelled kind", worker(kind="clery"), WORKER + ".kind", "did you mean celery?"),
    ("negative count", worker(kind="rq", count=-1), WORKER + ".count", "-1 is not between 1 and 64"),
    (
        "a queue with a space",
        worker(kind="rq", queues=["high low"]),
        WORKER + ".queues[0]",
        "write queues: [high, low]",
    ),
    ("queues in a word", worker(kind="celery", queues="a"), WORKER + ".queues", "put it in square brackets"),
    ("a queue like an option", worker(kind="rq", queues=["--burst"]), WORKER + ".queues[0]", "begins with a hyphen"),
    (
        "two beats",
        shop(workers=[{"kind": "celery-beat"}, {"kind": "celery-beat", "name": "b"}]),
        "django_apps[0].workers[1]",
        "is a second Celery beat, and every task would be sent twice",
    ),
    ("a beat in a worker", worker(kind="celery", arguments=["-EB"]), WORKER + ".arguments", "start a beat within each"),
    (
        "a beat as a command",
        worker(name="b", command="celery -A a beat"),
        WORKER + ".command",
        "write kind: celery-beat",
    ),
    (
        "single and several",
        worker(name="clock", command="python clock.py", single=True, count=2),
        WORKER + ".count",
        "is 2, and single means one",
    ),
    ("a single celery", worker(kind="celery", single=True), WORKER + ".single", "is for commands"),
    ("a beat twice", worker(kind="celery-beat", count=2), WORKER, "is a second Celery beat"),
    (
        "two of a name",
        shop(workers=[{"kind": "rq"}, {"kind": "rq", "queues": ["mail"]}]),
        "django_apps[0].workers[1].name",
        "'rq' is the name of another worker",
    ),
    ("a name with capitals", worker(kind="rq", name="Mail"), WORKER + ".name", "is no valid name: lower case letters"),
    ("a long name", worker(kind="rq", name="a" * 33), WORKER + ".name", "has 33 characters, and at most 32 fit"),
    ("no command", worker(kind="command", name="q"), WORKER + ".command", "is missing: kind command runs what it says"),
    ("no name", worker(command="python manage.py qcluster"), WORKER + ".name", "a command of your own needs a name"),
    ("a command beside a kind", worker(kind="rq", command="x"), WORKER + ".command", "has no meaning for this kind"),
    ("a pipe", worker(name="q", command="a | b"), WORKER + ".command", "have one read it: sh -c '...'"),
    ("a variable", worker(name="q", command='a "$PORT"'), WORKER + ".command", "is written for a shell"),
    ("an open quote", worker(name="q", command="a 'b"), WORKER + ".command", "(No closing quotation): mend its quotes"),
    ("an app for rq", worker(kind="rq", app="a.b"), WORKER + ".app", "only Celery has an app"),
    ("concurrency of rq", worker(kind="rq", concurrency=2), WORKER + ".concurrency", "set `count` to have several"),
    (
        "an app that is a file",
        worker(kind="celery", app="config/celery.py"),
        WORKER + ".app",
        "is not a module such as",
    ),
    (
        "a broker in an argument",
        worker(kind="celery", arguments=[f"--broker=redis://:{SECRET}@host/0"]),
        WORKER + ".arguments[0]",
        "the settings name the broker",
    ),
    ("memory without a unit", worker(kind="rq", memory_max="300"), WORKER + ".memory_max", "a size such as 300M or 1G"),
    (
        "memory of the app server without a unit",
        shop(server={"memory_max": "300"}),
        "django_apps[0].server.memory_max",
        "a size such as 300M or 1G",
    ),
    (
        "a worker called like the web server",
        worker(kind="rq", name="web"),
        WORKER + ".name",
        "'web' is what another process of every app is called: choose another name",
    ),
    ("no processor", worker(kind="rq", cpu_weight=0), WORKER + ".cpu_weight", "0 is not between 1 and 10000"),
    # Schedules
    ("a schedule without a time", schedule(calendar=None), SCHEDULE + ".calendar", "is required"),
    ("a time of cron's", schedule(calendar="0 3 * * *"), SCHEDULE + ".calendar", "is written for cron: systemd says"),
    ("no such hour", schedule(calendar="25:00"), SCHEDULE + ".calendar", "`25` in the time `25:00` is not between 0 a"),
    ("days backwards", schedule(calendar="Sun..Mon 3:00"), SCHEDULE + ".calendar", "goes backwards"),
    ("no such day", schedule(calendar="Mo 3:00"), SCHEDULE + ".calendar", "`Mo` is neither days such as Mon..Fri nor"),
    ("a time of YAML's", schedule(calendar=180), SCHEDULE + ".calendar", "put it in quotes"),
    ("a shell in a schedule", schedule(command="a > /tmp/b"), SCHEDULE + ".command", "is written for a shell"),
    (
        "more than a management command",
        schedule(command="python manage.py clearsessions"),
        SCHEDULE + ".command",
        "write only what comes after manage.py",
    ),
    ("no management command", schedule(command="./a.sh"), SCHEDULE + ".command", "'./a.sh' is no management command"),
    ("unknown overlap", schedule(overlap="allow"), SCHEDULE + ".overlap", "Choose from skip, queue"),
    (
        "two schedules of a name",
        shop(schedules=[{"name": "a", "command": "b", "calendar": "daily"}] * 2),
        "django_apps[0].schedules[1].name",
        "'a' is there twice",
    ),
    (
        "a path for procfile",
        shop(procfile="Procfile"),
        "django_apps[0].procfile",
        "expected true or false, found a string",
    ),
    (
        "a word for migrations",
        shop(migrations="safe"),
        "django_apps[0].migrations",
        "expected a mapping with `allow_destructive`, `dump`, `lock_timeout`",
    ),
    (
        "yes as a string for migrations",
        shop(migrations={"allow_destructive": "yes"}),
        "django_apps[0].migrations.allow_destructive",
        "expected true or false, found a string",
    ),
    (
        "misspelt key of migrations",
        shop(migrations={"allow_destructiv": True}),
        "django_apps[0].migrations.allow_destructiv",
        "did you mean `allow_destructive`?",
    ),
    (
        "milliseconds for seconds",
        shop(migrations={"lock_timeout": 5000}),
        "django_apps[0].migrations.lock_timeout",
        "5000 is not between 0 and 3600 seconds",
    ),
    (
        "a time below zero",
        shop(migrations={"statement_timeout": -1}),
        "django_apps[0].migrations.statement_timeout",
        "-1 is not between 0 and 86400 seconds",
    ),
    ("secret as a key", shop(secret_key=SECRET), "django_apps[0].secret_key", "put it in django_app_secrets"),
    (
        "password below",
        shop(database={"password": SECRET}),
        "django_apps[0].database.password",
        "put it in django_app_secrets",
    ),
    ("no name", {key: SHOP[key] for key in ("domains", "source")}, "django_apps[0].name", "is required"),
    ("no domains", {key: SHOP[key] for key in ("name", "source")}, "django_apps[0].domains", "is required"),
    ("no source", {key: SHOP[key] for key in ("name", "domains")}, "django_apps[0].source", "is required"),
    ("name left empty", parsed("name:"), "django_apps[0].name", "is required"),
    # Types
    (
        "string for a list",
        parsed("domains: shop.example.com"),
        "django_apps[0].domains",
        "found a string: put it in square brackets",
    ),
    ("mapping for a list", parsed("domains: {a: b}"), "django_apps[0].domains", "expected a list, found a mapping"),
    (
        "commands as one string",
        parsed("commands: {build: npm ci}"),
        "django_apps[0].commands.build",
        "put it in square brackets",
    ),
    (
        "commands as a list",
        parsed("commands: [npm ci]"),
        "django_apps[0].commands",
        "expected a mapping with `build`, `static`",
    ),
    (
        "version as a number",
        parsed("source: {repo: 'https://h/r', version: 1.10}"),
        "django_apps[0].source.version",
        "a number, 1.1: put",
    ),
    (
        "version as a date",
        parsed("source: {repo: 'https://h/r', version: 2026-01-31}"),
        "django_apps[0].source.version",
        "a date, 2026-01-31",
    ),
    (
        "python as a number",
        parsed("python: 3.13"),
        "django_apps[0].python",
        "YAML reads this as a number, 3.13: put it in quotes",
    ),
    (
        "yes for a string",
        parsed("settings: yes"),
        "django_apps[0].settings",
        "reads this as true (as it does yes, no, on and off)",
    ),
    (
        "string for a switch",
        parsed("source: {repo: 'https://h/r', submodules: 'on'}"),
        "django_apps[0].source.submodules",
        "true or false",
    ),
    (
        "word for a number",
        shop(server={"workers": "many"}),
        "django_apps[0].server.workers",
        "a whole number, found a string",
    ),
    (
        "true for a number",
        shop(server={"timeout": True}),
        "django_apps[0].server.timeout",
        "a whole number, found true or false",
    ),
    (
        "list for a server",
        shop(server=["gunicorn"]),
        "django_apps[0].server",
        "a word or a mapping with `kind`, `entry`",
    ),
    ("name for a database", shop(database="shopdb"), "django_apps[0].database", "true, false or a mapping with `host`"),
    (
        "mode as a number",
        parsed("files: [{dest: a, template: b, mode: 0644}]"),
        "django_apps[0].files[0].mode",
        "put it in quotes",
    ),
    # Names
    ("capital letters", shop(name="Shop"), "django_apps[0].name", "'Shop' is no valid name: lower case letters"),
    ("underscore", shop(name="my_shop"), "django_apps[0].name", "'my_shop' is no valid name"),
    ("digit first", shop(name="1shop"), "django_apps[0].name", "a letter first"),
    ("hyphen last", shop(name="shop-"), "django_apps[0].name", "no hyphen last"),
    ("long name", shop(name="a" * 33), "django_apps[0].name", "has 33 characters; a user's name has at most 32"),
    ("path for a name", shop(name="../etc"), "django_apps[0].name", "is no valid name"),
    ("a user of Debian", shop(name="www-data"), "django_apps[0].name", "reserved (users and groups of Debian)"),
    ("a service", shop(name="postgres"), "django_apps[0].name", "'postgres' is reserved (services)"),
    ("our own directory", shop(name="tls"), "django_apps[0].name", "reserved (names that PostgreSQL, Redis, nginx"),
    ("a user of systemd", shop(name="systemd-resolve"), "django_apps[0].name", "reserved (users of systemd)"),
    (
        "name given twice",
        [SHOP, shop(domains=["a.example.com"])],
        "django_apps[1].name",
        "is the name of django_apps[0].name already",
    ),
    # Host names
    ("empty domains", shop(domains=[]), "django_apps[0].domains", "needs at least one host name"),
    (
        "domain of another app",
        [SHOP, {**BLOG, "redirect_domains": ["shop.example.com"]}],
        "django_apps[1].redirect_domains[0]",
        "'shop.example.com' is a host name of django_apps[0].domains[0] already",
    ),
    (
        "domain twice",
        shop(static_domain="shop.example.com"),
        "django_apps[0].static_domain",
        "of django_apps[0].domains[0] already",
    ),
    (
        "URL",
        shop(domains=["https://shop.example.com/"]),
        "django_apps[0].domains[0]",
        "is a URL: give only the host name, shop.example.com",
    ),
    (
        "path",
        shop(domains=["shop.example.com/blog"]),
        "django_apps[0].domains[0]",
        "is a URL: give only the host name, shop.example.com",
    ),
    ("port", shop(domains=["shop.example.com:8000"]), "django_apps[0].domains[0]", "has a port"),
    (
        "several in one",
        shop(domains=["a.example.com b.example.com"]),
        "django_apps[0].domains[0]",
        "give one per entry of the list",
    ),
    ("underscore in a domain", shop(domains=["my_shop.example.com"]), "django_apps[0].domains[0]", "has an underscore"),
    (
        "wildcard",
        shop(domains=["*.example.com"]),
        "django_apps[0].domains[0]",
        "needs a DNS-01 challenge, which is not built",
    ),
    ("IPv4 address", shop(domains=["192.0.2.1"]), "django_apps[0].domains[0]", "is an IP address"),
    ("IPv6 address", shop(domains=["[2001:db8::1]"]), "django_apps[0].domains[0]", "is an IP address"),
    (
        "international name",
        shop(domains=["müller.example.com"]),
        "django_apps[0].domains[0]",
        "xn--mller-kva.example.com",
    ),
    ("capitals in a domain", shop(domains=["Shop.Example.com"]), "django_apps[0].domains[0]", "write shop.example.com"),
    ("dot at the end", shop(domains=["shop.example.com."]), "django_apps[0].domains[0]", "ends with a dot"),
    ("one label", shop(domains=["shop"]), "django_apps[0].domains[0]", "is no full host name"),
    (
        "label that is too long",
        shop(domains=["a" * 64 + ".example.com"]),
        "django_apps[0].domains[0]",
        "is not 1 to 63 letters",
    ),
    (
        "domain that is too long",
        shop(domains=[".".join(["a" * 60] * 5)]),
        "django_apps[0].domains[0]",
        "has 304 characters",
    ),
    ("nginx's syntax", shop(media_domain="a.example.com;"), "django_apps[0].media_domain", "is no host name"),
    # Source
    ("repo and path", shop(source={"repo": "https://h/r", "path": "."}), "django_apps[0].source", "found both"),
    (
        "neither",
        shop(source={"version": "main"}),
        "django_apps[0].source",
        "exactly one of repo (a git repository) and path",
    ),
    (
        "source as a string",
        shop(source="https://h/r"),
        "django_apps[0].source",
        "expected a mapping with `repo`, `version`",
    ),
    (
        "version of a directory",
        shop(source={"path": ".", "version": "main"}),
        "django_apps[0].source.version",
        "no meaning with source.path",
    ),
    (
        "include of a repository",
        repo("https://h/r", include=["dist"]),
        "django_apps[0].source.include",
        "no meaning with source.repo",
    ),
    (
        "password in the URL",
        repo(f"https://me:{SECRET}@example.com/r.git"),
        "django_apps[0].source.repo",
        "holds a password or token",
    ),
    (
        "token in the URL",
        repo(f"https://{SECRET}@example.com/r.git"),
        "django_apps[0].source.repo",
        "ssh address and a deploy key",
    ),
    (
        "token in the query",
        repo(f"https://example.com/r.git?token={SECRET}"),
        "django_apps[0].source.repo",
        "end the URL at .git",
    ),
    ("directory as a repo", repo("./shop"), "django_apps[0].source.repo", "source.path takes one on this machine"),
    ("no repository", repo("acme/shop"), "django_apps[0].source.repo", "'acme/shop' is no repository, such as"),
    ("an option for git", repo("--upload-pack=x"), "django_apps[0].source.repo", "is no repository"),
    ("a program for git", repo("ext::sh -c x"), "django_apps[0].source.repo", "is no repository"),
    (
        "an option for a version",
        repo("https://h/r", version="--all"),
        "django_apps[0].source.version",
        "is no branch, tag or commit",
    ),
    (
        "a key as the key",
        repo("git@h:r", key=f"-----BEGIN OPENSSH PRIVATE KEY-----\n{SECRET}"),
        "django_apps[0].source.key",
        "holds a key itself",
    ),
    (
        "a path as the key",
        repo("git@h:r", key="~/.ssh/id_ed25519"),
        "django_apps[0].source.key",
        "give the name it has there",
    ),
    # Environment
    (
        "name of a variable",
        shop(env={"MY-VAR": "x"}),
        "django_apps[0].env.MY-VAR",
        "is no name for an environment variable",
    ),
    ("a variable of systemd's", shop(env={"LISTEN_FDS": "1"}), "django_apps[0].env.LISTEN_FDS", "set by systemd"),
    ("list as a value", shop(env={"HOSTS": ["a"]}), "django_apps[0].env.HOSTS", "put JSON and the like in quotes"),
    ("float as a value", parsed("env: {API_VERSION: 1.10}"), "django_apps[0].env.API_VERSION", "put it in quotes"),
    ("nothing as a value", parsed("env: {HOSTS: }"), "django_apps[0].env.HOSTS", 'write "" for an empty one'),
    ("control character", shop(env={"TEXT": "a\r\nb"}), "django_apps[0].env.TEXT", "holds the control character '\\r'"),
    (
        "secret in clear",
        shop(env={"STRIPE_API_KEY": SECRET}),
        "django_apps[0].env.STRIPE_API_KEY",
        "django_app_secrets.shop.stripe_api_key, and write ${secret.stripe_api_key}",
    ),
    (
        "password in clear",
        shop(env={"EMAIL_HOST_PASSWORD": SECRET}),
        "django_apps[0].env.EMAIL_HOST_PASSWORD",
        "a secret in clear",
    ),
    (
        "password in a URL",
        shop(env={"BROKER": f"amqp://me:{SECRET}@mq/"}),
        "django_apps[0].env.BROKER",
        "a secret in clear",
    ),
    (
        "private key",
        shop(env={"JWT": f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}"}),
        "django_apps[0].env.JWT",
        "a secret in clear",
    ),
    (
        "unknown placeholder",
        shop(env={"DB": "${database.nane}"}),
        "django_apps[0].env.DB",
        "did you mean ${database.name}? Known: secret.",
    ),
    (
        "placeholder without its part",
        shop(env={"CACHE": "${redis.url}"}),
        "django_apps[0].env.CACHE",
        "${redis.url} names nothing",
    ),
    (
        "no database",
        shop(database=False, env={"DB": "${database.url}"}),
        "django_apps[0].env.DB",
        "names nothing that this app has",
    ),
    ("single dollar", shop(env={"TEXT": "US$5"}), "django_apps[0].env.TEXT", "write $$ for a dollar sign"),
    ("open brace", shop(env={"TEXT": "${name"}), "django_apps[0].env.TEXT", "has a single $"),
    ("name of a secret", shop(env={"X": "${secret.My-Key}"}), "django_apps[0].env.X", "is no name of a secret"),
    (
        "file of a secret in a text",
        shop(env={"X": "a ${secret_file.secret_key}"}),
        "django_apps[0].env.X",
        "stands by itself",
    ),
    (
        "name of a secret file",
        shop(env={"X": "${secret_file.My-Key}"}),
        "django_apps[0].env.X",
        "is no name of a secret",
    ),
    (
        "settings twice",
        shop(settings="a.b", env={"DJANGO_SETTINGS_MODULE": "c.d"}),
        "django_apps[0].settings",
        "different modules",
    ),
    (
        "secret that is too short",
        shop(secrets={"pepper": {"generate": 4}}),
        "django_apps[0].secrets.pepper.generate",
        "16 and 4096",
    ),
    (
        "secret that is given",
        shop(secrets={"pepper": SECRET}),
        "django_apps[0].secrets.pepper",
        "expected a mapping with `generate`",
    ),
    # Code
    ("directory outside", shop(directory="../other"), "django_apps[0].directory", "must not contain `..`"),
    (
        "absolute directory",
        shop(directory="/srv/x"),
        "django_apps[0].directory",
        "must be relative to the project's code",
    ),
    (
        "settings as a file",
        shop(settings="config/settings.py"),
        "django_apps[0].settings",
        "dotted name, config.settings",
    ),
    ("python 2", shop(python="2.7"), "django_apps[0].python", "is not a version such as '3.13'"),
    (
        "no package of Debian's",
        shop(packages={"build": ["libpq-dev; rm -rf /"]}),
        "django_apps[0].packages.build[0]",
        "the name of a Debian",
    ),
    (
        "an option for uv",
        shop(dependencies={"packages": ["--index-url=x"]}),
        "django_apps[0].dependencies.packages[0]",
        "is no requirement",
    ),
    (
        "a token for an index",
        shop(dependencies={"packages": [f"a @ git+https://{SECRET}@h/r"]}),
        "django_apps[0].dependencies.packages[0]",
        "holds a password or token",
    ),
    ("empty command", shop(commands={"static": [" "]}), "django_apps[0].commands.static[0]", "is empty"),
    (
        "file outside",
        shop(files=[{"dest": "a/../../b", "template": "t"}]),
        "django_apps[0].files[0].dest",
        "must not contain `..`",
    ),
    (
        "file of the server's",
        shop(files=[{"dest": "/etc/passwd", "template": "t"}]),
        "django_apps[0].files[0].dest",
        "belongs to the server",
    ),
    (
        "file of nginx's",
        shop(files=[{"dest": "/etc/nginx/x.conf", "template": "t"}]),
        "django_apps[0].files[0].dest",
        "belongs to the server",
    ),
    (
        "file of ours",
        shop(files=[{"dest": "/srv/shop/current/x", "template": "t"}]),
        "django_apps[0].files[0].dest",
        "is not the app's to write",
    ),
    (
        "file that is written twice",
        shop(files=[{"dest": "a", "template": "t"}, {"dest": "./a", "template": "t"}]),
        "django_apps[0].files[1].dest",
        "is written by another entry",
    ),
    (
        "mode for everybody",
        shop(files=[{"dest": "a", "template": "t", "mode": "0666"}]),
        "django_apps[0].files[0].mode",
        "not writable by",
    ),
    *(
        (f"writable path {path}", shop(sandbox={"writable_paths": [path]}), f"{WRITABLE}{index}", says)
        for path, index, says in (
            ("exports", "[0]", "must be absolute"),
            ("/srv/../etc", "[0]", "must not contain"),
            ("/", "[0]", "names the whole directory"),
            ("/etc/shop", "[0]", "belongs to the server"),
            ("/home/deploy", "[0]", "hides"),
            ("/srv", "[0]", "more than one app's files"),
            ("/srv/shop/releases/", "", "is the app's own: what is to outlive a release"),
        )
    ),
    ("absolute shared path", shop(shared_paths=["/data"]), "django_apps[0].shared_paths[0]", "must be relative"),
    ("the code itself", shop(shared_paths=["./"]), "django_apps[0].shared_paths[0]", "names the whole directory"),
    (
        "shared paths that overlap",
        shop(shared_paths=["data", "data/a"]),
        "django_apps[0].shared_paths",
        "'data/a' and 'data' overlap",
    ),
    (
        "file in a shared path",
        shop(shared_paths=["data"], files=[{"dest": "data/a", "template": "t"}]),
        "django_apps[0].files[0].dest",
        "is in a shared path",
    ),
    # Database and Redis
    (
        "long name of a database",
        shop(database={"name": "a" * 64}),
        "django_apps[0].database.name",
        "64 bytes; a name in PostgreSQL has at",
    ),
    (
        "PostgreSQL's own database",
        shop(database={"name": "template1"}),
        "django_apps[0].database.name",
        "belongs to PostgreSQL itself",
    ),
    ("SQL as a name", shop(database={"name": 'a"; drop'}), "django_apps[0].database.name", "is no name for PostgreSQL"),
    ("user without host", shop(database={"user": "other"}), "django_apps[0].database.user", "no meaning without host"),
    (
        "socket as a host",
        shop(database={"host": "/run/postgresql"}),
        "django_apps[0].database.host",
        "leave `host` out",
    ),
    (
        "host with its port",
        shop(database={"host": "db:5432"}),
        "django_apps[0].database.host",
        "the port has a key of its own",
    ),
    ("port", shop(database={"port": 70000}), "django_apps[0].database.port", "70000 is not between 1 and 65535"),
    (
        "alias default",
        shop(databases={"default": {}}),
        "django_apps[0].databases.default",
        "is described by `database`",
    ),
    (
        "one database for two",
        [SHOP, {**BLOG, "database": {"name": "shop"}}],
        "django_apps[1].database",
        "is the database of django_apps[0]",
    ),
    ("unknown form of Redis", shop(redis={"listen": "tpc"}), "django_apps[0].redis.listen", "did you mean tcp?"),
    ("nothing of Redis", shop(redis={"cache": False}), "django_apps[0].redis", "neither cache nor queue"),
    (
        "one number for two",
        [shop(redis={"database": 7}), {**BLOG, "redis": {"database": 7}}],
        "django_apps[1].redis.database",
        "'7' is the number of django_apps[0].redis.database already",
    ),
    # Both names give the same number.
    (
        "numbers that clash",
        [shop(name="app72", redis=True), {**BLOG, "name": "app83", "redis": True}],
        "django_apps[1].redis.database",
        "set another, from 1 to 1023",
    ),
    # What nginx and the app server are told
    ("media", shop(media="nginx"), "django_apps[0].media", "Choose from auto, public, app, internal, none"),
    ("body_size", shop(body_size="10 MB"), "django_apps[0].body_size", "'10 MB' is not a size such as 10m"),
    (
        "location",
        shop(locations=[{"path": "feeds/", "rate": "1r/s"}]),
        "django_apps[0].locations[0].path",
        "must start with /",
    ),
    (
        "nginx's syntax in a location",
        shop(locations=[{"path": "/a { }", "rate": "1r/s"}]),
        "django_apps[0].locations[0].path",
        "unescaped",
    ),
    (
        "the certificate's location",
        shop(locations=[{"path": "/.well-known/acme-challenge/", "redirect": "/"}]),
        "django_apps[0].locations[0].path",
        "belongs to the certificate's renewal",
    ),
    (
        "rate",
        shop(locations=[{"path": "/a", "rate": "5/s"}]),
        "django_apps[0].locations[0].rate",
        "is not a rate such as 5r/s",
    ),
    (
        "redirect",
        shop(locations=[{"path": "/a", "redirect": "//evil"}]),
        "django_apps[0].locations[0].redirect",
        "is no target",
    ),
    (
        "location without effect",
        shop(locations=[{"path": "/a"}]),
        "django_apps[0].locations[0]",
        "exactly one of rate and redirect",
    ),
    (
        "location twice",
        shop(locations=[{"path": "/a", "rate": "1r/s"}] * 2),
        "django_apps[0].locations[1]",
        "is described twice",
    ),
    ("a word for the admin", shop(admin="/cms/"), "django_apps[0].admin", "a mapping with `paths`, `allow`"),
    ("the site as the admin", shop(admin={"paths": ["/"]}), ADMIN + ".paths[0]", "is the whole site"),
    ("an admin elsewhere", shop(admin={"paths": ["cms/"]}), ADMIN + ".paths[0]", "must start with /"),
    ("an escaped path", shop(login_paths=["/%C3%A9/"]), "django_apps[0].login_paths[0]", "write the characters"),
    ("a path with dots", shop(login_paths=["/a/../b"]), "django_apps[0].login_paths[0]", "no browser asks for"),
    ("nginx's syntax in a path", shop(login_paths=['/a" 1; }']), "django_apps[0].login_paths[0]", "unescaped"),
    ("a pattern", shop(login_paths=["/login/?$"]), "django_apps[0].login_paths[0]", "has a query or fragment"),
    ("a name", shop(admin={"allow": ["office.example.com"]}), ADMIN + ".allow[0]", "neither an address nor a network"),
    ("an address with a zone", shop(admin={"allow": ["fe80::1%eth0"]}), ADMIN + ".allow[0]", "has a zone"),
    (
        "an address in a network",
        shop(admin={"allow": ["203.0.113.7/24"]}),
        ADMIN + ".allow[0]",
        "write 203.0.113.0/24 for all of it",
    ),
    ("nothing to allow", shop(admin={"paths": [], "allow": ["::1"]}), ADMIN + ".allow", "name the admin's paths"),
    (
        "unknown server",
        shop(server="unicorn"),
        "django_apps[0].server.kind",
        "'unicorn' is none of the choices; did you mean gunicorn?",
    ),
    (
        "an ASGI application on a WSGI server",
        shop(server={"kind": "uwsgi", "entry": "config.asgi:application"}),
        "django_apps[0].server.entry",
        "'config.asgi:application' is ASGI by its name, and uwsgi serves WSGI only: name another, or choose the kind "
        "from granian, uvicorn, hypercorn, daphne",
    ),
    (
        "a WSGI application on an ASGI server",
        shop(server={"kind": "daphne", "entry": "config.wsgi:application"}),
        "django_apps[0].server.entry",
        "daphne serves ASGI only: name another, or choose the kind from gunicorn, uwsgi, granian",
    ),
    (
        "workers of a single process",
        shop(server={"kind": "daphne", "workers": 2}),
        "django_apps[0].server.workers",
        "is 2, but daphne is one process and no more: remove it, or choose the kind from granian, uvicorn, hypercorn",
    ),
    (
        "dotted entry",
        shop(server={"entry": "config.wsgi.application"}),
        "django_apps[0].server.entry",
        "write config.wsgi:application",
    ),
    ("too few workers", shop(server={"workers": 0}), "django_apps[0].server.workers", "0 is not between 1 and 512"),
    ("health", shop(health="healthz"), "django_apps[0].health.path", "'healthz' must start with /"),
    (
        "status",
        shop(health={"path": "/", "status": [99]}),
        "django_apps[0].health.status[0]",
        "99 is not between 100 and 599",
    ),
    (
        "fail level",
        shop(check={"fail_level": "warning"}),
        "django_apps[0].check.fail_level",
        "'warning' is none of the choices",
    ),
    (
        "id of a check",
        shop(check={"ignore": ["W004"]}),
        "django_apps[0].check.ignore[0]",
        "the id of a check such as security.W004",
    ),
    (
        "production settings",
        parsed("production_settings: no"),
        "django_apps[0].production_settings",
        "reads this as false",
    ),
]

# (what is wrong, the app, its secrets, the place, a part of the message)
SECRETS: list[tuple[str, dict[str, Any], Any, str, str]] = [
    ("no mapping", SHOP, ["shop"], "django_app_secrets", "expected a mapping from an app's name to its secrets"),
    (
        "unknown app",
        SHOP,
        {"shpo": {"a": SECRET}},
        "django_app_secrets.shpo",
        "no app has this name; did you mean shop?",
    ),
    (
        "secret instead of secrets",
        SHOP,
        {"shop": SECRET},
        "django_app_secrets.shop",
        "expected a mapping from a secret's name",
    ),
    ("number as a secret", SHOP, {"shop": {"pin": 4711}}, "django_app_secrets.shop.pin", "its value is not shown"),
    ("mapping as a secret", SHOP, {"shop": {"pin": {"x": SECRET}}}, "django_app_secrets.shop.pin", "expected a string"),
    ("empty secret", SHOP, {"shop": {"pin": ""}}, "django_app_secrets.shop.pin", "is empty"),
    ("name of a secret", SHOP, {"shop": {"../pin": SECRET}}, "django_app_secrets.shop.../pin", "is a path"),
    (
        "name that nothing uses",
        SHOP,
        {"shop": {"secretkey": SECRET}},
        "django_app_secrets.shop.secretkey",
        "did you mean secret_key?",
    ),
    (
        "short key",
        SHOP,
        {"shop": {"secret_key": SECRET}},
        "django_app_secrets.shop.secret_key",
        "less than the 50 characters",
    ),
    (
        "secret that nobody has",
        shop(env={"A": "${secret.pepper}"}),
        {},
        "django_apps[0]",
        "the secret pepper is missing (used as ${secret.pepper}",
    ),
    (
        "database elsewhere",
        shop(database={"host": "db"}),
        {},
        "django_apps[0]",
        "give it as django_app_secrets.shop.database_password",
    ),
    (
        "further database elsewhere",
        shop(databases={"old": {"host": "db"}}),
        {},
        "django_apps[0]",
        "database_password_old is missing",
    ),
    (
        "deploy key",
        repo("git@h:r", key="deploy"),
        {"shop": None},
        "django_apps[0]",
        "the deploy key that source.key names",
    ),
    (
        "password of Redis without it",
        shop(env={"A": "${secret.redis_password}"}),
        {},
        "django_apps[0].env.A",
        "needs redis",
    ),
]


def check(problems: list[str], place: str, message: str) -> None:
    found = [problem for problem in problems if problem.startswith(f"{place}: ") and message in problem]
    assert found, "\n".join(problems) or "nothing was found wrong"
    assert len(problems) == 1, "one mistake is told once:\n" + "\n".join(problems)
    assert "\n" not in problems[0]
    assert SECRET not in problems[0]


@pytest.mark.parametrize(("apps", "place", "message"), [pytest.param(*row[1:], id=row[0]) for row in APPS])
def test_a_wrong_description_is_told(apps: Any, place: str, message: str) -> None:
    described = [apps] if isinstance(apps, Mapping) and "shop" not in apps else apps
    check(app_problems(described, {}), place, message)


@pytest.mark.parametrize(("app", "secrets", "place", "message"), [pytest.param(*row[1:], id=row[0]) for row in SECRETS])
def test_wrong_secrets_are_told(app: dict[str, Any], secrets: Any, place: str, message: str) -> None:
    check(app_problems([app], secrets), place, message)


def test_everything_is_told_at_once() -> None:
    apps = [shop(name="Shop", domains="x"), {**BLOG, "env": {"A": "$"}}, shop(source={}), "zzz"]
    places = [problem.split(":")[0] for problem in app_problems(apps, {"nobody": {}})]
    assert places == [
        "django_apps[0].name",
        "django_apps[0].domains",
        "django_apps[1].env.A",
        "django_apps[2].source",
        "django_apps[3]",
        "django_app_secrets.nobody",
    ]


@pytest.mark.parametrize(
    "app",
    [
        SHOP,
        shop(
            env={
                "PASSWORD_HASHERS": "argon2",
                "AUTH_PASSWORD_VALIDATORS": "[]",
                "TOKEN_LIFETIME": 3600,
                "USE_TOKENS": True,
            }
        ),
        shop(
            env={
                "GOOGLE_KEY_FILE": "x.json",
                "SSH_KEY": "/etc/keys/a",
                "AWS_ACCESS_KEY_ID": "AKIA",
                "CACHE_KEY_PREFIX": "shop",
            }
        ),
        shop(
            env={
                "SENTRY_DSN": "https://public@sentry.example.com/1",
                "STRIPE_PUBLISHABLE_KEY": "pk_live_x",
                "SECRET_KEY_NAME": "x",
            }
        ),
        shop(
            env={
                "PASSWORD": "",
                "KEYBOARD": "de",
                "DB_PASSWORD": "${database.password}",
                "MONKEY": "ape",
                "COMPASS": "north",
            }
        ),
        shop(
            redis=True, env={"A": "${redis.url} ${redis.cache.port} $$ ${secret.redis_password} ${secret.secret_key}"}
        ),
        shop(secrets={"pepper": None}, env={"PEPPER": "${secret.pepper}", "BROKER": "amqp://me:${secret.pepper}@mq/"}),
        shop(databases={"old": {}}, env={"OLD": "${databases.old.url} ${paths.media} ${release} ${domain}"}),
        shop(files=[{"dest": "/etc/netbox/conf.json", "template": "a.j2"}, {"dest": "local.py", "template": "b.j2"}]),
        shop(
            server={"workers": "4"}, directory=".", redis=False, database=True, static_domain=None, env=None, files=None
        ),
        repo("git@example.com:acme/shop.git", version="feature/#12", submodules=True),
        repo("ssh://git@example.com:2222/acme/shop.git"),
    ],
)
def test_a_good_description_is_left_in_peace(app: dict[str, Any]) -> None:
    assert app_problems([app], {}) == []


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory to run ansible-playbook in, with an ssh that tells when it is used."""
    directory = tmp_path_factory.mktemp("controller")
    fake = directory / "bin" / "ssh"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\ntouch {directory}/contacted\nexit 255\n")
    fake.chmod(0o755)
    play = [{"hosts": "all", "gather_facts": False, "roles": ["groundcrew.django.preflight"]}]
    (directory / "play.yml").write_text(yaml.safe_dump(play))
    return directory


def preflight(
    controller: Path, variables: dict[str, Any], *options: str, playbook: str = "play.yml"
) -> tuple[int, str]:
    """Run the role, or a playbook that begins with it, against a server that cannot be reached."""
    hosts = {"all": {"hosts": {"server.example.com": {"ansible_host": "192.0.2.1"}}, "vars": variables}}
    (controller / "hosts.yml").write_text(yaml.safe_dump(hosts))
    environment = {
        **os.environ,
        "PATH": f"{controller}/bin:{os.environ['PATH']}",
        "ANSIBLE_COLLECTIONS_PATH": str(collections()),
        "ANSIBLE_LOCAL_TEMP": str(controller / "tmp"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_SSH_EXECUTABLE": f"{controller}/bin/ssh",
    }
    program = shutil.which("ansible-playbook", path=str(Path(sys.executable).parent))
    assert program, "ansible-playbook stands beside the Python that runs the tests"
    result = subprocess.run(
        [program, "-i", "hosts.yml", playbook, *options],
        cwd=controller,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return result.returncode, result.stdout + result.stderr


# (what is wrong, variables of the inventory, the messages)
RUNS: list[tuple[str, dict[str, Any], list[str]]] = [
    ("nothing described", {}, ["django_apps: no app is described here"]),
    (
        "several things, secrets among them",
        {
            "django_apps": [
                shop(name="Shop", env={"API_TOKEN": SECRET}, database={"password": SECRET}),
                {**BLOG, "source": {"repo": f"https://me:{SECRET}@example.com/r.git"}},
            ],
            "django_app_secrets": {"blog": {"a": SECRET, "b": {"c": SECRET}}, "nobody": {"d": SECRET}},
        },
        [
            "django_apps[0].name: 'Shop' is no valid name",
            "django_apps[0].env.API_TOKEN: looks like a secret in clear",
            "django_apps[0].database.password: a secret has no place in django_apps",
            "django_apps[1].source.repo: holds a password or token",
            "django_app_secrets.blog.b: expected a string (its value is not shown)",
            "django_app_secrets.nobody: no app has this name",
        ],
    ),
    (
        "secrets that are no mapping",
        {"django_apps": [SHOP], "django_app_secrets": SECRET},
        ["django_app_secrets: expected a mapping"],
    ),
    (
        "files that are not there",
        {
            "django_apps": [
                shop(source={"path": "nowhere"}, files=[{"dest": "a", "template": "shop/a.j2"}]),
                {**BLOG, "source": {"path": "empty", "include": ["dist"]}},
            ],
        },
        [
            "django_apps[0].source.path: there is no directory 'nowhere'; a relative path is looked for in ",
            "django_apps[0].files[0].template: there is no file 'shop/a.j2'",
            "django_apps[1].source.path: there is no manage.py anywhere in ",
            "django_apps[1].source.include[0]: there is no 'dist' in ",
        ],
    ),
]


@pytest.mark.parametrize("playbook", ["groundcrew.django.site", "groundcrew.django.deploy"])
@pytest.mark.parametrize(("variables", "messages"), [pytest.param(*row[1:], id=row[0]) for row in RUNS])
def test_the_messages_reach_the_operator_and_nothing_else_does(
    controller: Path, variables: dict[str, Any], messages: list[str], playbook: str
) -> None:
    (controller / "empty").mkdir(exist_ok=True)
    status, output = preflight(controller, variables, "-vvv", "--diff", playbook=playbook)
    assert status == 2, output
    for message in ["Nothing was changed", *messages]:
        # Ansible shows the list as JSON.
        assert json.dumps(message)[1:-1] in output or message in output
    assert SECRET not in output
    assert not (controller / "contacted").exists()


def test_the_watched_ssh_tells_when_it_is_used(controller: Path) -> None:
    (controller / "facts.yml").write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": True}]))
    status, _ = preflight(controller, {}, "facts.yml")
    assert status == 2, "the description is refused before the second play"
    status, output = preflight(controller, {"django_apps": [SHOP]}, "facts.yml")
    assert status == 4, output
    (controller / "contacted").unlink()


def test_a_good_description_passes_without_a_server(controller: Path) -> None:
    project = controller / "project" / "backend"
    project.mkdir(parents=True)
    (project / "manage.py").touch()
    (controller / "templates").mkdir()
    (controller / "templates" / "a.j2").touch()
    app = shop(source={"path": "project"}, directory="backend", files=[{"dest": "a", "template": "a.j2"}])
    status, output = preflight(
        controller, {"django_apps": [app], "django_app_secrets": {"shop": {"pin": SECRET}}}, "-vvv"
    )
    assert status == 0, output
    assert SECRET not in output
    assert not (controller / "contacted").exists()


@pytest.mark.parametrize(
    ("distribution", "version", "message"),
    [
        ("Debian", "13", ""),
        ("Debian", "11", "server.example.com runs Debian 11. Supported are Debian 12 and Debian 13"),
        ("Ubuntu", "24", "server.example.com runs Ubuntu 24. Supported are Debian 12 and Debian 13"),
    ],
)
def test_an_unknown_system_is_refused(controller: Path, distribution: str, version: str, message: str) -> None:
    facts = {"distribution": distribution, "distribution_major_version": version}
    play = [
        {
            "hosts": "all",
            "gather_facts": False,
            "pre_tasks": [{"ansible.builtin.set_fact": {**facts, "cacheable": True}}],
            "roles": ["groundcrew.django.preflight"],
        }
    ]
    (controller / "facts.yml").write_text(yaml.safe_dump(play))
    status, output = preflight(controller, {"django_apps": [SHOP]}, "facts.yml")
    assert status == (2 if message else 0), output
    assert message in output
