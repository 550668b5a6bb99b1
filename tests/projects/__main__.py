"""Write every fixture project: python3 -m tests.projects DIRECTORY

Beside the projects themselves come `repositories.tar`, bare git repositories of those that are deployed from git, and
`deploy_key`, a key for them.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from tests.projects.shapes import SHAPES
from tests.projects.tools import git


def main(destination: Path) -> None:
    # Tools in a directory of their own stay, because making them takes longer than everything else.
    for path in destination.glob("[!.]*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name, write in SHAPES.items():
        (destination / name).mkdir(parents=True)
        write(destination / name)
    with tarfile.open(destination / "repositories.tar", "w") as tar:
        for path in sorted(destination.glob("*/.git")):
            bare = destination / f"{path.parent.name}.git"
            git(destination, "clone", "--quiet", "--bare", "--no-hardlinks", str(path.parent), str(bare))
            tar.add(bare, bare.name)
            shutil.rmtree(bare)
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "deploy", "-f", destination / "deploy_key"], check=True
    )


main(Path(sys.argv[1]).resolve())
