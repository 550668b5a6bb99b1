"""The work tree as Ansible wants to find a collection: <folder>/ansible_collections/groundcrew/django."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Kind, as ansible-doc calls it -> what of that kind has documentation to show.
DOCUMENTED = {
    "module": "plugins/modules/[!_]*.py",
    "filter": "plugins/filter/*.yml",
    "lookup": "plugins/lookup/[!_]*.py",
    "test": "plugins/test/*.yml",
    "role": "roles/*",
}


def collections() -> Path:
    """A collections path whose groundcrew.django is the work tree itself."""
    folder = ROOT / ".cache" / "worktree"
    link = folder / "ansible_collections" / "groundcrew" / "django"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(ROOT)
    return folder


def documented(kind: str) -> list[str]:
    """The full names of everything of a kind that ansible-doc has to show."""
    return sorted(f"groundcrew.django.{path.stem}" for path in ROOT.glob(DOCUMENTED[kind]))
