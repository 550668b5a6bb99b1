"""What the newest Ansible shows of the collection on the user's machine."""

from __future__ import annotations

import re
from typing import Any

import pytest
from worktree import DOCUMENTED, documented

testinfra_hosts = ["newest-core-controller"]
BIN = "/root/ansible/bin"


def test_it_is_newer_than_what_the_other_tests_run_on(host: Any) -> None:
    found = re.search(r"core (\d+)\.(\d+)", host.check_output(f"{BIN}/ansible --version"))
    assert found
    assert (int(found[1]), int(found[2])) > (2, 19)


@pytest.mark.parametrize("kind", DOCUMENTED)
def test_ansible_doc_shows_all_of_a_kind(host: Any, kind: str) -> None:
    names = documented(kind)
    result = host.run(f"ANSIBLE_NOCOLOR=1 {BIN}/ansible-doc --type {kind} {' '.join(names)}")
    assert result.rc == 0
    assert "groundcrew" not in result.stderr  # the core warns of a collection of its own
    assert sorted(re.findall(r"^> \w+:? \*?([\w.]+)", result.stdout, re.MULTILINE)) == names
