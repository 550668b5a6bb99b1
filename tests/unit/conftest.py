"""Makes the work tree importable as ansible_collections.groundcrew.django, and its plugins known to Ansible."""

from __future__ import annotations

import sys
from pathlib import Path

from ansible.plugins.loader import init_plugin_loader

ROOT = Path(__file__).resolve().parents[2]

sys.path.insert(0, str(ROOT / "tools"))
from worktree import collections

init_plugin_loader([str(collections())])
