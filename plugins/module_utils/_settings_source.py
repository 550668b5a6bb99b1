# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads settings files without running them: where a setting gets its value from. Pure. PRIVATE to the collection.

Running the settings tells what a value is; only their text tells whether somebody wrote it down (then it may be laid
over) or whether it is computed (then the variable to set is named). Where the text is too clever for this reading, the
answer is "computed": the careful one.
"""

from __future__ import annotations

import ast
import dataclasses
import re
import typing as t
from collections.abc import Iterable, Iterator, Mapping, Sequence

NAMES = (
    "DEBUG",
    "SECRET_KEY",
    "SECRET_KEY_FALLBACKS",
    "ALLOWED_HOSTS",
    "DATABASES",
    "STATIC_ROOT",
    "MEDIA_ROOT",
    "CSRF_TRUSTED_ORIGINS",
    "SECURE_PROXY_SSL_HEADER",
)

# Calls that compute a path or a plain value from their arguments alone; methods that do so from their object as well.
_PATH_CALLS = {"join", "dirname", "abspath", "realpath", "normpath"}
_FIXED_CALLS = {"Path", "PurePath", "str", "int", "bool", "float", "list", "tuple", "dict", "set", *_PATH_CALLS}
_FIXED_CALLS |= {
    "pathlib.Path",
    "environ.Path",
    *(f"{path}.{name}" for path in ("os.path", "path") for name in _PATH_CALLS),
}
_FIXED_METHODS = {"resolve", "absolute", "as_posix", "joinpath", "with_name", "path"}
_RANDOM_CALLS = {"get_random_secret_key", "get_random_string", "token_urlsafe", "token_hex", "token_bytes", "urandom"}
_RANDOM_CALLS |= {
    "uuid1",
    "uuid4",
    "randbytes",
    "getrandbits",
    "SystemRandom",
    "choice",
    "choices",
    "sample",
    "randint",
}
# A first argument in capitals is the name of a variable, unless the call is one of these.
_NO_READERS = {"getattr", "hasattr", "setattr", "join", "split", "strip", "startswith", "endswith", "replace", "Path"}
_NO_READERS |= {"print", "warn", "info", "debug", "setdefault", "append", "insert", "update", "import_module"}
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*\Z")
# How variables are called that hold the parts of a database's address: PRETALX_DB_PASS, POSTGRES_HOST.
_DATABASE_WORDS = {"DB", "DATABASE", "POSTGRES", "POSTGRESQL"}
_KEY_WORDS = {
    "ENGINE": {"ENGINE", "BACKEND", "TYPE"},
    "NAME": {"NAME", "DATABASE", "DB"},
    "USER": {"USER", "USERNAME"},
    "PASSWORD": {"PASSWORD", "PASS", "PASSWD"},
    "HOST": {"HOST", "HOSTNAME"},
    "PORT": {"PORT"},
}
_TRUE = {"true", "1", "yes", "y", "on", "t"}
# What a library reads when it is called without a name.
_DATABASE_URL_CALLS = ("dj_database_url.config", "env.db", "env.db_url", "env.dj_db_url")


@dataclasses.dataclass(frozen=True)
class Source:
    """One settings file: its module's name, its path below the release's code, its text."""

    module: str
    path: str
    text: str


@dataclasses.dataclass(frozen=True)
class Setting:
    """Where a setting gets its value from.

    :param kind: ``absent``; ``literal`` (written down plainly); ``default`` (a path expression as startproject
        generates it, fixed without being a literal); ``computed``.
    :param value: of a literal.
    :param variables: environment variables that a computed value reads, as far as they can be seen.
    :param keys: for DATABASES: variables by key of a database (``{"HOST": ("DB_HOST",)}``).
    :param random: a random value is made when the settings are imported.
    :param off: for DEBUG: what its variable has to say for it to be off.
    """

    name: str
    kind: str = "absent"
    module: str = ""
    path: str = ""
    line: int = 0
    value: t.Any = None
    variables: tuple[str, ...] = ()
    keys: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    random: bool = False
    off: str = "False"

    @property
    def where(self) -> str:
        """``mysite/settings.py:23``."""
        return f"{self.path}:{self.line}" if self.path else ""

    @property
    def fixed(self) -> bool:
        """Whether the text alone decides the value, so that it may be laid over."""
        return self.kind in ("literal", "default")


@dataclasses.dataclass(frozen=True)
class ManageSettings:
    """What a manage.py says about settings: a default, and whether it overrules DJANGO_SETTINGS_MODULE."""

    default: str = ""
    forced: bool = False
    configuration: str = ""


@dataclasses.dataclass(frozen=True)
class _Binding:
    """One thing that happens to a name: it is bound, or changed in place."""

    name: str
    node: ast.expr
    source: Source
    line: int
    end: int
    tests: tuple[ast.expr, ...]  # conditions that it stands under
    how: str  # plain: NAME = value; item: NAME["x"]["y"] = value; call: NAME.x(value); other: everything else


def _dotted(node: ast.AST) -> str:
    """``os.environ.get`` of such an expression; of a call inside, only what follows it."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        left = _dotted(node.value)
        return f"{left}.{node.attr}" if left else node.attr
    return ""


def _is_name(node: ast.AST) -> bool:
    """Whether an expression is a name with dots and nothing else."""
    return isinstance(node, ast.Name) or (isinstance(node, ast.Attribute) and _is_name(node.value))


def _text(node: ast.AST | None) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _is_environ(node: ast.AST) -> bool:
    return _dotted(node).rpartition(".")[2] in ("environ", "ENVIRON")


def _off(node: ast.AST) -> str:
    """What makes ``ENV != "production"`` and ``ENV == "development"`` false; empty where nothing is compared."""
    for part in ast.walk(node):
        if isinstance(part, ast.Compare):
            words = [_text(one) for one in ast.walk(part.comparators[0]) if _text(one)]
            if words and isinstance(part.ops[0], (ast.NotEq, ast.NotIn)):
                return words[0]
            if words and isinstance(part.ops[0], (ast.Eq, ast.In)) and not _TRUE & {word.lower() for word in words}:
                return "production"
    return ""


def read_manage(text: str) -> ManageSettings:
    """Read a manage.py (or wsgi.py): ``os.environ.setdefault("DJANGO_SETTINGS_MODULE", …)`` in its usual forms."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return ManageSettings()
    texts: dict[str, str] = {}
    found: dict[str, str] = {}
    forced = False
    for node in sorted(ast.walk(tree), key=lambda one: getattr(one, "lineno", 0)):
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target = node.targets[0]
            if isinstance(target, ast.Name):
                texts[target.id] = _read_text(node.value, texts)
            elif isinstance(target, ast.Subscript) and _is_environ(target.value):
                name, value = _text(target.slice), _read_text(node.value, texts)
                # environ["X"] = environ.get("X", "default") leaves the environment its say.
                own = any(_text(one) == name for one in ast.walk(node.value))
                if name and value:
                    found[name] = value
                    forced = forced or (name == "DJANGO_SETTINGS_MODULE" and not own)
        elif isinstance(node, ast.Call):
            function = _dotted(node.func)
            if function.endswith(("environ.setdefault", "environ.get", "getenv")) and len(node.args) == 2:
                value = _read_text(node.args[1], texts)
                if value:
                    found.setdefault(_text(node.args[0]), value)
    return ManageSettings(found.get("DJANGO_SETTINGS_MODULE", ""), forced, found.get("DJANGO_CONFIGURATION", ""))


def _read_text(node: ast.expr, texts: Mapping[str, str]) -> str:
    """The text that an expression has by itself; the last one of its alternatives when there are several."""
    if isinstance(node, ast.Name):
        return texts.get(node.id, "")
    if isinstance(node, ast.Call) and len(node.args) == 2:
        return _read_text(node.args[1], texts)
    if isinstance(node, ast.BoolOp):
        return _read_text(node.values[-1], texts)
    return _text(node)


def _imported(node: ast.ImportFrom, source: Source) -> str:
    """Full name of the module that a ``from … import`` names."""
    if not node.level:
        return node.module or ""
    parts = source.module.split(".")
    parts = parts[: len(parts) - node.level + (1 if source.path.endswith("__init__.py") else 0)]
    return ".".join([*parts, *([node.module] if node.module else [])])


class _Chain:
    """What happens, in order, to every name of a settings module, through the modules that it imports from."""

    def __init__(
        self,
        sources: Mapping[str, Source],
        reads: Sequence[Mapping[str, t.Any]],
        known: dict[str, _Chain] | None = None,
    ) -> None:
        self.sources = sources
        self.reads = reads
        self.known = {} if known is None else known  # chains of modules that only single names come from
        self.bindings: dict[str, list[_Binding]] = {}
        self.functions: dict[str, ast.AST] = {}
        self.classes: list[tuple[ast.ClassDef, Source]] = []

    def follow(
        self,
        module: str,
        only: Mapping[str, str] | None = None,
        stack: tuple[str, ...] = (),
        tests: tuple[ast.expr, ...] = (),
    ) -> None:
        """Take a module in: all its names, or those of ``only`` (theirs -> ours)."""
        source = self.sources.get(module)
        if source is None or module in stack:
            return
        try:
            tree = ast.parse(source.text)
        except SyntaxError:
            return
        if only is None:
            for binding in self._walk(tree.body, source, tests, (*stack, module)):
                self.bindings.setdefault(binding.name, []).append(binding)
            return
        inner = self.known.get(module)
        if inner is None:
            inner = self.known[module] = _Chain(self.sources, self.reads, self.known)
            inner.follow(module, stack=stack)
        self.functions.update(inner.functions)
        for theirs, ours in only.items():
            for binding in inner.bindings.get(theirs, []):
                self.bindings.setdefault(ours, []).append(dataclasses.replace(binding, name=ours))

    def _walk(
        self, body: Sequence[ast.stmt], source: Source, tests: tuple[ast.expr, ...], stack: tuple[str, ...]
    ) -> Iterator[_Binding]:
        for node in body:
            if isinstance(node, ast.ImportFrom):
                self._import(node, source, stack)
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                self.functions[node.name] = node
            elif isinstance(node, ast.ClassDef):
                self.classes.append((node, source))
            elif isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                for target in targets:
                    yield from self._assigned(target, node, node.value, len(targets), source, tests)
            elif isinstance(node, ast.AugAssign):
                yield from self._assigned(node.target, node, node.value, 2, source, tests)
            elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                yield from self._called(node.value, source, tests, stack)
            elif isinstance(node, ast.If):
                yield from self._walk(node.body, source, (*tests, node.test), stack)
                yield from self._walk(node.orelse, source, (*tests, node.test), stack)
            elif isinstance(node, ast.Try):
                # A body that imports is there when its file is there; a handler runs for reasons that no text tells.
                yield from self._walk(node.body, source, tests, stack)
                for handler in node.handlers:
                    yield from self._walk(handler.body, source, (*tests, ast.Constant(None)), stack)
                yield from self._walk([*node.orelse, *node.finalbody], source, tests, stack)
            elif isinstance(node, (ast.With, ast.For, ast.While)):
                context = [item.context_expr for item in node.items] if isinstance(node, ast.With) else []
                loop = [node.iter] if isinstance(node, ast.For) else []
                yield from self._walk(node.body, source, (*tests, *context, *loop, ast.Constant(None)), stack)

    def _import(self, node: ast.ImportFrom, source: Source, stack: tuple[str, ...]) -> None:
        base = _imported(node, source)
        if any(alias.name == "*" for alias in node.names):
            self.follow(base, stack=stack)
        else:
            self.follow(base, {alias.name: alias.asname or alias.name for alias in node.names}, stack)

    def _assigned(
        self,
        target: ast.expr,
        node: ast.stmt,
        value: ast.expr,
        targets: int,
        source: Source,
        tests: tuple[ast.expr, ...],
    ) -> Iterator[_Binding]:
        end = node.end_lineno or node.lineno
        if isinstance(target, ast.Name):
            yield _Binding(target.id, value, source, node.lineno, end, tests, "plain" if targets == 1 else "other")
        elif isinstance(target, (ast.Tuple, ast.List)):
            for element in target.elts:
                yield from self._assigned(element, node, value, 2, source, tests)
        else:
            inner = target
            while isinstance(inner, (ast.Subscript, ast.Attribute, ast.Starred)):
                inner = inner.value
            if isinstance(inner, ast.Name):
                how = "item" if targets == 1 and isinstance(target, ast.Subscript) else "other"
                yield _Binding(inner.id, value, source, node.lineno, end, tests, how)

    def _called(
        self, call: ast.Call, source: Source, tests: tuple[ast.expr, ...], stack: tuple[str, ...]
    ) -> Iterator[_Binding]:
        """``NAME["x"].update(…)`` changes NAME; ``include("base.py")`` of split-settings runs another file here."""
        function = _dotted(call.func)
        if function in ("include", "optional"):
            here = source.path.rpartition("/")[0]
            for argument in call.args:
                wanted = _text(argument.args[0] if isinstance(argument, ast.Call) and argument.args else argument)
                for other in self.sources.values():
                    if wanted and other.path == f"{here}/{wanted}".lstrip("/"):
                        # Not imported, so that no value can be replaced in its place: never fixed.
                        self.follow(other.module, stack=stack, tests=(*tests, ast.Constant(None)))
            return
        inner: ast.expr = call.func
        while isinstance(inner, (ast.Attribute, ast.Subscript)):
            inner = inner.value
        if isinstance(call.func, ast.Attribute) and isinstance(inner, ast.Name):
            yield _Binding(inner.id, call, source, call.lineno, call.end_lineno or call.lineno, tests, "call")

    # -- questions about expressions ---------------------------------------------------------------------------------

    def variables(self, node: ast.AST, seen: set[str] | None = None) -> list[str]:
        """Environment variables that an expression reads, through the names and functions it uses."""
        seen = set() if seen is None else seen
        found: list[str] = []
        for part in ast.walk(node):
            if isinstance(part, ast.Call):
                found += self._called_variables(part)
            elif isinstance(part, ast.Subscript) and isinstance(part.ctx, ast.Load):
                holder = _dotted(part.value).lower().rpartition(".")[2]
                if holder in ("environ", "env", "config", "secrets") and _VARIABLE.match(_text(part.slice)):
                    found.append(_text(part.slice))
            elif isinstance(part, ast.Compare):
                found += [_text(part.left)] if _text(part.left) and _is_environ(part.comparators[0]) else []
            elif isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load) and part.id not in seen:
                seen.add(part.id)
                for expression in self._behind(part.id):
                    found += self.variables(expression, seen)
        return list(dict.fromkeys(found))

    def _behind(self, name: str) -> list[ast.AST]:
        """Everything that a name may stand for, with the conditions."""
        bindings = self.bindings.get(name, [])
        if all(binding.how == "call" for binding in bindings):
            # An imported module, such as os: what its functions were called with is not in it.
            bindings = []
        nodes: list[ast.AST] = [node for binding in bindings for node in (binding.node, *binding.tests)]
        return nodes + ([self.functions[name]] if name in self.functions else [])

    @staticmethod
    def _called_variables(call: ast.Call) -> list[str]:
        function = _dotted(call.func)
        last = function.rpartition(".")[2]
        named = [one.value for one in call.keywords if one.arg in ("env", "var", "name", "key", "environ_name")]
        names = [_text(argument) for argument in [*call.args[:1], *named] if _VARIABLE.match(_text(argument))]
        if names and last and last not in _NO_READERS and not function.startswith("globals"):
            return names
        return ["DATABASE_URL"] if function in _DATABASE_URL_CALLS else []

    def random(self, node: ast.AST, seen: set[str] | None = None) -> bool:
        """Whether an expression makes something random, through the names and functions it uses."""
        seen = set() if seen is None else seen
        for part in ast.walk(node):
            if isinstance(part, (ast.Name, ast.Attribute)) and _dotted(part).rpartition(".")[2] in _RANDOM_CALLS:
                return True
            if isinstance(part, ast.Name) and part.id not in seen:
                seen.add(part.id)
                if any(self.random(one, seen) for one in self._behind(part.id)):
                    return True
        return False

    def fixed(self, node: ast.expr, seen: frozenset[str] = frozenset()) -> bool:
        """Whether an expression depends on nothing but its own text and the place of its file."""
        if isinstance(node, ast.Constant):
            return True
        if isinstance(node, ast.Name):
            if node.id in ("__file__", "__name__"):
                return True
            bindings = self.bindings.get(node.id, [])
            plain = bindings and node.id not in seen and all(one.how == "plain" and not one.tests for one in bindings)
            return bool(plain) and self.fixed(bindings[-1].node, seen | {node.id})
        if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
            return all(self.fixed(element, seen) for element in node.elts)
        if isinstance(node, ast.Dict):
            return all(part is not None and self.fixed(part, seen) for part in [*node.keys, *node.values])
        if isinstance(node, ast.BinOp):
            return self.fixed(node.left, seen) and self.fixed(node.right, seen)
        if isinstance(node, ast.UnaryOp):
            return self.fixed(node.operand, seen)
        if isinstance(node, ast.Starred):
            return self.fixed(node.value, seen)
        if isinstance(node, ast.JoinedStr):
            return all(self.fixed(part.value, seen) for part in node.values if isinstance(part, ast.FormattedValue))
        if isinstance(node, (ast.Attribute, ast.Subscript)):
            if isinstance(node, ast.Attribute) and node.attr in ("sep", "pardir", "curdir"):
                return True
            return self.fixed(node.value, seen)
        if isinstance(node, ast.Call):
            arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
            if not all(self.fixed(argument, seen) for argument in arguments):
                return False
            if isinstance(node.func, ast.Name) and node.func.id in self.bindings:
                return self.fixed(node.func, seen)
            if _is_name(node.func) and _dotted(node.func) in _FIXED_CALLS:
                return _dotted(node.func) not in self.functions
            method = isinstance(node.func, ast.Attribute) and node.func.attr in _FIXED_METHODS
            return method and self.fixed(node.func, seen)
        return False

    def near(self, bindings: Sequence[_Binding]) -> list[str]:
        """Variables that were looked up while these statements ran: the truth where a text reads through helpers."""
        spans = [(one.source.path, one.line, one.end) for one in bindings]
        for one in bindings:
            located = [test for test in one.tests if hasattr(test, "lineno")]
            spans += [(one.source.path, test.lineno, test.end_lineno or test.lineno) for test in located]
        return [
            read["name"]
            for read in self.reads
            if any(read["path"] == path and first <= read["line"] <= last for path, first, last in spans)
        ]

    def setting(self, name: str) -> Setting:
        """The answer for one name."""
        bindings = self.bindings.get(name, [])
        if not bindings:
            return Setting(name)
        firm = [index for index, one in enumerate(bindings) if one.how == "plain" and not one.tests]
        deciding = bindings[firm[-1] :] if firm else bindings
        first, changes = deciding[0], deciding[1:]
        # DATABASES["default"]["ATOMIC_REQUESTS"] = True leaves the rest as written down.
        untouched = all(one.how == "item" and not one.tests and self.fixed(one.node) for one in changes)
        if firm and untouched and self.fixed(first.node):
            try:
                kind, value = "literal", ast.literal_eval(first.node)
            except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                kind, value = "default", None
            return Setting(name, kind, first.source.module, first.source.path, first.line, value)
        nodes: list[ast.expr] = [node for one in deciding for node in (one.node, *one.tests)]
        variables = [*self.near(deciding), *(variable for node in nodes for variable in self.variables(node))]
        last = deciding[-1]
        return Setting(
            name,
            "computed",
            last.source.module,
            last.source.path,
            last.line,
            variables=tuple(dict.fromkeys(variables)),
            keys=self._database_keys(nodes) if name == "DATABASES" else {},
            random=any(self.random(node) for node in nodes),
            off=next((off for node in nodes if (off := _off(node))), "False"),
        )

    def _database_keys(self, nodes: Sequence[ast.expr]) -> dict[str, tuple[str, ...]]:
        """Which variable decides each key of a database dictionary, first the one to set."""
        found = self._keys(nodes)
        first = [variables[0] for variables in found.values()]
        if len(set(first)) == len(first):
            return found
        # All keys come out of one object that has read everything, so only the variables' names can tell.
        named = [(read["name"], read["name"].split("_")) for read in self.reads]
        return {
            key: (name,)
            for key, words in _KEY_WORDS.items()
            for name, parts in named
            if parts[-1] in words and _DATABASE_WORDS & set(parts[:-1])
        }

    def _keys(self, nodes: Iterable[ast.expr], seen: frozenset[str] = frozenset()) -> dict[str, tuple[str, ...]]:
        """Which variables each key of a database dictionary reads."""
        found: dict[str, tuple[str, ...]] = {}
        for part in (part for node in nodes for part in ast.walk(node)):
            if isinstance(part, ast.Dict):
                for key, value in zip(part.keys, part.values, strict=True):
                    words = _KEY_WORDS.get(_text(key))
                    read = self.variables(value) if words else []
                    if words and read:
                        # The one that is called like the key, before those of a condition.
                        read.sort(key=lambda name: name.split("_")[-1] not in words)
                        found.setdefault(_text(key), tuple(read))
            elif isinstance(part, ast.Name) and part.id not in seen:
                inner = [binding.node for binding in self.bindings.get(part.id, [])]
                for name, variables in self._keys(inner, seen | {part.id}).items():
                    found.setdefault(name, variables)
        return found

    def in_class(self, name: str, configuration: str) -> Setting:
        """The answer where django-configurations keeps settings in classes.

        Always computed: what stands in a class is not replaced, because its subclasses would not follow.
        """
        by_name = {node.name: (node, source) for node, source in self.classes}
        wanted = [configuration]
        while wanted:
            node, source = by_name.get(wanted.pop(0), (None, None))
            if node is None or source is None:
                continue
            wanted += [_dotted(base) for base in node.bases]
            for statement in node.body:
                value: ast.AST = statement
                named = getattr(statement, "name", "")
                if isinstance(statement, ast.Assign):
                    value, named = statement.value, _dotted(statement.targets[0])
                if named == name:
                    variables = self.variables(value) or self._of_value(name, value)
                    place = (source.module, source.path, statement.lineno)
                    return Setting(name, "computed", *place, variables=tuple(variables), random=self.random(value))
        return Setting(name)

    @staticmethod
    def _of_value(name: str, value: ast.AST) -> list[str]:
        """The variable that a ``values.…Value()`` of django-configurations reads when it names none."""
        function = _dotted(value.func) if isinstance(value, ast.Call) else ""
        if function.endswith("DatabaseURLValue"):
            return ["DATABASE_URL"]
        return [f"DJANGO_{name}"] if function.endswith("Value") else []


def classify(
    module: str, sources: Iterable[Source], reads: Sequence[Mapping[str, t.Any]] = (), configuration: str = ""
) -> dict[str, Setting]:
    """Where each of :data:`NAMES` gets its value from.

    :param module: the settings module.
    :param sources: the project's modules that were loaded with it; what is missing here is not followed.
    :param reads: the probe's look-ups of environment variables: ``{name, set, path, line}``.
    :param configuration: the class of django-configurations, where the project uses it.
    """
    chain = _Chain({source.module: source for source in sources}, reads)
    chain.follow(module)
    if configuration:
        return {name: chain.in_class(name, configuration) for name in NAMES}
    return {name: chain.setting(name) for name in NAMES}


def demanded_variables(text: str) -> list[str]:
    """Variables that a settings file cannot do without, as far as its plain statements show.

    ``os.environ["NAME"]``, and ``env("NAME")`` or ``config("NAME")`` and the like without a default.
    """
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return []
    plain = [node for node in tree.body if isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr))]
    found: list[str] = []
    for part in (part for node in plain for part in ast.walk(node)):
        name = ""
        if isinstance(part, ast.Subscript) and isinstance(part.ctx, ast.Load) and _is_environ(part.value):
            name = _text(part.slice)
        elif isinstance(part, ast.Call) and len(part.args) == 1 and not part.keywords:
            reader, _dot, method = _dotted(part.func).lower().partition(".")
            if reader in ("env", "config") and method not in ("get", "setdefault"):
                name = _text(part.args[0])
        if _VARIABLE.match(name):
            found.append(name)
    return list(dict.fromkeys(found))


def star_imports(module: str, sources: Iterable[Source]) -> list[str]:
    """Modules whose names a settings module takes over by ``import *``, itself not included."""
    by_name = {source.module: source for source in sources}
    found: list[str] = []
    wanted = [module]
    while wanted:
        source = by_name.get(wanted.pop())
        if source is None:
            continue
        try:
            tree = ast.parse(source.text)
        except SyntaxError:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
                name = _imported(node, source)
                if name in by_name and name not in found and name != module:
                    found.append(name)
                    wanted.append(name)
    return found
