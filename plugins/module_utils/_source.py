# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A version of the project's code on the server: out of a git repository, or out of an archive from the controller.

PRIVATE to the collection: may change at any time.

Git runs as the app's user, never as root: what it reads (a repository's contents, a server's answers) is foreign. Links
in the code are kept as they are, even those that lead out of it: they give the app nothing that its user could not read
anyway, and many projects have harmless ones. Whoever writes into the code as root goes through :func:`inside`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import os
import re
import shlex
import shutil
import stat
import tarfile
import zlib
from collections.abc import Mapping, Sequence

from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.module_utils._runner import Result, Runner

# Seconds that a question to the repository's server, and a transfer from it, may take.
ASK_TIMEOUT = 120
FETCH_TIMEOUT = 1800

# More of them than that nobody reads before a deploy.
SHOWN_COMMITS = 30

COMMIT = re.compile(r"[0-9a-f]{40}")
ABBREVIATED = re.compile(r"[0-9a-f]{7,39}")
# What git allows in a name of a branch or tag, without what could be read as an option or an expression.
VERSION = re.compile(r"(?!-)(?!.*(\.\.|@\{|//))[^\s~^:?*\[\\\x00-\x1f\x7f]+")
OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
LFS_POINTER = "version https://git-lfs.github.com/spec/v1"


@dataclasses.dataclass(frozen=True)
class Revision:
    """One exact state of the code.

    :param id: 40 hexadecimal digits: the commit, or the start of an archive's checksum.
    :param description: for the operator, such as ``main at 1a2b3c4``.
    :param when: time of the commit as ISO 8601 with its zone; empty where there is none.
    :param subject: first line of the commit's message; empty where there is none.
    """

    id: str
    description: str
    when: str = ""
    subject: str = ""


@dataclasses.dataclass(frozen=True)
class Repository:
    """Where the code comes from, and where git may keep things on the server.

    :param url: ``source.repo``.
    :param version: ``source.version``: branch, tag or (abbreviated) commit; empty for the default branch.
    :param mirror: the bare mirror, ``<cache>/source.git``; its parent exists and belongs to the app's user.
    :param known_hosts: file that keeps the host keys of SSH servers, pinned at first use; made when it is missing, in a
        directory that the app's user gets through.
    :param key_file: what ``source.key`` names, in a file that the app's user may read for the time of the call: a
        private SSH key (with its last newline) or, for an https repository, a token or ``user:token``. Empty for none.
    :param submodules: check submodules out as well.
    """

    url: str
    version: str
    mirror: str
    known_hosts: str
    key_file: str = ""
    submodules: bool = False


def resolve(runner: Runner, repository: Repository) -> Revision:
    """Find the commit that ``version`` stands for now, and have it in the mirror.

    One question to the server when nothing changed; none for a full commit that the mirror has.
    """
    _check(repository)
    git = _Git(runner, repository)
    version = repository.version
    if COMMIT.fullmatch(version):
        return git.commit(version, version) or git.fetched(version, version)
    name, commit = git.ask()
    if commit:
        return git.commit(commit, name) or git.fetched(commit, name)
    if ABBREVIATED.fullmatch(version):
        return git.commit(version, version) or git.fetched(version, version)
    raise git.unknown()


def commits_between(runner: Runner, repository: Repository, old: str, new: str) -> list[str]:
    """The commits that lead from one to another, the newest first; those that a step back takes away begin with "<".

    Empty when the mirror does not know the old one, because the history was rewritten or is another one now.
    """
    options = ("--left-right", "--format=%m %h %s", f"--max-count={SHOWN_COMMITS}")
    result = _Git(runner, repository).mirror(
        "log", *options, f"{old}...{new}", "--", title="List the commits in between"
    )
    return [line.removeprefix("> ") for line in result.stdout.splitlines()] if result.rc == 0 else []


def list_commit(runner: Runner, repository: Repository, commit: str) -> list[str]:
    """Every file of a commit, relative to its root."""
    result = _Git(runner, repository).mirror(
        "ls-tree", "-r", "-z", "--name-only", commit, title="List the files of the commit"
    )
    return result.stdout.rstrip("\0").split("\0") if result.rc == 0 else []


def checkout(runner: Runner, repository: Repository, revision: Revision, target: str) -> None:
    """Write the complete tree of ``revision`` (in the mirror, by :func:`resolve`) into ``target``, without ``.git``.

    :param target: an empty directory that the app's user owns.
    """
    git = _Git(runner, repository)
    if not git.write_tree(revision.id, target):
        # The commit is there and its files are not: a mirror that lost power. A new one cures it.
        git.renew()
        if not git.write_tree(revision.id, target):
            raise ReleaseError(f"git cannot check out {revision.description}.", output=git.said)
    git.refuse_lfs(revision.id)
    if repository.submodules:
        git.write_submodules(target)


class _Git:
    """Git with one repository's mirror; ``said`` holds what it printed last."""

    def __init__(self, runner: Runner, repository: Repository) -> None:
        self.runner = runner
        self.repository = repository
        self.cache = os.path.dirname(repository.mirror)
        self.said = ""

    def run(
        self,
        *argv: str,
        title: str,
        cwd: str = "/",
        env: Mapping[str, str] | None = None,
        writable: Sequence[str] = (),
        network: bool = False,
        timeout: int = ASK_TIMEOUT,
    ) -> Result:
        """Run ``argv`` with git's environment, and keep its words without any credentials."""
        if network:
            _ensure_file(self.repository.known_hosts, owner_like=self.cache)
            writable = [*writable, self.repository.known_hosts]
        result = self.runner.run(
            argv,
            title=title,
            cwd=cwd,
            env={**_environment(self.repository), **(env or {})},
            writable=writable,
            network=network,
            timeout=timeout,
            check=False,
        )
        self.said = re.sub(r"(://)[^/@\s]+@", r"\1", result.last_lines(12))
        return result

    def mirror(
        self, *arguments: str, title: str, env: Mapping[str, str] | None = None, network: bool = False
    ) -> Result:
        """Run git on the mirror."""
        return self.run(
            "git",
            *arguments,
            title=title,
            env={"GIT_DIR": self.repository.mirror, **(env or {})},
            writable=[self.cache],
            network=network,
            timeout=FETCH_TIMEOUT,
        )

    def ask(self) -> tuple[str, str]:
        """Ask the server what the version stands for: name and commit, both empty when it has no such branch or tag."""
        version = self.repository.version
        if version in ("", "HEAD"):
            wanted = ["HEAD"]
        elif version.startswith("refs/"):
            wanted = [version]
        else:
            wanted = [f"refs/heads/{version}", f"refs/tags/{version}"]
        # A tag with a message is an object of its own; ^{} is the commit behind it.
        found = self.names("--symref", patterns=[pattern for name in wanted for pattern in (name, name + "^{}")])
        commits = {name: found.get(name + "^{}") or found[name] for name in wanted if name in found}
        if len(set(commits.values())) > 1:
            raise ReleaseError(
                f"{version!r} is both a branch and a tag of {self.repository.url}, with different commits.",
                cure=f"set source.version to refs/heads/{version} or refs/tags/{version}.",
            )
        for name, commit in commits.items():
            return found.get("ref:", name).removeprefix("refs/heads/").removeprefix("refs/tags/"), commit
        return "", ""

    def names(self, *options: str, patterns: Sequence[str] = ()) -> dict[str, str]:
        """The server's names with their commits; ``ref:`` is the branch that HEAD stands for."""
        result = self.run(
            "git",
            "ls-remote",
            *options,
            "--",
            self.repository.url,
            *patterns,
            title="Ask the repository for its versions",
            network=True,
        )
        if result.rc != 0:
            raise self.failure() or ReleaseError(f"{self.repository.url} cannot be reached.", output=self.said)
        lines = [line.split("\t", 1) for line in result.stdout.splitlines() if "\t" in line]
        found = {name: commit for commit, name in lines if not commit.startswith("ref:")}
        for commit, name in lines:
            if name == "HEAD" and commit.startswith("ref:"):
                found["ref:"] = commit[4:].strip()
        return found

    def commit(self, expression: str, name: str) -> Revision | None:
        """The commit as the mirror has it; None when the mirror or the commit is not there, or is damaged."""
        result = self.mirror(
            "log", "-1", "--format=%H%n%cI%n%s", expression, "--", title="Look for the commit in the mirror"
        )
        if "is ambiguous" in self.said:
            raise ReleaseError(
                f"More than one commit of {self.repository.url} begins with {expression}.",
                cure="write source.version longer.",
            )
        lines = result.stdout.split("\n")
        if result.rc != 0 or len(lines) < 3 or not COMMIT.fullmatch(lines[0]):
            return None
        commit = lines[0]
        description = f"commit {commit[:10]}" if commit.startswith(name) else f"{name} at {commit[:7]}"
        return Revision(commit, description, lines[1], lines[2])

    def fetched(self, expression: str, name: str) -> Revision:
        """Bring the mirror up to date, renew it if that does not help, and return the commit."""
        named = name != expression
        if not self.fetch():
            self.renew()
        revision = self.commit(expression, name)
        if not revision and named:
            self.renew()
            revision = self.commit(expression, name)
        elif not revision and COMMIT.fullmatch(expression):
            # No branch or tag leads to it; many servers hand such a commit out when asked for it.
            self.mirror(*self.fetching(expression), title="Fetch the commit", network=True)
            revision = self.commit(expression, name)
        if not revision:
            raise self.unknown()
        return revision

    def fetching(self, *refspecs: str) -> list[str]:
        """Arguments of a fetch."""
        options = ["--quiet", "--force", "--prune", "--no-tags", "--no-write-fetch-head"]
        return ["fetch", *options, "--", self.repository.url, *refspecs]

    def fetch(self) -> bool:
        """Fetch every branch and tag; false when the mirror itself is the trouble."""
        # On a mirror that is there this changes nothing, and completes one whose making was cut short.
        self.run(
            "git",
            "init",
            "--quiet",
            "--bare",
            "--",
            self.repository.mirror,
            title="Make the mirror",
            writable=[self.cache],
        )
        result = self.mirror(
            *self.fetching("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"),
            title="Fetch the code",
            network=True,
        )
        if result.rc != 0 and (failure := self.failure()):
            raise failure
        return result.rc == 0

    def renew(self) -> None:
        """Throw the mirror away and fetch it anew."""
        self.run("rm", "-rf", "--", self.repository.mirror, title="Remove the damaged mirror", writable=[self.cache])
        if not self.fetch():
            raise ReleaseError(f"git cannot fetch {self.repository.url}.", output=self.said)

    def tree(self, target: str) -> dict[str, str]:
        """What git needs to write files elsewhere; the index is for this checkout only."""
        return {
            "GIT_DIR": self.repository.mirror,
            "GIT_WORK_TREE": target,
            "GIT_INDEX_FILE": f"{self.cache}/checkout.index",
        }

    def write_tree(self, commit: str, target: str) -> bool:
        """Write the files of ``commit``; ``git archive`` would leave out what export-ignore names."""
        result = self.run(
            "sh",
            "-ec",
            f"rm -f {self.cache}/checkout.index {self.cache}/checkout.index.lock; git read-tree --reset -u {commit}",
            title="Check the code out",
            cwd=target,
            env=self.tree(target),
            writable=[self.cache, target],
            timeout=FETCH_TIMEOUT,
        )
        return result.rc == 0

    def write_submodules(self, target: str) -> None:
        """Write the files of the submodules; their repositories stay in the mirror for the next time."""
        result = self.run(
            "sh",
            "-ec",
            "git submodule sync --quiet --recursive;"
            " git submodule update --quiet --init --recursive --force --checkout;"
            " find . -mindepth 2 -name .git -prune -exec rm -rf {} +",
            title="Check the submodules out",
            cwd=target,
            env=self.tree(target),
            writable=[self.cache, target],
            network=True,
            timeout=FETCH_TIMEOUT,
        )
        if result.rc != 0:
            failure = self.failure()
            raise ReleaseError(
                f"A submodule of {self.repository.url} cannot be fetched.",
                cure=failure.cure if failure else "",
                output=self.said,
            )

    def refuse_lfs(self, commit: str) -> None:
        """Stop when the code holds pointers of Git LFS instead of files."""
        attributes = self.mirror(
            "grep", "-lF", "filter=lfs", commit, "--", ":(glob)**/.gitattributes", title="Look for files in Git LFS"
        )
        if attributes.rc != 0:
            return
        pointers = self.mirror("grep", "-lF", LFS_POINTER, commit, "--", title="Look for files in Git LFS")
        if pointers.rc == 0:
            raise lfs_error([line.partition(":")[2] for line in pointers.stdout.splitlines()])

    def unknown(self) -> ReleaseError:
        """The error for a version that the repository does not have, with what it does have."""
        version, url = self.repository.version, self.repository.url
        refs = [name for name in self.names("--heads", "--tags") if name.startswith("refs/")]
        names = [name.split("/", 2)[2] for name in refs if not name.endswith("^{}")]
        if not names:
            return ReleaseError(f"{url} has no commits yet.", cure="push a branch to it.")
        near = difflib.get_close_matches(version, names, n=5, cutoff=0.5) or names[:10]
        shown = ", ".join(near) + (", ..." if len(near) < len(names) else "")
        return ReleaseError(
            f"{url} has no branch, tag or commit {version!r}.", cure=f"set source.version to one that it has: {shown}"
        )

    def failure(self) -> ReleaseError | None:
        """What the repository's server said no to; None when git failed for another reason."""
        url = self.repository.url
        for pattern, message, cure in FAILURES:
            if re.search(pattern, self.said, re.IGNORECASE):
                words = {"url": url, "host": _host(url), "known_hosts": self.repository.known_hosts}
                return ReleaseError(message.format(**words), cure=cure.format(**words), output=self.said)
        return None


# In git's and ssh's words; the first that matches counts.
FAILURES = (
    (
        r"host key verification failed|host identification has changed",
        "{host} shows another SSH host key than when the server first talked to it.",
        "if it is known to have a new key, forget the old one on the server: ssh-keygen -R {host} -f {known_hosts}",
    ),
    (
        r"error in libcrypto|invalid format|load key .*: ",
        "The deploy key that source.key names is not a private key that ssh can read.",
        "put the complete file into django_app_secrets, with its first and last line and no passphrase.",
    ),
    (
        r"permission denied|authentication failed|could not read (username|password)|access denied|repository not found"
        r"|error: 40[13]",
        "{url} does not let this server in, or does not exist.",
        "check source.repo; for a private repository let source.key name a deploy key (or, for https, a token) in"
        " django_app_secrets.",
    ),
    (
        r"dubious ownership",
        "{url} belongs to somebody else than the app's user, and git refuses to read it.",
        "give the repository to the app's user, or serve it by ssh or https.",
    ),
    (r"no space left on device", "No space is left on the server's disk.", "free some, or remove old releases."),
    (
        r"could not resolve host|connection (refused|timed out|reset|closed)|network is unreachable|no route to host"
        r"|unable to (access|connect|look up)|could not read from remote|does not appear to be a git repository"
        r"|not found|does not exist|early eof",
        "{url} cannot be reached from the server.",
        "check source.repo, and that the server may open connections to {host}.",
    ),
)


def lfs_error(pointers: Sequence[str]) -> ReleaseError:
    """The error for files that are only pointers into Git LFS."""
    shown = ", ".join(pointers[:3]) + (", ..." if len(pointers) > 3 else "")
    return ReleaseError(
        f"{len(pointers)} files of the project are kept in Git LFS and are only pointers here: {shown}",
        cure="deploy from a checkout that has them (git lfs pull, then source.path), or keep them in git itself.",
    )


def _check(repository: Repository) -> None:
    """Refuse an address or a version that git would take for something else."""
    url, version = repository.url, repository.version
    known = re.match(r"(https?|ssh|git|file)://[^-]|/|[\w.-]+(@[\w.-]+)?:(?!:|//)", url)
    if not known or url.startswith("-") or re.search(r"[\x00-\x20\x7f]", url):
        raise ReleaseError(
            f"source.repo is no address of a git repository that the server can fetch: {url!r}.",
            cure="write https://host/path.git, ssh://git@host/path.git or git@host:path.git.",
        )
    if re.match(r"https?://[^/]*@|ssh://[^/@]*:[^/@]*@", url):
        raise ReleaseError(
            f"source.repo holds a password or token in its address for {_host(url)}, where process lists show it.",
            cure="put it into django_app_secrets and name it by source.key.",
        )
    if version and not VERSION.fullmatch(version):
        raise ReleaseError(
            f"source.version is no name of a branch, tag or commit: {version!r}.", cure="write main, v1.2 or a commit."
        )


def _host(url: str) -> str:
    """The host name in an address, ``url`` itself where there is none."""
    found = re.match(r"\w+://(?:[^/@]*@)?(\[[^]]+\]|[^/:]+)|(?:[^/@:]+@)?([^/:]+):", url)
    return (found[1] or found[2]) if found else url


def _environment(repository: Repository) -> dict[str, str]:
    """Git without questions, hooks, the user's configuration and commands that a repository could bring."""
    ssh = ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=20", "-o", "UpdateHostKeys=no"]
    ssh += ["-o", "StrictHostKeyChecking=accept-new", "-o", f"UserKnownHostsFile={repository.known_hosts}"]
    config = {
        "protocol.ext.allow": "never",
        "core.hooksPath": "/dev/null",
        "core.fsmonitor": "false",
        # The step's unit would end a collection in the background half way.
        "gc.autoDetach": "false",
        "maintenance.autoDetach": "false",
        "http.lowSpeedLimit": "1000",
        "http.lowSpeedTime": "60",
        # Submodules with relative addresses ask for it.
        "remote.origin.url": repository.url,
    }
    if repository.key_file and repository.url.startswith("https://"):
        key = shlex.quote(repository.key_file)
        config["credential.helper"] = (
            f'!f() {{ test "$1" = get || exit 0; IFS=: read -r user token < {key};'
            ' test -n "$token" || { token=$user; user=x-access-token; };'
            ' printf "username=%s\\npassword=%s\\n" "$user" "$token"; }; f'
        )
    elif repository.key_file:
        ssh += ["-o", "IdentitiesOnly=yes", "-i", repository.key_file]
    # By the environment and not by -c: arguments with a dollar sign do not survive systemd's own expansion.
    numbered = {"GIT_CONFIG_COUNT": str(len(config))}
    for number, (key, value) in enumerate(config.items()):
        numbered |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return {
        "LC_ALL": "C.UTF-8",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_SSH_COMMAND": shlex.join(ssh),
        "GIT_LFS_SKIP_SMUDGE": "1",
        **numbered,
    }


def _ensure_file(path: str, owner_like: str) -> None:
    """Make an empty file that belongs to whom ``owner_like`` belongs to."""
    owner = os.stat(owner_like)
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        finally:
            os.close(descriptor)


def unpack(archive: str, target: str, uid: int, gid: int) -> None:
    """Unpack what ``_archive.archive`` packed into ``target`` (an empty directory), everything owned by ``uid:gid``.

    By hand, because tarfile of Debian 12 has no extraction filters; and without times, because every file of the
    archive has the same one, which would tell web servers and browsers that nothing changed.
    """
    made = {"": target}
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                parts = member.name.split("/")
                if member.name.startswith("/") or any(part in ("", ".", "..") for part in parts):
                    raise ReleaseError(f"The archive holds a path that leads out of it: {member.name!r}.")
                _unpack_member(tar, member, _parents(made, parts[:-1], uid, gid) + "/" + parts[-1], uid, gid)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise ReleaseError(f"The archive is damaged: {error}.", cure="deploy again.") from error
    except FileExistsError as error:
        raise ReleaseError(f"The archive holds a path twice: {error.filename}.") from error


def _parents(made: dict[str, str], parts: Sequence[str], uid: int, gid: int) -> str:
    """Make the directories of a member, and use only such as were made here: never one behind a link."""
    name = ""
    for part in parts:
        parent, name = made[name], f"{name}/{part}"
        if name not in made:
            os.mkdir(f"{parent}/{part}", 0o755)
            os.chown(f"{parent}/{part}", uid, gid)
            made[name] = f"{parent}/{part}"
    return made[name]


def _unpack_member(tar: tarfile.TarFile, member: tarfile.TarInfo, path: str, uid: int, gid: int) -> None:
    """Write one file or link."""
    if member.issym():
        os.symlink(member.linkname, path)
        os.lchown(path, uid, gid)
        return
    content = tar.extractfile(member) if member.isreg() else None
    if content is None:
        raise ReleaseError(f"The archive holds something that is neither a file nor a link: {member.name!r}.")
    mode = 0o755 if member.mode & 0o100 else 0o644
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with open(descriptor, "wb") as file:
        shutil.copyfileobj(content, file)
        os.fchown(descriptor, uid, gid)


def finalize_tree(target: str, uid: int, gid: int) -> None:
    """Give a finished tree to ``uid:gid`` (root and the app's group): u=rwX,g=rX,o=, no setuid, links not followed.

    A directory is taken over before it is read, so that its former owner cannot exchange what is in it meanwhile.
    Sockets, pipes and devices are removed: they belong to no code.
    """
    _finalize(os.open(target, OPEN_DIRECTORY), uid, gid)


def _finalize(directory: int, uid: int, gid: int) -> None:
    """Finalize one directory, given as an open descriptor, with all that is below it."""
    try:
        os.fchown(directory, uid, gid)
        os.fchmod(directory, 0o750)
        with os.scandir(directory) as entries:
            for entry in entries:
                mode = entry.stat(follow_symlinks=False).st_mode
                if stat.S_ISDIR(mode):
                    _finalize(os.open(entry.name, OPEN_DIRECTORY, dir_fd=directory), uid, gid)
                elif stat.S_ISREG(mode):
                    os.chown(entry.name, uid, gid, dir_fd=directory, follow_symlinks=False)
                    os.chmod(entry.name, 0o750 if mode & 0o111 else 0o640, dir_fd=directory)
                elif stat.S_ISLNK(mode):
                    os.chown(entry.name, uid, gid, dir_fd=directory, follow_symlinks=False)
                else:
                    os.unlink(entry.name, dir_fd=directory)
    finally:
        os.close(directory)


def inside(root: str, relative: str) -> str:
    """The path of ``relative`` in ``root``, for root to write to.

    :raises ReleaseError: when a link of the project, or the path itself, leads out of ``root``.
    """
    parent, name = os.path.split(relative)
    root = os.path.realpath(root)
    directory = os.path.realpath(os.path.join(root, parent))
    path = os.path.join(directory, name)
    if os.path.commonpath([root, directory]) != root or name in ("", ".", "..") or os.path.islink(path):
        raise ReleaseError(f"{relative!r} leads out of the code.", cure="name a path inside it that is no link.")
    return path
