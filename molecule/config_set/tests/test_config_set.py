"""config_set as its users call it, on a real server with a real nginx; each test leaves the site serving a word."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

SCENARIO = Path(__file__).resolve().parents[1]
SITE = "/etc/nginx/sites-enabled/site.conf"
PENDING = "/var/lib/groundcrew/pending"
# The change itself takes longer than anybody has to confirm it.
SLOW = """
- hosts: all
  gather_facts: false
  become: true
  tasks:
    - name: Make a change that may lock out
      groundcrew.django.config_set:
        name: slow
        files: [{content: "slow", dest: /srv/site/slow}]
        commands: [{argv: [sleep, "25"]}]
        reconnect: {within: 20}
"""


def play(
    host: Any, *options: str, playbook: Path = SCENARIO / "converge.yml", **variables: Any
) -> subprocess.CompletedProcess[str]:
    variables["install"] = False
    return subprocess.run(
        [
            "ansible-playbook",
            f"--inventory={os.environ['MOLECULE_INVENTORY_FILE']}",
            f"--limit={host.backend.get_hostname()}",
            f"--extra-vars={json.dumps(variables)}",
            *options,
            playbook,
        ],
        check=False,
        capture_output=True,
        text=True,
    )


def succeed(host: Any, *options: str, **variables: Any) -> dict[str, Any]:
    """The module's result."""
    done = play(host, *options, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r'^ok: \[.*\] => (\{\n    "result": .*?^\})', done.stdout, re.DOTALL | re.MULTILINE)
    assert found, done.stdout
    return json.loads(found[1])["result"]


def fail(host: Any, *options: str, **variables: Any) -> str:
    """Everything that Ansible said."""
    done = play(host, *options, **variables)
    assert done.returncode == 2, done.stdout + done.stderr
    return done.stdout + done.stderr


def page(host: Any, port: int = 8080) -> str:
    get = f"import urllib.request as u; print(u.urlopen('http://127.0.0.1:{port}/', timeout=5).read().decode().strip())"
    return host.check_output("python3 -c %s", get)


def nginx(host: Any) -> str:
    """The processes of nginx, with their start times."""
    return host.check_output("ps -C nginx -o pid=,lstart=,args=")


@pytest.fixture(autouse=True)
def word(host: Any) -> Iterator[str]:
    """Every test begins with a site that serves `one`, and must leave no journal."""
    succeed(host)
    yield "one"
    assert host.check_output(f"ls {PENDING}") == ""


def test_everything_is_in_place(host: Any):
    assert page(host) == "one"
    assert host.check_output("ls /etc/nginx/sites-enabled") == "site.conf"
    assert host.file("/srv/site/pages/link").linked_to == "/srv/site/pages/page"
    password = host.file("/etc/site/password")
    assert (password.user, password.mode, password.content_string) == (
        "root",
        0o600,
        'PASSWORD="first secret of ours"\n',
    )
    literal = host.file("/etc/site/literal")
    assert (literal.group, literal.mode) == ("www-data", 0o640)
    directory = host.file("/etc/site")
    assert (directory.group, directory.mode) == ("www-data", 0o750)
    assert host.service("nginx").is_running
    assert host.service("nginx").is_enabled
    assert host.service("site-helper").is_enabled
    assert host.file("/run/site-helper").content_string == "one\n"


def test_an_invalid_configuration_never_stands(host: Any):
    before = nginx(host), host.check_output(f"stat -c '%i %z' {SITE}")
    said = fail(host, word="two", directive="nonsense on;")
    assert "the new configuration is invalid; nothing was touched" in said
    assert 'unknown directive "nonsense" in /etc/nginx/sites-enabled/site.conf' in said
    assert (nginx(host), host.check_output(f"stat -c '%i %z' {SITE}")) == before
    assert page(host) == "one"


def test_the_validator_sees_what_nobody_else_sees_yet(host: Any):
    host.check_output("echo one > /srv/site/pages/page")
    said = fail(host, word="two", deadly="exit 1")
    assert "(exit status 1):\none\ntwo\n" in said.replace("\\n", "\n")
    assert host.file("/srv/site/pages/page").content_string == "one\n"


def test_a_reload_that_kept_the_old_configuration_is_noticed_and_taken_back(host: Any):
    host.check_output("systemd-run --quiet --unit=busy python3 -m http.server --bind 0.0.0.0 9090")
    try:
        host.check_output("timeout 10 sh -c 'until grep -q :2382 /proc/net/tcp; do sleep 0.1; done'")
        before = host.check_output(f"cat {SITE} /srv/site/pages/page")
        said = fail(host, word="two", site_port=9090)
    finally:
        host.check_output("systemctl stop busy")
    assert "reload of nginx.service is not live after 5 s" in said
    assert "bind() to 0.0.0.0:9090 failed (98: Address already in use)" in said
    assert "The old files are back, and the units as they were" in said
    assert host.check_output(f"cat {SITE} /srv/site/pages/page") == before
    assert page(host) == "one"
    # The old state is the running one, not only the one on disk: another reload changes nothing visible.
    assert host.check_output("systemctl is-active nginx") == "active"
    assert succeed(host)["changed"] is False


def test_a_change_that_takes_longer_than_anybody_has_to_confirm_it_stays(host: Any, tmp_path: Path):
    playbook = tmp_path / "slow.yml"
    playbook.write_text(SLOW)
    done = play(host, playbook=playbook)
    assert done.returncode == 0, done.stdout + done.stderr
    assert host.file("/srv/site/slow").content_string == "slow"
    # Who was about to take it back has been stopped, and has not failed.
    assert host.check_output("systemctl list-units --all --plain --no-legend 'groundcrew-revert-*'") == ""
    host.check_output("rm /srv/site/slow")


@pytest.mark.parametrize(
    ("moment", "found", "stands"),
    [("validate", None, "one"), ("command", "written", "two"), ("confirm", "written", "two")],
)
def test_a_module_that_was_killed(host: Any, moment: str, found: str | None, stands: str):
    host.check_output(f"touch /run/kill-{moment}")
    said = fail(host, word="two")
    assert "The old files are back" not in said
    assert host.file("/srv/site/pages/page").content_string == f"{stands}\n"
    assert host.file(PENDING + "/site").exists is (found is not None)

    predicted = succeed(host, "--check", word="two")
    recovered = succeed(host, word="two")
    if found:
        assert (predicted["recovered"]["found"], predicted["recovered"]["outcome"]) == (found, "would_be_completed")
        assert (recovered["recovered"]["found"], recovered["recovered"]["outcome"]) == (found, "completed")
        assert "/srv/site/pages/page" in recovered["recovered"]["files"]
        assert predicted["changed"] is recovered["changed"] is True
    else:
        assert predicted["recovered"] is recovered["recovered"] is None
    assert page(host) == "two"
    assert host.file("/srv/derived").content_string == "two\n"
    assert host.file("/run/site-helper").content_string == "two\n"
    assert succeed(host, word="two")["changed"] is False


def test_a_call_killed_at_each_of_its_effects(host: Any, tmp_path: Path):
    [ours] = [
        found
        for path in os.environ["ANSIBLE_COLLECTIONS_PATH"].split(":")
        if (found := Path(path) / "ansible_collections" / "groundcrew" / "django" / "plugins" / "module_utils").is_dir()
    ]
    archive = tmp_path / "kill.tar"
    with tarfile.open(archive, "w", dereference=True) as tar:
        for source in ours.glob("*.py"):
            tar.add(source, f"ansible_collections/groundcrew/django/plugins/module_utils/{source.name}")
        tar.add(Path(__file__).with_name("kill_matrix.py"), "kill_matrix.py")
    name = host.backend.get_hostname()
    copied = subprocess.run(
        ["ansible", name, f"--inventory={os.environ['MOLECULE_INVENTORY_FILE']}", "--module-name=ansible.builtin.unarchive",
         f"--args=src={archive} dest=/run"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert copied.returncode == 0, copied.stdout
    host.check_output("echo '# a page of its own' > /etc/nginx/sites-enabled/keep.conf")
    kills = [json.loads(line) for line in host.check_output("PYTHONPATH=/run python3 /run/kill_matrix.py").splitlines()]

    assert len(kills) > 20
    for kill in kills:
        assert kill["answers"], kill
        assert kill["stands"] in ("old", "new"), kill
        assert kill["live"], kill
        assert kill["predicted"] == (f"would_be_{kill['outcome']}" if kill["outcome"] else ""), kill
        assert kill["next"] is (kill["stands"] == "old"), kill
        assert (kill["completed"], kill["again"], kill["litter"]) == (True, False, False), kill
    stages = list(dict.fromkeys((kill["found"], kill["outcome"], kill["stands"]) for kill in kills))
    assert stages == [
        ("", "", "old"),  # before the journal
        ("writing", "rolled_back", "old"),
        ("written", "completed", "new"),
        ("", "", "new"),  # after it
    ]
    host.check_output(
        "rm -f /etc/nginx/sites-enabled/matrix.conf /etc/nginx/sites-enabled/keep.conf; systemctl reload nginx"
    )


def test_a_full_disk_leaves_the_old_files(host: Any):
    host.check_output("mount -t tmpfs -o size=16k,mode=755 none /srv/site/pages")
    try:
        host.check_output("echo one > /srv/site/pages/page; ln -s page /srv/site/pages/link")
        ballast = [{"content": "x" * 30_000, "dest": "/srv/site/pages/ballast"}]
        said = fail(host, word="two", extra_site=True, extra_files=ballast)
        assert "/srv/site/pages/ballast: No space left on device" in said
        assert "The old files are back" in said
        assert host.check_output("ls -A /srv/site/pages; cat /srv/site/pages/page") == "link\npage\none"
    finally:
        host.check_output("umount /srv/site/pages")
    assert page(host) == "one"


def test_drift_is_repaired_and_reported(host: Any):
    host.check_output("systemctl disable --now nginx site-helper; chmod 666 /etc/site/password; chown 65534 /etc/site")
    host.check_output("ln -sf elsewhere /srv/site/pages/link")
    predicted, result = succeed(host, "--check"), succeed(host)
    assert result["changed"]
    assert {file["path"]: file["state"] for file in result["files"]} == {
        "/etc/site": "changed",
        "/etc/site/password": "changed",
        "/srv/site/pages/link": "changed",
    }
    assert [(unit["name"], unit["action"]) for unit in result["units"]] == [
        ("nginx.service", "enable"),
        ("nginx.service", "start"),
        ("site-helper.service", "enable"),
        ("site-helper.service", "start"),
    ]
    assert (predicted["files"], predicted["units"]) == (result["files"], result["units"])
    test_everything_is_in_place(host)


def test_what_the_set_no_longer_wants_goes(host: Any):
    before = succeed(host, extra_site=True)
    assert before["files"] == [{"path": "/etc/nginx/sites-enabled/extra.conf", "state": "created"}]
    host.check_output("touch /etc/nginx/sites-enabled/foreign /srv/site/unwanted")
    result = succeed(host)
    assert sorted(file["path"] for file in result["files"]) == [
        "/etc/nginx/sites-enabled/extra.conf",
        "/etc/nginx/sites-enabled/foreign",
        "/srv/site/unwanted",
    ]
    assert host.check_output("ls /etc/nginx/sites-enabled") == "site.conf"


def test_a_changed_unit_file_is_read_and_its_service_restarted(host: Any):
    host.check_output("sed -i s/with/by/ /etc/systemd/system/site-helper.service; systemctl daemon-reload")
    started = host.check_output("systemctl show -P ActiveEnterTimestampMonotonic site-helper")
    result = succeed(host)
    assert result["units"] == [{"name": "site-helper.service", "action": "restart"}]
    assert host.check_output("systemctl show -P NeedDaemonReload site-helper") == "no"
    assert host.check_output("systemctl show -P Description site-helper") == "Remembers with which page it was started"
    assert host.check_output("systemctl show -P ActiveEnterTimestampMonotonic site-helper") != started


def test_secrets_reach_nothing_but_their_files(host: Any, monkeypatch: pytest.MonkeyPatch):
    secret = "kei7Oogh-phoo9Ahz"
    said = []
    # The first change, with a file on the server in place of pipelining; then one that fails; then one that succeeds.
    calls: list[tuple[int, list[str], dict[str, Any]]] = [
        (0, ["--check"], {}),
        (0, [], {"ansible_pipelining": False}),
        (2, [], {"directive": "nonsense on;"}),
        (2, [], {"deadly": "cat /etc/site/password >&2; exit 1"}),
        (0, [], {}),
        (0, [], {}),
    ]
    for number, (status, options, variables) in enumerate(calls):
        monkeypatch.setenv("SITE_PASSWORD", f"{secret}-{number // 2}")
        done = play(host, "-vvvv", "--diff", *options, **variables)
        assert done.returncode == status, done.stdout + done.stderr
        said.append(done.stdout + done.stderr)
    assert "(secret content changed)" in said[0]
    assert "********" in said[3]
    assert [text.count(secret) for text in said] == [0] * len(said)
    assert host.check_output(f"journalctl --no-pager | grep -c {secret} || true") == "0"
    places = host.check_output(
        f"grep -rlF --exclude-dir=journal {secret} /etc /var /root /tmp /run /srv 2>/dev/null || true"
    )
    assert sorted(places.split()) == ["/etc/site/literal", "/etc/site/password"]
    monkeypatch.delenv("SITE_PASSWORD")
    succeed(host)


def test_a_diff_shows_the_change(host: Any):
    said = play(host, "--check", "--diff", word="two").stdout
    assert f"--- before: {SITE}\n+++ after: {SITE}\n" in said
    assert '-        return 200 "one\\n";\n+        return 200 "two\\n";\n' in said


def test_an_owner_that_does_not_exist(host: Any):
    assert succeed(host, "--check", owner="ghost")["changed"]
    said = fail(host, owner="ghost")
    assert "nothing was touched: the group ghost of /etc/site does not exist on the server" in said


def test_a_server_without_systemd_is_told(host: Any):
    wrapper = (
        '#!/bin/sh\nexec unshare --mount sh -c \'mount -t tmpfs none /run/systemd && exec python3 "$@"\' sh "$@"\n'
    )
    host.check_output("printf %s > /root/python; chmod +x /root/python", wrapper)
    try:
        said = fail(host, word="two", ansible_python_interpreter="/root/python")
    finally:
        host.check_output("rm /root/python")
    assert "nothing was touched: systemd does not run on this server" in said


def test_two_calls_at_once_follow_each_other(host: Any):
    with ThreadPoolExecutor() as pool:
        calls = [pool.submit(succeed, host, word="two", deadly="sleep 1") for _ in range(2)]
    assert sorted(call.result()["changed"] for call in calls) == [False, True]
    assert page(host) == "two"
