"""Everything of the collection can be looked up, in the words of the core that runs these tests."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from worktree import DOCUMENTED, collections, documented


@pytest.mark.parametrize("kind", DOCUMENTED)
def test_ansible_doc_shows_all_of_a_kind(kind: str) -> None:
    result = subprocess.run(
        [Path(sys.executable).parent / "ansible-doc", "--type", kind, *documented(kind)],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(collections()), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    # It says nothing about a role that it cannot find, and leaves without an error.
    assert sorted(re.findall(r"^> \w+:? \*?([\w.]+)", result.stdout, re.MULTILINE)) == documented(kind)
