# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half, in a real playbook on the installed ansible-core: what it renders, and what it refuses.

The module is not run: an action plugin beside the playbook takes its place and says what would have been sent.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
from worktree import collections

PROBE = """
import json
import os.path

from ansible_collections.groundcrew.django.plugins.action import config_set
from ansible_collections.groundcrew.django.plugins.module_utils._config_set import unpack_contents


class ActionModule(config_set.ActionModule):
    def run(self, tmp=None, task_vars=None):
        try:
            result = super().run(tmp, task_vars)
        except Exception as error:
            result = {"failed": True, "msg": str(error)}
            raise
        finally:
            with open(os.path.join(task_vars["playbook_dir"], "results"), "a") as file:
                file.write(json.dumps(result) + "\\n")
        return result

    def _execute_module(self, module_name, module_args, task_vars):
        contents = unpack_contents(module_args.pop("_contents"))
        return {"sent": module_args, "contents": {path: data.decode() for path, data in contents.items()}}
"""

TEMPLATES = {
    "plain.j2": "no variables\n",
    "no_newline.j2": "{{ word }}",
    "newline.j2": "{{ word }}\n",
    "newlines.j2": "{{ word }}\n\n\n",
    "empty.j2": "",
    "managed.j2": "{{ ansible_managed | comment }}\n{{ word }}\n",
    "about.j2": "{{ template_path | basename }} {{ template_uid }} {{ template_fullpath | basename }} {{ template_destpath }}\n",
    "blocks.j2": "{% for n in [1, 2] %}\n  {% if n %}\n  n {{ n }}\n  {% endif %}\n{% endfor %}\nend\n",
    "header.j2": "#jinja2: trim_blocks: False, lstrip_blocks: True\n{% for n in [1, 2] %}\n  {% if n %}\nn {{ n }}\n  {% endif %}\n"
    "{% endfor %}\nend\n",
    "delimiters.j2": "#jinja2: variable_start_string: '[[', variable_end_string: ']]'\n[[ word ]] {{ word }}\n",
    "include.j2": "{% include 'part.j2' %}{% import 'macros.j2' as m %}{{ m.twice(word) }}\n",
    "part.j2": "a part with {{ word }}\n",
    "macros.j2": "{% macro twice(x) %}{{ x }}{{ x }}{% endmacro %}",
    "unicode.j2": "{{ umlauts }} ÄÖÜ 漢字 \U0001f600\n",
    "windows.j2": "one\r\n{{ word }}\r\n",
    "quotes.j2": "{{ odd }} \\n \\\\ '\"\n",
    "native.j2": "{{ listed }}",
    "nothing.j2": "{{ nothing }}",
    "number.j2": "{{ 42 }}",
    "json.j2": "{{ {'a': [1, true, none]} | to_nice_json }}\n",
    "lookup.j2": "{{ lookup('ansible.builtin.env', 'HOME') }} {{ query('ansible.builtin.sequence', 'end=2') }}\n",
    "role.j2": "{{ role_only }} {{ of_the_entry | default('-') }}\n",
    "raw.j2": "{% raw %}{{ left alone }}{% endraw %}\n",
}

FAILING = {
    "undefined.j2": "{{ missing_variable }}\n",
    "syntax.j2": "{% if %}\n",
    "talks.j2": "{{ 'hunter2' | from_json }}\n",
}

VARIABLES = {
    "word": "wörd",
    "umlauts": "äöü",
    "odd": "a\\nb '\"{ % }",
    "listed": [1, "two", None],
    "nothing": None,
    "role_only": "of the play",
}


def run(place: Path, tasks: list[dict[str, t.Any]]) -> tuple[list[dict[str, t.Any]], str]:
    """Runs tasks in a role of a playbook with the probe in place; what the probe saw, and everything that was printed."""
    role = place / "roles" / "r"
    for directory in ("tasks", "templates", "files"):
        (role / directory).mkdir(parents=True)
    (place / "action_plugins").mkdir()
    (place / "action_plugins" / "probe.py").write_text(PROBE)
    for name, text in {**TEMPLATES, **FAILING}.items():
        (role / "templates" / name).write_bytes(text.encode())
    (role / "files" / "verbatim").write_text("{{ word }}\n")
    (role / "tasks" / "main.yml").write_text(json.dumps([{**task, "ignore_errors": True} for task in tasks]))
    play = {"hosts": "localhost", "gather_facts": False, "vars": {**VARIABLES, "secret": "hunter2"}, "roles": ["r"]}
    (place / "play.yml").write_text(json.dumps([play]))
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(collections()),
        "ANSIBLE_LOCAL_TEMP": str(place / "tmp"),
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "0",
    }
    done = subprocess.run(
        [
            Path(sys.executable).with_name("ansible-playbook"),
            "-vvv",
            "--diff",
            "-i",
            "localhost,",
            "-c",
            "local",
            "play.yml",
        ],
        cwd=place,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in (place / "results").read_text().splitlines()], done.stdout + done.stderr


def test_templates_are_what_ansible_builtin_template_writes(tmp_path: Path):
    rendered = [name for name in TEMPLATES if name not in ("part.j2", "macros.j2")]
    (tmp_path / "out").mkdir()
    # `template_destpath` differs unless both name the same destination.
    theirs = [
        {"ansible.builtin.template": {"src": name, "dest": f"{tmp_path}/out/{name}", "mode": "0600"}}
        for name in rendered
    ]
    files = [{"src": name, "dest": f"{tmp_path}/out/{name}"} for name in rendered]
    results, _ = run(tmp_path, [{"probe": {"name": "x", "files": files}}, *theirs])
    ours = {Path(path).name: text.encode() for path, text in results[0]["contents"].items()}
    assert ours == {name: (tmp_path / "out" / name).read_bytes() for name in rendered}
    assert ours["header.j2"] != b""
    assert ours["windows.j2"].count(b"\n") == 2


def test_what_is_sent_to_the_server(tmp_path: Path):
    files = [
        {"src": "role.j2", "dest": "/etc/a", "vars": {"of_the_entry": "{{ word }}!"}},
        {"src": "role.j2", "dest": "/etc/b", "vars": {"role_only": "of the entry"}},
        {"content": "{{ secret }}", "dest": "/etc/c", "secret": True},
        {"copy": "verbatim", "dest": "/etc/d", "owner": "app"},
        {"link": "a", "dest": "/etc/e"},
    ]
    units = [{"name": "x.service", "enabled": "{{ omit }}"}]
    ((result,), said) = run(tmp_path, [{"probe": {"name": "x", "files": files, "units": units}, "no_log": True}])
    assert result["contents"] == {
        "/etc/a": "of the play wörd!\n",
        "/etc/b": "of the entry -\n",
        "/etc/c": "hunter2",
        "/etc/d": "{{ word }}\n",
    }
    assert "hunter2" not in str(result["sent"])
    assert [(file["dest"], file["owner"], file["secret"]) for file in result["sent"]["files"]] == [
        ("/etc/a", "root", False),
        ("/etc/b", "root", False),
        ("/etc/c", "root", True),
        ("/etc/d", "app", False),
        ("/etc/e", "root", False),
    ]
    assert result["sent"]["units"][0]["enabled"] is None
    assert "hunter2" not in said


def test_what_is_refused_before_the_server_is_touched(tmp_path: Path):
    table: list[tuple[dict[str, t.Any], str]] = [
        ({"files": [{"src": "missing.j2", "dest": "/x"}]}, "files[0] (missing.j2 for /x): "),
        ({"files": [{"copy": "missing", "dest": "/x"}]}, "files[0] (missing for /x): "),
        ({"files": [{"src": "undefined.j2", "dest": "/x"}]}, "files[0] (undefined.j2 for /x): "),
        ({"files": [{"src": "undefined.j2", "dest": "/x"}]}, "'missing_variable' is undefined"),
        ({"files": [{"src": "undefined.j2", "dest": "/x", "secret": True}]}, "'missing_variable' is undefined"),
        ({"files": [{"src": "syntax.j2", "dest": "/x"}]}, "files[0] (syntax.j2 for /x): "),
        (
            {"files": [{"src": "talks.j2", "dest": "/x", "secret": True}]},
            "its words are withheld because the file is secret",
        ),
        ({"files": [{"dest": "/x", "content": "", "mode": 420}]}, "mode must be a quoted string"),
        ({"files": [{"dest": "/x", "content": ["hunter2"], "secret": True}]}, "content must be text, not a list"),
        ({"files": [{"dest": "/x", "content": "", "contents": "hunter2"}]}, "files.contents"),
        ({"file": []}, "Unsupported parameters"),
        ({"files": [{"content": "hunter2", "secret": True}]}, "missing required arguments: dest found in files"),
        ({"files": [{"dest": "x", "content": "hunter2"}]}, "must be an absolute path"),
        (
            {"units": [{"name": "x.service", "state": "running"}]},
            "value of state must be one of: started, stopped, none",
        ),
        ({"name": "X"}, "must match [a-z][a-z0-9_-]*"),
    ]
    results, said = run(tmp_path, [{"probe": {"name": "x", **args}} for args, _ in table])
    for (args, message), result in zip(table, results, strict=True):
        assert result["failed"], args
        assert message in result["msg"], args
        assert "contents" not in result
    assert "hunter2" not in said


@pytest.mark.parametrize("async_seconds", [5])
def test_it_cannot_be_left_alone_in_the_background(tmp_path: Path, async_seconds: int):
    ((result,), _) = run(tmp_path, [{"probe": {"name": "x"}, "async": async_seconds, "poll": 1}])
    assert "does not support async" in result["msg"]
