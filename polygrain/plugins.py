"""Plug-ins: features, sources and networks in the user's own files, beside ours in the registries.

A plug-in is one file of Python. Its text is all that is known of it: the text is hashed into what depends on it, kept
in the run folder and sent to worker processes, so that a file that changes meanwhile changes nothing.
"""

from __future__ import annotations

import ast
import hashlib
import linecache
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from polygrain.errors import ConfigError, PolygrainError
from polygrain.spec import Spec

KEY = "plugins"
_MODULE = "polygrain_plugin_"
_OURS = __name__.partition(".")[0]
_NAME = re.compile(r"[A-Za-z0-9_]+")

Plug = TypeVar("Plug")
Kind = TypeVar("Kind", bound=Spec)


class Plugin(Spec):
    """A plug-in: its file's name and text."""

    name: str
    text: str

    @cached_property
    def sha256(self) -> str:
        """sha256 (hex) of the text in UTF-8."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def module(self) -> str:
        """The name of the module that the text is run as: polygrain_plugin_ and 12 digits of its hash."""
        return _MODULE + self.sha256[:12]

    @property
    def place(self) -> str:
        """Where a run folder keeps the text: plugins/NAME."""
        return f"plugins/{self.name}"

    @property
    def _filename(self) -> str:
        """What tracebacks call it: the brackets keep it apart from any file on disk, the hash from other texts."""
        return f"<{self.module}/{self.name}>"


class Registry(dict[str, Plug]):
    """Plugs of one sort by name, ours first, then those of the plug-ins in use, each with the plug-in it is from."""

    def __init__(self, sort: str) -> None:
        self.sort = sort
        self._owners: dict[str, str] = {}
        self._origins: dict[str, Plugin] = {}
        _forgetting.append(self.forget)

    def register(self, name: str, plug: Plug, code: Callable[..., object]) -> None:
        """Add a plug, whose function or class is `code`; ConfigError names both owners where the name is taken."""
        if not _NAME.fullmatch(name):
            raise ConfigError(f"{self.sort} {name}", "is part of file names; use letters, digits and _ only")
        # A plug-in may be the first to import a module of ours, whose plugs are not the plug-in's.
        ours = code.__module__.partition(".")[0] == _OURS
        origin = None if ours or not _running else _running[-1].plugin
        owner = f"{code.__module__}.{code.__qualname__}" if origin is None else origin.name
        if name in self:
            both = f"{self._owners[name]} and {owner}"
            raise ConfigError(f"{self.sort} {name}", f"is registered by {both}; rename one")
        self[name] = plug
        self._owners[name] = owner
        if origin is not None:
            self._origins[name] = origin
            _running[-1].again.append(lambda: self.register(name, plug, code))

    def hashes(self, names: Iterable[str]) -> dict[str, str]:
        """sha256 of the plug-in's text by name, of those among `names` that are from plug-ins."""
        return {name: self._origins[name].sha256 for name in names if name in self._origins}

    def forget(self) -> None:
        """Drop what is from plug-ins."""
        for name in self._origins:
            del self[name], self._owners[name]
        self._origins.clear()


def register_kind(registry: Registry[type[Kind]], kind: type[Kind]) -> type[Kind]:
    """Register a Spec by the default of its `kind`; ConfigError where it has none or the name is taken."""
    name = kind.model_fields["kind"].default
    if not isinstance(name, str) or not name:
        sort = registry.sort.removesuffix(" kind")
        raise ConfigError(f"{sort} {kind.__name__}", 'has no kind; give it one: kind: Literal["mine"] = "mine"')
    registry.register(name, kind, kind)
    return kind


class _Run:
    """A plug-in whose text is being run or has been: how to register its plugs again."""

    def __init__(self, plugin: Plugin) -> None:
        self.plugin = plugin
        self.again: list[Callable[[], None]] = []


_forgetting: list[Callable[[], None]] = []
_runs: dict[str, _Run] = {}
_running: list[_Run] = []


def read(paths: object, folder: Path) -> tuple[Plugin, ...]:
    """The plug-ins at these paths, relative ones counted from `folder`; ConfigError for what is not a file of Python.

    Their text is not run.
    """
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise ConfigError(KEY, 'must be a list of paths of Python files, such as ["my_features.py"]')
    plugins = tuple(_read(path, folder / path) for path in paths)
    names = [plugin.name for plugin in plugins]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(KEY, f"two files are called {name}; name each one once, and rename one of two")
    return plugins


def _read(named: str, path: Path) -> Plugin:
    if "$" in named:
        raise ConfigError(KEY, f"{named!r} names a variable; write the path itself")
    if path.suffix != ".py":
        raise ConfigError(KEY, f"{named}: is not a file of Python; its name must end in .py")
    try:
        # -sig: some editors put a byte order mark first.
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(KEY, f"{named}: there is no file at {path}; paths count from the configuration") from None
    except UnicodeDecodeError:
        raise ConfigError(KEY, f"{named}: is not UTF-8 text; save it as UTF-8") from None
    except OSError as error:
        raise ConfigError(KEY, f"{named}: cannot be read: {error.strerror}; give the path of a file") from None
    for name in _imported(text):
        if (path.parent / f"{name}.py").is_file():
            raise ConfigError(
                KEY,
                f"{named}: imports {name}.py, the file beside it, whose changes would go unnoticed; put both into one "
                "file, or install what it imports",
            )
    return Plugin(name=path.name, text=text)


def _imported(text: str) -> list[str]:
    """The first names of the modules that the text imports; none where it is not valid, which `use` says better."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return []
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name.partition(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.append(node.module.partition(".")[0])
    return names


def use(plugins: Sequence[Plugin]) -> None:
    """Make the plugs of exactly these plug-ins available in this process, beside ours; a text is run only once.

    To be called before anything that names them is decoded or computed. ConfigError at `plugins` with file and line
    where a text cannot be run or takes a name that is taken; then only ours are there.
    """
    _forget_all()
    try:
        for plugin in plugins:
            _join(plugin)
    except BaseException:
        _forget_all()
        raise


def _forget_all() -> None:
    for forget in _forgetting:
        forget()


def _join(plugin: Plugin) -> None:
    """Register the plug-in's plugs, by running its text where that has not been done; ConfigError where that fails."""
    run = _Run(plugin)
    _running.append(run)
    try:
        if plugin.sha256 in _runs:
            for register in _runs[plugin.sha256].again:
                register()
        else:
            _execute(plugin)
    except (Exception, SystemExit) as error:
        where = _place(error) or plugin.name
        if isinstance(error, SyntaxError) and where == plugin.name:
            where, reason = f"{where}:{error.lineno or 1}", f"is not valid Python: {error.msg}"
        else:
            reason = _told(error)
        raise ConfigError(KEY, f"{where}: {reason}") from error
    finally:
        _running.pop()
    _runs[plugin.sha256] = run


def _execute(plugin: Plugin) -> None:
    """Run the text as a module of its own, which other code can import from then on."""
    code = compile(plugin.text, plugin._filename, "exec", dont_inherit=True)
    module = ModuleType(plugin.module)
    # Before it is run: the annotations of its classes are looked up there.
    sys.modules[plugin.module] = module
    # Tracebacks show its lines, in processes that never see the file too.
    lines = plugin.text.splitlines(keepends=True)
    linecache.cache[plugin._filename] = (len(plugin.text), None, lines, plugin._filename)
    try:
        exec(code, module.__dict__)  # noqa: S102  (the user's own code, named in the user's own configuration)
    except BaseException:
        del sys.modules[plugin.module]
        raise


@contextmanager
def blaming() -> Iterator[None]:
    """Turn an error inside a plug-in's code into a ConfigError with its file and line; other errors pass through."""
    try:
        yield
    except Exception as error:
        place = None if isinstance(error, PolygrainError) else _place(error)
        if place is None:
            raise
        raise ConfigError(KEY, f"{place}: {_told(error)}") from error


def _told(error: BaseException) -> str:
    """An error in one line; what refuses speaks for itself."""
    return str(error) if isinstance(error, PolygrainError) else " ".join(f"{type(error).__name__}: {error}".split())


def _place(error: BaseException) -> str | None:
    """FILE:LINE of the innermost code of a plug-in that the error came through."""
    # Not the name in its code object, which is the first of all the files that had this text.
    names = {run.plugin.module: run.plugin.name for run in (*_runs.values(), *_running)}
    places = [
        f"{names[module]}:{line}"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if (module := frame.f_globals.get("__name__")) in names
    ]
    return places[-1] if places else None
