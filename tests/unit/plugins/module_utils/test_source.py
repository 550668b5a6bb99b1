# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fetching code: with git itself, from repositories made here."""

from __future__ import annotations

import io
import os
import re
import socket
import stat
import subprocess
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.groundcrew.django.plugins.module_utils import _source as source
from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.module_utils._runner import Result

Make = Callable[..., source.Repository]

GIT_ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.com",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.com",
    "GIT_COMMITTER_DATE": "2026-03-01T10:00:00+01:00",
}


class Upstream:
    """A repository with a work tree, as a developer has it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self.git("init", "-q", "-b", "main")

    @property
    def url(self):
        return f"file://{self.path}"

    def git(self, *arguments: str):
        done = subprocess.run(
            ["git", *arguments], cwd=self.path, env=GIT_ENVIRONMENT, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit(self, subject: str, **files: Any):
        for name, text in files.items():
            (self.path / name).write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", subject)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def upstream(tmp_path: Path):
    upstream = Upstream(tmp_path / "upstream")
    upstream.commit("Begin", readme="1")
    return upstream


@pytest.fixture
def repository(tmp_path: Path, upstream: Upstream):
    (tmp_path / "cache").mkdir()

    def make(version: str = "main", url: str = upstream.url, **options: Any) -> source.Repository:
        return source.Repository(
            url=url,
            version=version,
            mirror=str(tmp_path / "cache/source.git"),
            known_hosts=str(tmp_path / "known_hosts"),
            **options,
        )

    return make


@pytest.fixture
def target(tmp_path: Path):
    path = tmp_path / "code"
    path.mkdir()
    return path


def test_versions_in_every_form(local_runner: Any, upstream: Upstream, repository: Make):
    first = upstream.git("rev-parse", "HEAD")
    upstream.git("tag", "v1")
    upstream.git("tag", "-a", "-m", "Two", "v2")
    upstream.git("checkout", "-q", "-b", "feature/cart")
    second = upstream.commit("Add the cart: \N{SNOWMAN}", cart="x")
    upstream.git("checkout", "-q", "main")
    forms = {
        "main": (first, f"main at {first[:7]}"),
        "": (first, f"main at {first[:7]}"),
        "HEAD": (first, f"main at {first[:7]}"),
        "v1": (first, f"v1 at {first[:7]}"),
        "v2": (first, f"v2 at {first[:7]}"),
        "feature/cart": (second, f"feature/cart at {second[:7]}"),
        "refs/heads/feature/cart": (second, f"feature/cart at {second[:7]}"),
        "refs/tags/v2": (first, f"v2 at {first[:7]}"),
        second: (second, f"commit {second[:10]}"),
        second[:8]: (second, f"commit {second[:10]}"),
    }
    for version, (commit, description) in forms.items():
        revision = source.resolve(local_runner, repository(version))
        assert (revision.id, revision.description) == (commit, description), version
    assert revision.when == "2026-03-01T10:00:00+01:00"
    assert revision.subject == "Add the cart: \N{SNOWMAN}"


def test_nothing_new_costs_one_question_and_a_known_commit_none(
    local_runner: Any, upstream: Upstream, repository: Make
):
    commit = source.resolve(local_runner, repository()).id
    local_runner.calls.clear()
    source.resolve(local_runner, repository())
    assert local_runner.titles == ["Ask the repository for its versions", "Look for the commit in the mirror"]
    local_runner.calls.clear()
    source.resolve(local_runner, repository(commit))
    assert local_runner.titles == ["Look for the commit in the mirror"]
    assert not any(call["network"] for call in local_runner.calls)


def test_a_moved_branch_is_fetched(local_runner: Any, upstream: Upstream, repository: Make):
    source.resolve(local_runner, repository())
    upstream.git("commit", "-q", "--amend", "-m", "Begin again")
    assert source.resolve(local_runner, repository()).subject == "Begin again"


def test_a_branch_in_the_place_of_a_directory_of_branches(local_runner: Any, upstream: Upstream, repository: Make):
    upstream.git("branch", "release/one")
    source.resolve(local_runner, repository("release/one"))
    upstream.git("branch", "-D", "release/one")
    upstream.git("branch", "release")
    upstream.git("checkout", "-q", "release")
    commit = upstream.commit("Release")
    assert source.resolve(local_runner, repository("release")).id == commit


def test_another_address_in_the_same_mirror(local_runner: Any, tmp_path: Path, repository: Make):
    source.resolve(local_runner, repository())
    other = Upstream(tmp_path / "other")
    commit = other.commit("Other")
    assert source.resolve(local_runner, repository(url=other.url)).id == commit


def test_a_commit_that_no_branch_leads_to(local_runner: Any, upstream: Upstream, repository: Make):
    upstream.git("config", "uploadpack.allowAnySHA1InWant", "true")
    lost = upstream.commit("Lost")
    upstream.git("reset", "-q", "--hard", "HEAD~1")
    upstream.git("update-ref", "refs/pull/1/head", lost)
    assert source.resolve(local_runner, repository(lost)).subject == "Lost"


@pytest.mark.parametrize("damage", ["head", "objects", "lock", "empty", "file", "truncated"])
def test_a_damaged_mirror_is_made_anew(
    local_runner: Any, upstream: Upstream, repository: Make, target: Path, tmp_path: Path, damage: str
):
    revision = source.resolve(local_runner, repository())
    mirror = tmp_path / "cache/source.git"
    if damage == "head":
        (mirror / "HEAD").unlink()
    elif damage == "empty":
        subprocess.run(["rm", "-rf", mirror], check=True)
        mirror.mkdir()
    elif damage == "file":
        subprocess.run(["rm", "-rf", mirror], check=True)
        mirror.write_text("")
    elif damage == "lock":
        for lock in ("packed-refs.lock", "refs/heads/main.lock", "HEAD.lock", "config.lock"):
            (mirror / lock).touch()
        upstream.commit("Next", readme="2")
    else:
        for path in (mirror / "objects").rglob("*"):
            if path.is_file():
                path.chmod(0o644)
                path.write_bytes(path.read_bytes()[:20] if damage == "truncated" else b"")
    revision = source.resolve(local_runner, repository())
    source.checkout(local_runner, repository(), revision, str(target))
    assert (target / "readme").read_text() == ("2" if damage == "lock" else "1")


def test_a_mirror_whose_files_are_damaged_but_whose_commit_is_not(
    local_runner: Any, upstream: Upstream, repository: Make, target: Path, tmp_path: Path
):
    revision = source.resolve(local_runner, repository())
    blob = upstream.git("rev-parse", "HEAD:readme")
    mirror = tmp_path / "cache/source.git"
    subprocess.run(
        ["sh", "-ec", "mv objects/pack packs; for p in packs/*.pack; do git unpack-objects < $p; done"],
        cwd=mirror,
        env=GIT_ENVIRONMENT,
        check=False,
        capture_output=True,
    )
    (mirror / "objects" / blob[:2] / blob[2:]).unlink()
    source.checkout(local_runner, repository(), revision, str(target))
    assert (target / "readme").read_text() == "1"
    assert "Remove the damaged mirror" in local_runner.titles


def test_an_interrupted_checkout_does_not_stop_the_next(
    local_runner: Any, repository: Make, target: Path, tmp_path: Path
):
    revision = source.resolve(local_runner, repository())
    (tmp_path / "cache/checkout.index.lock").touch()
    (tmp_path / "cache/checkout.index").write_text("garbage")
    source.checkout(local_runner, repository(), revision, str(target))
    assert os.listdir(target) == ["readme"]


def test_the_tree_is_complete(local_runner: Any, upstream: Upstream, repository: Make, target: Path):
    (upstream.path / "docs").mkdir()
    (upstream.path / "run").write_text("#!/bin/sh\n")
    (upstream.path / "run").chmod(0o755)
    (upstream.path / "link").symlink_to("/etc/hostname")
    upstream.commit("More", **{".gitattributes": "docs export-ignore\n*.txt eol=crlf\n", "docs/a": "a", "a.txt": "a\n"})
    source.checkout(local_runner, repository(), source.resolve(local_runner, repository()), str(target))
    assert sorted(os.listdir(target)) == [".gitattributes", "a.txt", "docs", "link", "readme", "run"]
    assert (target / "docs/a").read_text() == "a"
    assert (target / "a.txt").read_bytes() == b"a\r\n"
    assert os.readlink(target / "link") == "/etc/hostname"
    assert os.access(target / "run", os.X_OK)


def test_no_hook_runs(local_runner: Any, repository: Make, target: Path, tmp_path: Path):
    revision = source.resolve(local_runner, repository())
    hook = tmp_path / "cache/source.git/hooks/post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/hooked\n")
    hook.chmod(0o755)
    source.checkout(local_runner, repository(), revision, str(target))
    assert not (tmp_path / "hooked").exists()


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("mian", r"no branch, tag or commit 'mian'.*one that it has: main"),
        ("refs/heads/none", "no branch, tag or commit"),
        ("0123456", "no branch, tag or commit '0123456'"),
        ("0" * 40, "no branch, tag or commit"),
        ("both", "both a branch and a tag .*refs/heads/both or refs/tags/both"),
        ("--upload-pack=touch", "no name of a branch"),
        ("a..b", "no name of a branch"),
        ("main~1", "no name of a branch"),
        ("main^{tree}", "no name of a branch"),
        ("with space", "no name of a branch"),
    ],
)
def test_versions_that_are_not_there(
    local_runner: Any, upstream: Upstream, repository: Make, version: str, message: str
):
    upstream.git("tag", "both")
    upstream.git("checkout", "-q", "-b", "both")
    upstream.commit("Both")
    with pytest.raises(ReleaseError) as error:
        source.resolve(local_runner, repository(version))
    assert re.search(message, str(error.value), re.DOTALL), error.value


def test_an_empty_repository(local_runner: Any, tmp_path: Path, repository: Make):
    empty = Upstream(tmp_path / "empty")
    with pytest.raises(ReleaseError, match="has no commits yet"):
        source.resolve(local_runner, repository(url=empty.url))


def test_a_version_that_looks_like_a_commit_but_is_a_branch(local_runner: Any, upstream: Upstream, repository: Make):
    upstream.git("checkout", "-q", "-b", "deadbeef")
    commit = upstream.commit("Branch")
    assert source.resolve(local_runner, repository("deadbeef")).id == commit


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("file:///nonexistent/repository", "cannot be reached"),
        ("https://127.0.0.1:9/a.git", "https://127.0.0.1:9/a.git cannot be reached"),
        ("ssh://git@127.0.0.1:9/a.git", "cannot be reached"),
        ("git@host.invalid:acme/shop.git", "cannot be reached"),
        ("ext::sh -c touch", "no address of a git repository"),
        ("ext::sh", "no address of a git repository"),
        ("-oProxyCommand=x", "no address of a git repository"),
        ("ssh://-oProxyCommand=x/a", "no address of a git repository"),
        ("", "no address of a git repository"),
        ("shop", "no address of a git repository"),
        ("https://ada:geheim@example.com/a.git", "holds a password"),
        ("https://geheim@example.com/a.git", "holds a password"),
        ("ssh://git:geheim@example.com/a.git", "holds a password"),
    ],
)
def test_addresses(local_runner: Any, repository: Make, url: str, message: str):
    with pytest.raises(ReleaseError) as error:
        source.resolve(local_runner, repository(url=url))
    assert message in str(error.value)
    assert "geheim" not in str(error.value)


def says(words: str) -> Callable[..., Result]:
    """A runner whose programs fail with these words."""

    def run(_argv: list[str], **_options: Any) -> Result:
        return Result(128, "", words)

    return run


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            "@@@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @@@\nHost key verification failed.",
            "another SSH host key",
        ),
        (
            "git@git.example.com: Permission denied (publickey).\nfatal: Could not read from remote repository.",
            "not let this server in",
        ),
        ('Load key "/run/key": error in libcrypto\ngit@x: Permission denied (publickey).', "not a private key"),
        ("ERROR: Repository not found.\nfatal: Could not read from remote repository.", "not let this server in"),
        ("fatal: could not read Username for 'https://x': terminal prompts disabled", "not let this server in"),
        ("remote: HTTP Basic: Access denied\nfatal: Authentication failed for 'https://x/'", "not let this server in"),
        ("fatal: unable to access 'https://x/': Could not resolve host: x", "cannot be reached"),
        ("fatal: write error: No space left on device", "No space is left"),
        ("fatal: detected dubious ownership in repository at '/srv/x'", "belongs to somebody else"),
    ],
)
def test_what_the_repository_server_says(
    local_runner: Any, repository: Make, monkeypatch: pytest.MonkeyPatch, said: str, message: str
):
    monkeypatch.setattr(local_runner, "run", says(said))
    with pytest.raises(ReleaseError) as error:
        source.resolve(local_runner, repository(url="git@git.example.com:acme/shop.git"))
    assert message in str(error.value)
    assert "git.example.com" in str(error.value) or "key" in str(error.value) or "space" in str(error.value)


def test_the_changed_host_key_names_the_command(local_runner: Any, repository: Make, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(local_runner, "run", says("Host key verification failed."))
    with pytest.raises(ReleaseError, match=r"ssh-keygen -R git\.example\.com -f \S+known_hosts"):
        source.resolve(local_runner, repository(url="ssh://git@git.example.com:2222/acme/shop.git"))


def test_git_lfs(local_runner: Any, upstream: Upstream, repository: Make, target: Path):
    upstream.commit(
        "Pictures", **{".gitattributes": "*.png filter=lfs\n", "a.png": f"{source.LFS_POINTER}\noid sha256:0\nsize 1\n"}
    )
    with pytest.raises(ReleaseError, match=r"1 files .* Git LFS .* a\.png.*\n.*git lfs pull"):
        source.checkout(local_runner, repository(), source.resolve(local_runner, repository()), str(target))


@pytest.fixture
def git_daemon(tmp_path: Path):
    """A server for the repositories in tmp_path: git takes no submodules from files."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    argv = [
        "git",
        "daemon",
        "--export-all",
        "--listen=127.0.0.1",
        f"--port={port}",
        f"--base-path={tmp_path}",
        "--reuseaddr",
    ]
    daemon = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
    for _attempt in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    yield f"git://127.0.0.1:{port}"
    daemon.terminate()
    daemon.wait()


def test_submodules(local_runner: Any, upstream: Upstream, repository: Make, tmp_path: Path, git_daemon: str):
    inner = Upstream(tmp_path / "inner")
    inner.commit("Inner", inner="i")
    library = Upstream(tmp_path / "library")
    library.commit("Library", library="l")
    library.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", f"{git_daemon}/inner/.git", "inner")
    library.commit("With inner")
    upstream.git(
        "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", f"{git_daemon}/library/.git", "lib/library"
    )
    upstream.git("config", "-f", ".gitmodules", "submodule.lib/library.url", "../../library/.git")
    upstream.commit("With library")
    shop = repository(url=f"{git_daemon}/upstream/.git", submodules=True)
    for attempt, text in ((1, "l"), (2, "m")):
        revision = source.resolve(local_runner, shop)
        target = tmp_path / f"code{attempt}"
        target.mkdir()
        source.checkout(local_runner, shop, revision, str(target))
        assert (target / "lib/library/library").read_text() == text
        assert (target / "lib/library/inner/inner").read_text() == "i"
        assert not list(target.rglob(".git"))
        commit = library.commit("Change", library="m")
        upstream.git("-C", "lib/library", "fetch", "--quiet")
        upstream.git("-C", "lib/library", "checkout", "--quiet", commit)
        upstream.commit("Move the library")
    plain = tmp_path / "plain"
    plain.mkdir()
    source.checkout(local_runner, repository(url=shop.url), revision, str(plain))
    assert list((plain / "lib/library").iterdir()) == []


def test_an_unreachable_submodule(
    local_runner: Any, upstream: Upstream, repository: Make, tmp_path: Path, target: Path
):
    other = Upstream(tmp_path / "other")
    other.commit("Other")
    upstream.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", other.url, "other")
    upstream.commit("With other")
    shop = repository(submodules=True)
    with pytest.raises(ReleaseError, match=r"A submodule .* cannot be fetched"):
        source.checkout(local_runner, shop, source.resolve(local_runner, shop), str(target))


@pytest.mark.parametrize(("secret", "user", "token"), [("t0k:en", "t0k", "en"), ("t0ken\n", "x-access-token", "t0ken")])
def test_a_token_is_handed_over_without_standing_in_an_argument(
    local_runner: Any, repository: Make, tmp_path: Path, secret: str, user: str, token: str
):
    key = tmp_path / "key"
    key.write_text(secret)
    shop = repository(url="https://git.example.com/shop.git", key_file=str(key))
    environment = source._environment(shop)
    assert secret.strip() not in " ".join(environment.values())
    said = local_runner.run(
        ["git", "credential", "fill"], title="Ask", env=environment, stdin="protocol=https\nhost=git.example.com\n\n"
    ).stdout
    assert f"username={user}\n" in said
    assert f"password={token}\n" in said


def test_a_deploy_key_is_the_only_key_offered(repository: Make):
    command = source._environment(repository(url="git@git.example.com:a.git", key_file="/run/key"))["GIT_SSH_COMMAND"]
    assert "-o IdentitiesOnly=yes -i /run/key" in command
    assert "StrictHostKeyChecking=accept-new" in command


def archive_of(path: Path, *members: Any):
    with tarfile.open(path, "w:gz") as tar:
        for name, kind, content in members:
            member = tarfile.TarInfo(name)
            member.type = kind
            member.mode = 0o6777
            if kind == tarfile.REGTYPE:
                member.size = len(content)
            else:
                member.linkname = content
            tar.addfile(member, io.BytesIO(content) if kind == tarfile.REGTYPE else None)
    return str(path)


def test_unpack(tmp_path: Path, target: Path):
    members: list[Any] = [
        ("a/b/c", tarfile.REGTYPE, b"c"),
        ("a/link", tarfile.SYMTYPE, "b/c"),
        ("d", tarfile.REGTYPE, b""),
    ]
    source.unpack(archive_of(tmp_path / "x.tar.gz", *members), str(target), os.getuid(), os.getgid())
    assert (target / "a/link").read_text() == "c"
    assert stat.S_IMODE((target / "d").stat().st_mode) & 0o6022 == 0
    assert time.time() - (target / "d").stat().st_mtime < 60


@pytest.mark.parametrize(
    "members",
    [
        [("../a", tarfile.REGTYPE, b"")],
        [("/a", tarfile.REGTYPE, b"")],
        [("a/../../b", tarfile.REGTYPE, b"")],
        [("a/./b", tarfile.REGTYPE, b"")],
        [("a", tarfile.LNKTYPE, "/etc/passwd")],
        [("a", tarfile.CHRTYPE, "")],
        [("a", tarfile.FIFOTYPE, "")],
        [("a", tarfile.REGTYPE, b""), ("a", tarfile.REGTYPE, b"")],
        [("a", tarfile.SYMTYPE, "/tmp"), ("a/b", tarfile.REGTYPE, b"")],
        [("a", tarfile.REGTYPE, b""), ("a/b", tarfile.REGTYPE, b"")],
    ],
)
def test_unpack_refuses(tmp_path: Path, target: Path, members: list[Any]):
    with pytest.raises(ReleaseError, match="The archive holds"):
        source.unpack(archive_of(tmp_path / "x.tar.gz", *members), str(target), os.getuid(), os.getgid())
    assert sorted(os.listdir(tmp_path)) == ["code", "x.tar.gz"]


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b\x08\x00"])
def test_unpack_a_damaged_archive(tmp_path: Path, target: Path, content: bytes):
    (tmp_path / "x.tar.gz").write_bytes(content)
    with pytest.raises(ReleaseError, match="damaged"):
        source.unpack(str(tmp_path / "x.tar.gz"), str(target), os.getuid(), os.getgid())


def test_finalize(tmp_path: Path, target: Path):
    outside = tmp_path / "outside"
    outside.write_text("")
    outside.chmod(0o666)
    (target / "sub").mkdir(mode=0o777)
    (target / "sub/program").write_text("")
    (target / "sub/program").chmod(0o6777)
    (target / "data").write_text("")
    (target / "data").chmod(0o666)
    (target / "link").symlink_to(outside)
    (target / "dangling").symlink_to("/nonexistent")
    (target / "directory").symlink_to(tmp_path)
    os.mkfifo(target / "pipe")
    source.finalize_tree(str(target), os.getuid(), os.getgid())
    modes = {name: stat.S_IMODE((target / name).lstat().st_mode) for name in ("", "sub", "sub/program", "data")}
    assert modes == {"": 0o750, "sub": 0o750, "sub/program": 0o750, "data": 0o640}
    assert stat.S_IMODE(outside.stat().st_mode) == 0o666
    assert stat.S_IMODE(tmp_path.stat().st_mode) != 0o750 or os.getuid() == 0
    assert not (target / "pipe").exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give files away")
def test_finalize_gives_to_the_owner(target: Path):
    (target / "data").write_text("")
    (target / "link").symlink_to("/etc/hostname")
    before = os.stat("/etc/hostname").st_uid
    source.finalize_tree(str(target), 4711, 4712)
    for path in (target, target / "data", target / "link"):
        assert (path.lstat().st_uid, path.lstat().st_gid) == (4711, 4712)
    assert os.stat("/etc/hostname").st_uid == before


def test_finalize_refuses_a_link(tmp_path: Path, target: Path):
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(OSError, match="link"):
        source.finalize_tree(str(tmp_path / "link"), os.getuid(), os.getgid())


@pytest.mark.parametrize("relative", ["a", "sub/a", "sub/../a", "new/a", "here/a"])
def test_inside(target: Path, relative: str):
    (target / "sub").mkdir()
    (target / "here").symlink_to("sub")
    assert source.inside(str(target), relative).startswith(f"{target}/")


@pytest.mark.parametrize("relative", ["../a", "/etc/a", "out/a", "out", "..", ".", "", "sub/../../a"])
def test_not_inside(target: Path, relative: str):
    (target / "sub").mkdir()
    (target / "out").symlink_to("/etc")
    with pytest.raises(ReleaseError, match="leads out of the code"):
        source.inside(str(target), relative)
