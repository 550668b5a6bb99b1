"""What an operator does beside deploying: looks into the logs, and runs a command with a secret."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from again import command, play
from visitor import Visitor

PASSWORD = 'once-only "pass" wörd $x'
# A module that Ansible has sent through its connection has no file, and no arguments.
MODULES = "pgrep --count --full --exact '/usr/bin/python3[.0-9]* ?'"


def site(host: Any, app: str = "guestbook") -> str:
    return f"https://{app}.{host.backend.get_hostname()}.test"


def logs(host: Any, *options: str, app: str = "guestbook", **wish: Any) -> list[list[str]]:
    """The lines as they are shown, in their columns: time, process, release and text."""
    said = play(host, "groundcrew.django.logs", *options, app=app, **wish)
    return [line.split(maxsplit=3) for line in said.splitlines() if re.match(r"20\d\d-\d\d-\d\dT[\d:.]+Z ", line)]


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.3)


def test_a_visitors_request_is_found_in_both_logs_by_its_id(host: Any, visitor: Visitor) -> None:
    assert visitor.get(f"{site(host)}/lost-and-found", headers={"X-Request-ID": "forged"}).status == 404
    line = host.check_output("grep -F /lost-and-found /var/log/nginx/access.log").splitlines()[-1]
    request = line.split()[-1]
    assert re.fullmatch(r"[0-9a-f]{32}", request)
    release = host.check_output("basename $(readlink /srv/guestbook/current)")
    ((_time, process, shown, text),) = logs(host, grep=request)
    assert (process, shown) == ("web", release)
    assert "/lost-and-found" in text
    assert logs(host, app="live-guestbook", grep=request) == []


def test_an_apps_processes_are_shown_and_no_others(host: Any) -> None:
    shown = logs(host, lines=2000)
    assert {line[1] for line in shown} == {"deploy", "web"}
    assert [line[0] for line in shown] == sorted(line[0] for line in shown)
    assert not [line for line in shown if "live-guestbook" in line[-1]]
    assert {line[1] for line in logs(host, process="deploy", lines=3)} == {"deploy"}
    assert len(logs(host, lines=3)) == 3


def test_words_that_the_shell_has_bared_are_all_taken(host: Any, visitor: Visitor) -> None:
    visitor.get(f"{site(host)}/two-words")
    options = ["--extra-vars=since=2 minutes ago", "--extra-vars=grep=not found: /two-words"]
    assert len(logs(host, *options)) == 1
    assert logs(host, "--extra-vars=since=2 minutes ago", grep="uncalled-for") == []


def test_what_cannot_be_shown_is_told(host: Any) -> None:
    said = play(host, "groundcrew.django.logs", check=False, app="guestbook", process="celery")
    assert "guestbook has no process 'celery'" in said
    assert "name one of: deploy, web, " in said
    said = play(host, "groundcrew.django.logs", check=False, app="guestbook", since="some day")
    assert "journalctl refuses: Failed to parse timestamp: some day" in said
    said = play(host, "groundcrew.django.logs", check=False, app="guestbook", grep="(")
    assert "mend the regular expression in grep" in said


def test_logs_are_followed_until_the_operator_is_gone(host: Any, visitor: Visitor, tmp_path: Path) -> None:
    """Killed by force, which leaves a run no time to say goodbye."""
    screen = tmp_path / "screen"
    with screen.open("w") as output:
        wanted = command(host, "groundcrew.django.logs", app="guestbook", lines=0, follow=True)
        follower = subprocess.Popen(**wanted, stdout=output, stderr=subprocess.STDOUT)
        try:
            until(lambda: host.run(MODULES).stdout.strip() != "0")
            time.sleep(3)
            visitor.get(f"{site(host)}/followed-1")
            until(lambda: "/followed-1" in screen.read_text())
            visitor.get(f"{site(host)}/followed-2")
            until(lambda: "/followed-2" in screen.read_text())
        finally:
            follower.kill()
            follower.wait()
    assert screen.read_text().count("/followed-1 ") == 1
    until(lambda: host.run(MODULES).stdout.strip() == "0")


def test_a_command_gets_a_secret_that_nobody_else_sees(host: Any, visitor: Visitor, tmp_path: Path) -> None:
    secrets = tmp_path / "vault.yml"
    secrets.write_text(f"manage_secrets: {{DJANGO_SUPERUSER_PASSWORD: '{PASSWORD}'}}\n")
    watch = "while :; do cat /proc/[0-9]*/cmdline | tr '\\0' ' '; sleep 0.02; done >/root/cmdlines 2>/dev/null"
    host.check_output("systemd-run --collect --unit=watch-cmdlines sh -c %s", watch)
    try:
        said = play(
            host,
            "groundcrew.django.manage",
            "-vvv",
            "--diff",
            "--extra-vars=command=createsuperuser --noinput --username=alice --email=alice@example.com",
            f"--extra-vars=@{secrets}",
            app="guestbook",
        )
    finally:
        host.check_output("systemctl stop watch-cmdlines")
    assert "\nSuperuser created successfully.\n" in said
    form = visitor.get(f"{site(host)}/admin/login/")
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form.text)
    assert token
    cookie = "; ".join(value.split(";")[0] for value in form.headers.get_all("Set-Cookie") or [])
    answer = visitor.ask(
        "POST",
        f"{site(host)}/admin/login/?next=/admin/",
        body=f"csrfmiddlewaretoken={token[1]}&username=alice&password=once-only+%22pass%22+w%C3%B6rd+%24x",
        headers={
            "Content-Type": "application/x-www-form-urlencoded",
            "Cookie": cookie,
            "Origin": site(host),
            "Referer": f"{site(host)}/admin/login/",
        },
    )
    assert (answer.status, answer.headers["Location"]) == (302, "/admin/"), answer.text
    # Its first word tells it, however the rest was written.
    word = PASSWORD.split()[0]
    assert word not in said
    cmdlines = host.check_output("cat /root/cmdlines; rm /root/cmdlines")
    assert "createsuperuser" in cmdlines
    for text in (cmdlines, host.check_output("journalctl --no-pager --output=json")):
        assert word not in text
    assert host.run(f"grep -rla -s {word[:-1]}[{word[-1]}] /run /tmp /var /root /etc").stdout == ""


def test_what_a_command_prints_is_shown_as_it_is_and_its_secrets_are_masked(host: Any, tmp_path: Path) -> None:
    secrets = tmp_path / "vault.yml"
    secrets.write_text("manage_secrets: {TOKEN: only-for-this-command}\n")
    code = "import os, sys; print(6 * 7, os.environ[chr(84) + 'OKEN'], repr(sys.stdin.read())); sys.exit(3)"
    said = play(
        host,
        "groundcrew.django.manage",
        f'--extra-vars=command=shell -v 0 -c "{code}"',
        f"--extra-vars=@{secrets}",
        check=False,
        app="guestbook",
    )
    assert re.search(r"^42 \*+ ''$", said, re.MULTILINE)
    assert "of guestbook ended with status 3." in said
    assert '"rc": 3' in said
    assert "only-for-this-command" not in said


def test_a_command_ends_in_its_time_and_with_its_operator(host: Any) -> None:
    units = "systemctl list-units --no-legend 'guestbook-manage@*' | wc -l"
    sleeping = "shell -c 'import time; time.sleep(300)'"
    said = play(host, "groundcrew.django.manage", check=False, app="guestbook", command=sleeping, command_timeout=4)
    assert "of guestbook was ended after 4 s." in said
    wanted = command(host, "groundcrew.django.manage", app="guestbook", command=sleeping)
    operator = subprocess.Popen(**wanted, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: host.check_output(units) == "1")
    finally:
        operator.kill()
        operator.wait()
    until(lambda: host.check_output(units) == "0")


def test_a_wrong_command_is_told_before_the_server_is_asked(host: Any) -> None:
    for wrong, message in {
        "": "The command is empty.",
        "shell -c 'x": "The command cannot be split into words",
        "python manage.py check": "give only what comes behind it",
    }.items():
        said = play(
            host, "groundcrew.django.manage", check=False, app="guestbook", command=wrong, ansible_host="192.0.2.1"
        )
        assert message in said
        assert "unreachable=0" in said
