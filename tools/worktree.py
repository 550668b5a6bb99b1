"""The work tree as Ansible wants to find a collection: <folder>/ansible_collections/groundcrew/django."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def collections() -> Path:
    """A collections path whose groundcrew.django is the work tree itself."""
    folder = ROOT / ".cache" / "worktree"
    link = folder / "ansible_collections" / "groundcrew" / "django"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(ROOT)
    return folder
