# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a single value of an app's description must look like. Pure. PRIVATE to the collection: may change at any time.

`RULES` maps a place in the description to a function that returns what is wrong with a value there, or an empty string.
"""

from __future__ import annotations

import ipaddress
import re
import shlex
import typing as t
import urllib.parse
from collections.abc import Callable, Iterable

from ansible_collections.groundcrew.django.plugins.module_utils import _calendar
from ansible_collections.groundcrew.django.plugins.module_utils._app_spec import SECRET_WORD, shown

Rule = Callable[[t.Any], str]

# An app's name becomes a user, a group, a database role, a Redis user and directories of ours: none of these may exist
# already, now or when one of the packages below is installed later.
RESERVED_NAMES = {
    "users and groups of Debian": """
        adm audio avahi backup bin cdrom clock crontab daemon dialout dip disk docker fax floppy ftp games gnats
        input irc kmem kvm list lp mail man messagebus netdev news nobody nogroup operator plugdev polkitd proxy
        render root rtkit sasl sgx shadow src ssh sshd ssl-cert staff sudo sync sys syslog tape tcpdump tftp tss
        tty users utmp uucp uuidd video voice wheel www-data""",
    "login users of server images": "admin ansible centos debian deploy ec2-user ubuntu vagrant",
    "services": """
        bind celery certbot chrony consul dovecot etcd exim grafana haproxy memcache memcached mysql nginx node
        opendkim patroni pgbackrest pgbouncer postfix postgres postgresql prometheus rabbitmq redis sentinel
        unbound valkey varnish""",
    "names that PostgreSQL, Redis, nginx or this collection use": """
        acme all any config-set current default groundcrew local localhost maintenance none pending public secrets
        template0 template1 tls user""",
}
_RESERVED = {name: reason for reason, names in RESERVED_NAMES.items() for name in names.split()}

SECRET_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_-]*")

# Trees that belong to the server or to us, and the part of /etc that a web site must not be able to rewrite.
FILE_TREES = ("/etc", "/opt", "/usr/local/etc", "/usr/local/share")
SYSTEM_ETC = """
    alternatives apt bash.bashrc ca-certificates ca-certificates.conf certbot cron.d cron.daily cron.hourly
    cron.monthly cron.weekly crontab dbus-1 default dpkg environment fstab group group- groundcrew gshadow
    gshadow- host.conf hostname hosts init.d inittab iptables kernel ld.so.cache ld.so.conf ld.so.conf.d
    letsencrypt localtime login.defs logrotate.d machine-id modprobe.d modules modules-load.d network
    nftables.conf nginx nsswitch.conf pam.conf pam.d passwd passwd- polkit-1 postgresql postgresql-common
    profile profile.d redis resolv.conf rsyslog.conf rsyslog.d security shadow shadow- shells skel ssh ssl
    subgid subuid sudoers sudoers.d sysctl.conf sysctl.d systemd terminfo timezone tmpfiles.d udev ufw""".split()

# Where no process of an app may write, and why.
SYSTEM_TREES = {
    **dict.fromkeys("bin boot dev etc lib lib32 lib64 proc sbin sys usr".split(), "belongs to the server"),
    **dict.fromkeys(("home", "root"), "the sandbox hides from every app"),
    "tmp": "each process has of its own and may write anyway",
    "run": "is empty after each restart of the server",
}


def matches(pattern: str, expected: str) -> Rule:
    """A rule: the whole value has this form."""
    form = re.compile(pattern)
    return lambda value: "" if form.fullmatch(value) else f"{shown(value)} is not {expected}"


def between(low: int, high: int, unit: str = "") -> Rule:
    """A rule for numbers."""
    return lambda value: "" if low <= value <= high else f"{value} is not between {low} and {high}{unit}"


def name(value: str) -> str:
    """The name of an app."""
    if not re.fullmatch(r"[a-z][a-z0-9-]*", value) or value.endswith("-"):
        return (
            f"{shown(value)} is no valid name: lower case letters, digits and hyphens, a letter first, no hyphen last"
            " (it becomes a user, a database and the name of units)"
        )
    if len(value) > 32:
        return f"{shown(value)} has {len(value)} characters; a user's name has at most 32"
    if value in _RESERVED or value.startswith("systemd-"):
        return f"{shown(value)} is reserved ({_RESERVED.get(value, 'users of systemd')}): choose another name"
    return ""


def domain(value: str) -> str:
    """A host name as it stands in the address bar, without anything around it."""
    said = shown(value)
    if credentials(value):
        return "holds a password, and a host name has none: give only the host name, such as shop.example.com"
    if "://" in value or "/" in value:
        host = urllib.parse.urlsplit(value if "://" in value else f"//{value}").hostname if "[" not in value else None
        return f"{said} is a URL: give only the host name" + (f", {host}" if host else "")
    if not value or re.search(r"[\s,;]", value):
        return f"{said} is no host name: give one per entry of the list, such as shop.example.com"
    if value.startswith("*"):
        return f"{said} is a wildcard: that needs a DNS-01 challenge, which is not built; list every host name"
    try:
        ipaddress.ip_address(value.strip("[]"))
    except ValueError:
        pass
    else:
        return f"{said} is an IP address: certificates and Django's host check need a host name"
    if re.search(r":\d*$", value):
        return f"{said} has a port: give only the host name; sites are served on 443, and 80 leads there"
    if not value.isascii():
        return f"{said} is not ASCII: write its punycode form{_punycode(value)}"
    if value != value.lower():
        return f"{said} has capital letters: write {value.lower()}"
    if value.endswith("."):
        return f"{said} ends with a dot: leave it out"
    if "_" in value:
        return f"{said} has an underscore, which no host name may have (Django would refuse the request)"
    if len(value) > 253:
        return f"{said} has {len(value)} characters; a host name has at most 253"
    labels = value.split(".")
    for label in labels:
        if not _LABEL.fullmatch(label):
            return f"{said} is no host name: {shown(label)} is not 1 to 63 letters, digits and inner hyphens"
    if len(labels) < 2 or labels[-1].isdigit():
        return f"{said} is no full host name: give it with its domain, such as shop.example.com"
    return ""


def _punycode(value: str) -> str:
    try:
        return f", {value.encode('idna').decode()}"
    except UnicodeError:
        return ""


def credentials(value: str) -> bool:
    """Whether a URL holds a password (placeholders do not count)."""
    plain = re.sub(r"\$\{[^}]*\}", "", value)
    return bool(re.search(r"[a-z][a-z0-9+.-]*://[^\s/:@]*:[^\s/@]+@", plain, re.I))


def repo(value: str) -> str:
    """The address of a git repository; never echoed before it is known to hold no secret."""
    parts = urllib.parse.urlsplit(value) if "://" in value and "[" not in value else None
    over_http = parts is not None and parts.scheme.lower() in ("http", "https")
    if credentials(value) or (parts and over_http and "@" in parts.netloc):
        return (
            "holds a password or token, which ends up in logs and process lists: use the repository's ssh address and"
            " a deploy key (source.key names the secret in django_app_secrets that holds it)"
        )
    if parts and parts.query:
        return "has a query, which git does not need and which may hold a token: end the URL at .git"
    if "://" in value and value.split("://")[0] not in ("https", "http", "ssh", "git", "file"):
        return "is no address that git can fetch from here: use https://, ssh:// or git@host:path"
    if re.fullmatch(r"(https|http|ssh|git)://[\w.@:\[\]-]+/\S+|file:///\S+|[\w.-]+@[\w.-]+:(?!//)\S+", value):
        return ""
    if value.startswith(("/", "./", "../", "~")):
        return f"{shown(value)} is a directory: source.path takes one on this machine"
    return (
        f"{shown(value)} is no repository, such as https://example.com/acme/shop.git or git@example.com:acme/shop.git"
    )


def version(value: str) -> str:
    """A branch, a tag or a commit."""
    if not value or value.startswith("-") or re.search(r"[\s~^:?*\[\\\x00-\x1f\x7f]|\.\.|@\{", value):
        return f"{shown(value)} is no branch, tag or commit"
    return ""


def secret_name(value: str) -> str:
    """The name of a secret, where somebody may well have put the secret itself."""
    if "\n" in value or "PRIVATE KEY" in value:
        return "holds a key itself: put it in django_app_secrets and give the name it has there, such as deploy_key"
    if "/" in value:
        return f"{shown(value)} is a path: put the key in django_app_secrets and give the name it has there"
    if not SECRET_NAME.fullmatch(value):
        return "is no name of a secret (lower case letters, digits and underscores, a letter first, at most 64)"
    return ""


def inside(value: str) -> str:
    """A path within the project's code."""
    if value.startswith(("/", "~")):
        return f"{shown(value)} must be relative to the project's code"
    return _no_detour(value)


def _no_detour(value: str) -> str:
    if not value or re.search(r"[\x00-\x1f\x7f]", value):
        return f"{shown(value)} is no path"
    if ".." in value.split("/"):
        return f"{shown(value)} must not contain `..`"
    if value.strip("/") in ("", "."):
        return f"{shown(value)} names the whole directory"
    return ""


def destination(value: str) -> str:
    """Where a file of the user's is put."""
    if value.endswith("/"):
        return f"{shown(value)} is a directory: name the file"
    if not value.startswith("/"):
        return inside(value)
    wrong = _no_detour(value)
    if wrong:
        return wrong
    parts = [part for part in value.split("/") if part not in ("", ".")]
    clean = "/" + "/".join(parts)
    if clean in FILE_TREES or not any(clean.startswith(f"{tree}/") for tree in FILE_TREES):
        return f"{shown(value)} is not the app's to write: use a path within the code or under {', '.join(FILE_TREES)}"
    if parts[0] == "etc" and parts[1] in SYSTEM_ETC:
        return f"{shown(value)} belongs to the server: use a directory of the app's own, such as /etc/<app>-conf/"
    return ""


def writable(value: str) -> str:
    """A directory on the server that an app's processes may write."""
    if not value.startswith("/"):
        return f"{shown(value)} must be absolute; what is inside the code belongs into `shared_paths`"
    wrong = _no_detour(value)
    if wrong:
        return wrong
    parts = [part for part in value.split("/") if part not in ("", ".")]
    if parts[0] in SYSTEM_TREES:
        return f"{shown(value)} is in /{parts[0]}, which {SYSTEM_TREES[parts[0]]}: use a directory such as /srv/exports"
    if len(parts) == 1 and parts[0] in ("srv", "var", "opt", "mnt", "media"):
        return f"{shown(value)} holds more than one app's files: name a directory in it"
    return ""


def command(value: str) -> str:
    """A shell command."""
    return "" if value.strip() and "\x00" not in value else "is empty"


# Outside of quotes, and for `$` and backquotes inside double ones, what only a shell understands.
_SHELL = re.compile(r"[|&;<>`*?(]|\$[\w{(]")
_QUOTED = re.compile(r"'[^']*'|\"[^\"$`]*\"")


def words(value: str, cure: str = ", or have one read it: sh -c '...'") -> str:
    """A command that no shell reads, as words."""
    if "\x00" in value or "\n" in value:
        return "has more than one line"
    try:
        found = shlex.split(value)
    except ValueError as error:
        return f"{shown(value)} cannot be split into words ({error}): mend its quotes"
    if not found:
        return "is empty"
    if _SHELL.search(_QUOTED.sub("", value)):
        return f"{shown(value)} is written for a shell, and none reads it: put such characters in single quotes{cure}"
    return ""


def scheduled(value: str) -> str:
    """A management command with its arguments."""
    wrong = words(value, "")
    if wrong:
        return wrong
    first = shlex.split(value)[0]
    if first.endswith("manage.py") or re.match(r"(.*/)?python[\d.]*$", first):
        return f"{shown(value)} is more than a management command: write only what comes after manage.py"
    return "" if re.fullmatch(r"[A-Za-z_]\w*", first) else f"{shown(first)} is no management command"


def process(value: str) -> str:
    """The name of a worker or a schedule; it stands in the names of units."""
    if not re.fullmatch(r"[a-z][a-z0-9-]*", value) or value.endswith("-"):
        return (
            f"{shown(value)} is no valid name: lower case letters, digits and hyphens, a letter first, no hyphen last"
        )
    if value in ("deploy", "look", "manage", "step", "web"):
        return f"{shown(value)} is what another process of every app is called: choose another name"
    return f"{shown(value)} has {len(value)} characters, and at most 32 fit" if len(value) > 32 else ""


def queue(value: str) -> str:
    """One queue; several are several entries of the list."""
    if re.search(r"[\s,]", value):
        entries = ", ".join(part for part in re.split(r"[\s,]+", value) if part)
        return f"{shown(value)} is no name of a queue, which has neither spaces nor commas: write queues: [{entries}]"
    if value.startswith("-"):
        return f"{shown(value)} begins with a hyphen, as an option does"
    return "" if value and value.isprintable() else f"{shown(value)} is no name of a queue"


def argument(value: str) -> str:
    """One more word for a worker's program."""
    if credentials(value) or re.match(r"(-b|--broker|--url|-u)(=|$)", value):
        return "stands in the process list, where no address with a password belongs: the settings name the broker"
    return "" if len(value.splitlines()) == 1 and "\x00" not in value else "is empty, or has more than one line"


def calendar(value: str) -> str:
    """When a schedule is due."""
    wrong = _calendar.problem(value)
    return wrong and f"{shown(value)} is no time that systemd knows: {wrong}"


def identifier(value: str) -> str:
    """A name in PostgreSQL."""
    if len(value.encode()) > 63:
        return f"{shown(value)} has {len(value.encode())} bytes; a name in PostgreSQL has at most 63"
    if not _IDENTIFIER.fullmatch(value):
        return f"{shown(value)} is no name for PostgreSQL here: lower case letters, digits, underscores and hyphens"
    return ""


def database_name(value: str) -> str:
    """A database of an app's own."""
    if value in ("postgres", "template0", "template1"):
        return f"{shown(value)} belongs to PostgreSQL itself"
    return identifier(value)


def alias(value: str) -> str:
    """Django's name for a further database."""
    if value == "default":
        return "is described by `database`"
    return "" if re.fullmatch(r"[a-z][a-z0-9_]*", value) else "is no alias: lower case letters, digits and underscores"


def database_host(value: str) -> str:
    """Where a database server is reached."""
    if credentials(value):
        return "holds a password: give only the host, and the password as database_password in django_app_secrets"
    if value.startswith("/"):
        return f"{shown(value)} is a socket: leave `host` out for the server's own PostgreSQL"
    if re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", value):
        return ""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return f"{shown(value)} is no host name or address (the port has a key of its own)"
    return ""


def requirement(value: str) -> str:
    """A Python package."""
    if credentials(value) or re.search(r"://[^/\s]*@", value):
        return "holds a password or token: a private index is configured by env, from django_app_secrets"
    if not re.fullmatch(r"[A-Za-z0-9][^\x00-\x1f\x7f]*", value):
        return f"{shown(value)} is no requirement such as `psycopg[binary]` or `gevent>=24`"
    return ""


def settings(value: str) -> str:
    """The dotted name of a settings module."""
    if value.endswith(".py") or "/" in value:
        dotted = value.removesuffix(".py").strip("/").replace("/", ".")
        return f"{shown(value)} is a file: give the module's dotted name, {dotted}"
    return matches(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", "a dotted name such as config.settings.production")(value)


def python(value: str) -> str:
    """A version of Python, or an interpreter on the server."""
    if value.startswith("/"):
        return _no_detour(value)
    return matches(r"3\.\d+(\.\d+)?", "a version such as '3.13' or the path of an interpreter")(value)


def entry(value: str) -> str:
    """The callable that an app server loads."""
    if re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", value):
        module, last = value.rsplit(".", 1)
        return f"{shown(value)} has no colon: write {module}:{last}"
    return matches(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", "a callable such as config.wsgi:application")(value)


def url_path(value: str) -> str:
    """A path as nginx matches it; the characters that would end its directive are not let in."""
    if not value.startswith("/"):
        return f"{shown(value)} must start with /"
    if re.search(r"[\s;{}\"'\\$\x00-\x1f\x7f]", value):
        return f"{shown(value)} has a character that no URL path may have unescaped"
    return ""


def location(value: str) -> str:
    """The path of a location."""
    if value.startswith("/.well-known/acme-challenge"):
        return f"{shown(value)} belongs to the certificate's renewal"
    if "?" in value or "#" in value:
        return f"{shown(value)} has a query or fragment; nginx matches the path alone"
    return url_path(value)


def prefix(value: str) -> str:
    """A path with all that is below it, as it is once nothing in it is escaped."""
    wrong = location(value)
    if wrong:
        return wrong
    if not value.strip("/"):
        return f"{shown(value)} is the whole site: name the part of it, such as /admin/"
    if "%" in value:
        return f"{shown(value)} is escaped: write the characters themselves"
    if "//" in value or {".", ".."} & set(value.split("/")):
        return f"{shown(value)} is what no browser asks for: write it without doubled slashes and dots"
    return ""


def network(value: str) -> str:
    """An address, or a network of addresses."""
    try:
        ipaddress.ip_network(value)
    except ValueError:
        pass
    else:
        # A zone belongs to an interface of one machine.
        return f"{shown(value)} has a zone, which means nothing to a server" if "%" in value else ""
    try:
        meant = ipaddress.ip_interface(value).network
    except ValueError:
        return f"{shown(value)} is neither an address nor a network, as 203.0.113.7 and 2001:db8::/64 are"
    return f"{shown(value)} is an address within a network: write {meant} for all of it, or the address alone"


def redirect(value: str) -> str:
    """Where a location sends its visitors."""
    if credentials(value):
        return "holds a password, which every visitor would see"
    if re.fullmatch(r"https?://[^/\s;{}\"'\\$]+(/[^\s;{}\"'\\$]*)?", value):
        return ""
    if value.startswith("/") and not value.startswith("//"):
        return url_path(value)
    return f"{shown(value)} is no target: write a URL with https:// or a path that starts with /"


def environment_name(value: str) -> str:
    """The name of an environment variable."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
        return "is no name for an environment variable (letters, digits and underscores, no digit first)"
    if value in ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "INVOCATION_ID", "JOURNAL_STREAM"):
        return "is set by systemd for the process itself and cannot be changed"
    return ""


# The last word of a name that speaks about a secret, or of one that is no secret although it sounds like it.
_ABOUT_A_SECRET = """
    age algorithm algorithms alias attempts backend backends changelist class cookie count dir directory domain
    enabled endpoint expire expires expiry field file format function generator hasher hashers header host id
    issuer length level lifetime limit location max min mode model module name names parameter path policy port
    prefix required rotation size suffix timeout ttl type uri url urls user username validator validators
    view""".split()
_PUBLIC = re.compile(r"(^|_)(PUBLIC|PUBLISHABLE|SITE_?KEY|SITEKEY|ENABLE|USE|REQUIRE|ALLOW|MIN|MAX)(_|$)", re.I)


def secret_in_clear(variable: str, value: str) -> bool:
    """Whether the variable's value is, in all likelihood, a secret written down in clear.

    Numbers, switches, paths and names that only speak about a secret (``PASSWORD_HASHERS``, ``KEY_FILE``) are none.
    """
    if "PRIVATE KEY-----" in value or credentials(value):
        return True
    if not SECRET_WORD.search(variable) or "${secret." in value:
        return False
    if variable.lower().rpartition("_")[2] in _ABOUT_A_SECRET or _PUBLIC.search(variable):
        return False
    # What is left when the parts of the app's own record are taken out, such as "${name}:".
    literal = re.sub(r"\$\{[^}]*\}|\W", "", value)
    switch = literal.lower() in ("", "true", "false", "yes", "no", "on", "off", "none", "null")
    return not (switch or re.fullmatch(r"\d{1,6}", literal) or re.match(r"\.{0,2}/", value))


_PACKAGE = matches(r"[a-z0-9][a-z0-9+.-]+", "the name of a Debian package")


def _each(keys: Iterable[str], rule: Rule) -> dict[str, Rule]:
    return dict.fromkeys(keys, rule)


RULES: dict[str, Rule] = {
    "name": name,
    **_each(("domains[]", "redirect_domains[]", "static_domain", "media_domain"), domain),
    "source.repo": repo,
    "source.version": version,
    "source.key": secret_name,
    "source.path": lambda value: "" if value.strip() and "\x00" not in value else "is empty",
    "source.include[]": inside,
    "directory": lambda value: "" if value in (".", "./") else inside(value),
    "settings": settings,
    "python": python,
    **_each(("packages.build[]", "packages.runtime[]"), _PACKAGE),
    "dependencies.files[]": inside,
    **_each(("dependencies.groups[]", "dependencies.extras[]"), matches(r"[A-Za-z0-9]([\w.-]*[A-Za-z0-9])?", "a name")),
    "dependencies.packages[]": requirement,
    **_each((f"commands.{point}[]" for point in ("build", "static", "migrated", "first")), command),
    "files.dest": destination,
    "files.template": lambda value: "" if value.strip() and "\x00" not in value else "is empty",
    "files.mode": matches(r"0?[0-7]{2}[0145]", "a mode such as '0640' (in quotes, and not writable by everybody)"),
    "migrations.lock_timeout": between(0, 3600, " seconds"),
    "migrations.statement_timeout": between(0, 86400, " seconds"),
    "shared_paths[]": inside,
    **{
        f"{where}.{key}": rule
        for where in ("database", "databases.<alias>")
        for key, rule in {
            "host": database_host,
            "port": between(1, 65535),
            "name": database_name,
            "user": identifier,
            "extensions[]": identifier,
        }.items()
    },
    "env.<NAME>=": environment_name,
    "databases.<alias>=": alias,
    "secrets.<name>=": secret_name,
    "secrets.<name>.generate": between(16, 4096, " characters"),
    "redis.database": between(1, 1023),
    "body_size": matches(r"\d+[kKmMgG]?", "a size such as 10m (k, m or g; 0 for no limit)"),
    "locations.path": location,
    "locations.rate": matches(r"[1-9]\d{0,5}r/[sm]", "a rate such as 5r/s or 30r/m"),
    "locations.redirect": redirect,
    **_each(("admin.paths[]", "login_paths[]"), prefix),
    "admin.allow[]": network,
    "server.entry": entry,
    "server.workers": between(1, 512),
    "server.threads": between(1, 512),
    "server.timeout": between(1, 86400, " seconds"),
    "workers.name": process,
    "workers.app": matches(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(:[A-Za-z_]\w*)?", "a module such as config.celery"),
    "workers.command": words,
    "workers.count": between(1, 64),
    "workers.queues[]": queue,
    "workers.concurrency": between(1, 512),
    "workers.arguments[]": argument,
    "workers.stop_timeout": between(1, 86400, " seconds"),
    "schedules.name": process,
    "schedules.command": scheduled,
    "schedules.calendar": calendar,
    "schedules.random_delay": between(0, 86400, " seconds"),
    "schedules.timeout": between(1, 604800, " seconds"),
    **{
        f"{where}.{key}": rule
        for where in ("server", "workers", "schedules")
        for key, rule in {
            **_each(("memory_high", "memory_max"), matches(r"[1-9]\d*[KMGT]|[1-9]\d?%", "a size such as 300M or 1G")),
            "cpu_weight": between(1, 10000),
            "tasks_max": between(4, 65536),
        }.items()
    },
    "sandbox.writable_paths[]": writable,
    "health.path": url_path,
    "health.status[]": between(100, 599),
    "check.ignore[]": matches(r"\w+(\.\w+)+", "the id of a check such as security.W004"),
}
