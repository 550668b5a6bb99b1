"""How this machine reaches package registries, as files for a test server.

Behind a proxy, a mirror or a private certificate authority, a test server needs what its controller was given:
certificates, apt's sources and settings, pip's and uv's indexes. All of it is read from this machine when an image is
built; where nothing is special, hardly a file comes out.
"""

from __future__ import annotations

import configparser
import functools
import hashlib
import json
import os
import platform
import re
import shutil
from pathlib import Path

from testbed.system import run

CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
APT_SETTINGS = re.compile(r'(Acquire::(?:https?::|Check-|Retries|ForceIPv)[^ ]* "(?!/).*";)$')


def files(distro: str) -> dict[str, str]:
    """Path on the server -> content."""
    authorities = _authorities()
    pip = pip_settings()
    found = {
        **{f"usr/local/share/ca-certificates/{name}.crt": pem for name, pem in authorities.items()},
        "etc/apt/sources.list": "".join(f"{line}\n" for line in apt_sources(distro)),
        "etc/apt/apt.conf.d/95controller": _apt_settings(),
        "etc/pip.conf": pip_conf(),
        "etc/uv/uv.toml": _uv_toml(pip, bool(authorities)),
        **_apt_credentials(),
        **_proxies(),
    }
    return {path: text for path, text in found.items() if text}


def apt_sources(distro: str) -> list[str]:
    """This machine's sources of Debian itself, for the wanted release; none where this machine is no Debian."""
    if not shutil.which("apt-get"):
        return []
    own = platform.freedesktop_os_release().get("VERSION_CODENAME", "?")
    targets = run(
        "apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(COMPONENT)", "Created-By: Packages", check=False
    )
    suites: dict[tuple[str, str], set[str]] = {}
    for line in targets.splitlines():
        site, release, component = line.split(maxsplit=2)
        if release in (own, f"{own}-updates", f"{own}-security"):
            suites.setdefault((site, release.replace(own, distro, 1)), set()).add(component)
    return [f"deb {site} {release} {' '.join(sorted(parts))}" for (site, release), parts in suites.items()]


@functools.cache
def _authorities() -> dict[str, str]:
    """Certificate authorities that this machine trusts and Debian's package does not bring."""
    bundles = {os.environ.get(name, "") for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")}
    shipped = {pem for path in Path("/usr/share/ca-certificates").rglob("*.crt") for pem in _certificates(path)}
    trusted = {pem for bundle in sorted({*bundles, CA_BUNDLE} - {""}) for pem in _certificates(Path(bundle))}
    return {f"controller-{hashlib.sha256(pem.encode()).hexdigest()[:8]}": pem + "\n" for pem in trusted - shipped}


def _certificates(path: Path) -> list[str]:
    return PEM.findall(path.read_text(errors="replace")) if path.is_file() else []


def _apt_settings() -> str:
    if not shutil.which("apt-config"):
        return ""
    lines = [line for line in run("apt-config", "dump", "Acquire").splitlines() if APT_SETTINGS.match(line)]
    lines += [f'Acquire::{name[:-6]}::Proxy "{value}";' for name, value in _proxy_variables() if name != "no_proxy"]
    return "".join(f"{line}\n" for line in lines)


def _apt_credentials() -> dict[str, str]:
    paths = [Path("/etc/apt/auth.conf"), *Path("/etc/apt/auth.conf.d").glob("*.conf")]
    return {str(path).lstrip("/"): path.read_text() for path in paths if os.access(path, os.R_OK)}


def pip_settings() -> dict[str, str]:
    """pip's settings of this machine that say where packages come from; paths of this machine mean nothing there."""
    parser = configparser.RawConfigParser()
    home = Path.home()
    parser.read(
        [
            "/etc/xdg/pip/pip.conf",
            "/etc/pip.conf",
            home / ".pip/pip.conf",
            home / ".config/pip/pip.conf",
            os.environ.get("PIP_CONFIG_FILE", os.devnull),
        ]
    )
    settings = {}
    for key in ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout"):
        value = os.environ.get(f"PIP_{key.upper().replace('-', '_')}") or parser.get("global", key, fallback=None) or ""
        settings[key] = " ".join(word for word in value.split() if not word.startswith(("file:", "/")))
    return {key: value for key, value in settings.items() if value}


def pip_conf() -> str:
    settings = pip_settings()
    if _authorities():
        settings["cert"] = CA_BUNDLE
    return "[global]\n" + "".join(f"{key} = {value}\n" for key, value in settings.items()) if settings else ""


def _uv_toml(pip: dict[str, str], private_authority: bool) -> str:
    """uv's settings, from its own variables or else from pip's; JSON's strings and lists are TOML's as well."""
    environ = os.environ
    default = environ.get("UV_DEFAULT_INDEX") or environ.get("UV_INDEX_URL") or pip.get("index-url")
    extra = environ.get("UV_INDEX") or environ.get("UV_EXTRA_INDEX_URL") or pip.get("extra-index-url", "")
    mirror = environ.get("UV_PYTHON_INSTALL_MIRROR")
    hosts = (environ.get("UV_INSECURE_HOST") or pip.get("trusted-host", "")).split()
    lines = [
        *(["system-certs = true"] if private_authority else []),
        *([f"python-install-mirror = {json.dumps(mirror)}"] if mirror else []),
        *([f"allow-insecure-host = {json.dumps(hosts)}"] if hosts else []),
        *(f"[[index]]\nurl = {json.dumps(url)}" for url in extra.split()),
        *([f"[[index]]\nurl = {json.dumps(default)}\ndefault = true"] if default else []),
    ]
    return "".join(f"{line}\n" for line in lines)


def _proxy_variables() -> list[tuple[str, str]]:
    names = ("http_proxy", "https_proxy", "no_proxy")
    return [(name, value) for name in names if (value := os.environ.get(name) or os.environ.get(name.upper()))]


def _proxies() -> dict[str, str]:
    variables = [f"{name}={value}" for name, value in _proxy_variables()]
    if not variables:
        return {}
    return {
        "etc/environment": "".join(f"{variable}\n" for variable in variables),
        "etc/systemd/system.conf.d/50-controller.conf": "[Manager]\n"
        + "".join(f'DefaultEnvironment="{variable}"\n' for variable in variables),
    }
