"""Installs pip as get-pip.py does, from what Python brings and the package index.

ansible-test downloads get-pip.py into its cache from a host of its own, which a package mirror does not offer; this
file takes its place there.
"""

from __future__ import annotations

import ensurepip
import os
import runpy
import sys

ensurepip.bootstrap()
os.environ.pop("PIP_CONFIG_FILE", None)  # ensurepip turns pip's configuration off, and leaves it so
sys.argv[1:] = ["install", *(word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel"))]
runpy.run_module("pip", run_name="__main__", alter_sys=True)
