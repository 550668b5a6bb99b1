"""Make a virtual environment from pinned requirements: python3 tools/venv.py 2.19 -> .cache/venv-2.19"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

from testbed import controller
from testbed.system import CACHE, ROOT, TestbedError, install, locked, note, run

REQUIREMENTS = ROOT / "tools" / "requirements"


def make(version: str) -> None:
    target = CACHE / f"venv-{version}"
    note(f"making {target.relative_to(ROOT)}")
    uv = _uv()
    environment = {"UV_SYSTEM_CERTS": "true", **os.environ}
    if index := controller.pip_settings().get("index-url"):
        environment.setdefault("UV_DEFAULT_INDEX", index)  # uv does not read pip's settings
    subprocess.run(
        [uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, target], env=environment, check=True
    )
    subprocess.run(
        [uv, "pip", "sync", "--quiet", "--python", target / "bin/python", REQUIREMENTS / f"{version}.txt"],
        env=environment,
        check=True,
    )
    (target / ".ready").touch()


def _uv() -> str:
    """uv in an environment of its own, made with what Python brings."""
    uv = CACHE / "uv" / "bin" / "uv"
    requirements = REQUIREMENTS / "uv.txt"
    with locked("uv"):
        if not uv.exists() or uv.stat().st_mtime < requirements.stat().st_mtime:
            if importlib.util.find_spec("ensurepip") is None:
                install("python3-venv")
            run(sys.executable, "-m", "venv", "--clear", str(CACHE / "uv"))
            run(str(CACHE / "uv/bin/pip"), "install", "--quiet", "--requirement", str(requirements))
            uv.touch()
    return str(uv)


if __name__ == "__main__":
    try:
        make(sys.argv[1])
    except TestbedError as error:
        sys.exit(f"venv: {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
