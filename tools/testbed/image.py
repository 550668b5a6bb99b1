"""Images, built from Debian's packages: no image registry is needed, but one serves where mmdebstrap does not."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path

from testbed import controller
from testbed.engine import docker
from testbed.system import CACHE, TestbedError, locked, need, note, run, write

DISTROS = ("bookworm", "trixie")
RECIPES = Path(__file__).parent / "images"


def server(distro: str) -> str:
    """The image of a bare server."""
    return _build("server", distro)


def installed(distro: str) -> str:
    """The image of a server that has the packages of a site; to install them on each takes minutes of this machine."""
    return _build("installed", distro, server(distro))


def vm(distro: str) -> str:
    """What the disk of a virtual machine holds; an emulated processor takes too long to install packages."""
    return _build("vm", distro, installed(distro))


def pebble() -> str:
    """The image of the ACME test server."""
    return _build("pebble", "bookworm")


def _build(recipe: str, distro: str, base: str = "") -> str:
    """Build an image; the engine's own cache makes this a second's work where nothing changed."""
    tag = f"groundcrew-{recipe}:{distro}"
    with locked("image"), tempfile.TemporaryDirectory(dir=CACHE) as folder:
        context = Path(folder)
        shutil.copytree(RECIPES / recipe, context, dirs_exist_ok=True)
        (context / "controller").mkdir()
        for path, text in controller.files(distro).items():
            write(context / "controller" / path, text, 0o600 if "auth.conf" in path else 0o644)
        base = base or _base(distro)
        if not docker("images", "--quiet", tag):
            note(f"building {tag}")
        docker("build", "--quiet", "--tag", tag, "--build-arg", f"base={base}", str(context))
    return tag


def _base(distro: str) -> str:
    """Debian's essential packages and the certificate authorities."""
    tag = f"groundcrew-base:{distro}"
    arguments = ["--variant=minbase", "--include=ca-certificates", distro]
    sources = controller.apt_sources(distro)
    recipe = hashlib.sha256("\n".join([*arguments, *sources]).encode()).hexdigest()
    label = docker("image", "inspect", "--format", '{{index .Config.Labels "groundcrew.recipe"}}', tag, check=False)
    if label.strip() == recipe:
        return tag
    note(f"building {tag} from Debian's packages")
    try:
        need("mmdebstrap", "mmdebstrap")
    except TestbedError as reason:
        note(f"no mmdebstrap ({reason}); asking an image registry for debian:{distro}")
        docker("pull", f"debian:{distro}")
        docker("tag", f"debian:{distro}", tag)
        return tag
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        tarball = f"{folder}/base.tar"
        run("mmdebstrap", *arguments, tarball, *(["-"] if sources else []), stdin="\n".join(sources) + "\n")
        docker("import", "--change", f"LABEL groundcrew.recipe={recipe}", tarball, tag)
    return tag
