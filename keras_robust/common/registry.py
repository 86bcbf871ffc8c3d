"""Things by name: the project's own, those that a program registers, those that packages offer."""

import inspect
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import cache, cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from keras_robust.common.errors import invalid

__all__ = ["VARIABLE", "Registry", "first_sentence", "import_own", "offered"]

VARIABLE = "KERAS_ROBUST_IMPORT"
_NAME = re.compile("[a-z0-9_]+")

T = TypeVar("T")
Thing = TypeVar("Thing")


class Registry(Mapping[str, T]):
    """What is known by name of one kind: losses, networks, selections, noises, layouts or scores.

    Iterating tells every name and imports nothing but what `import_own` does; an entry point of an
    installed package is imported when its thing is asked for. One that fails is left out, with a
    warning that names the package.

    Args:
        kind: What it holds, in the singular.
        group: Of the entry points, such as `"keras_robust.losses"`.
        built_in: The project's, in the order in which they are listed; a text `"module:name"` is
            imported when it is asked for. Nobody can take their names.
        check: Called as `check(name, thing)`; returns what is held, or raises what it refuses.
        reserved: Further names that nobody can take.

    >>> shapes = Registry("shape", "keras_robust.doctest", {"disc": len})
    >>> @shapes.register("square")
    ... def square():
    ...     "All sides are equal."
    >>> list(shapes), shapes.words("square")
    (['disc', 'square'], 'All sides are equal.')
    """

    def __init__(
        self,
        kind: str,
        group: str,
        built_in: Mapping[str, T | str],
        check: Callable[[str, Any], T] = lambda name, thing: thing,
        reserved: tuple[str, ...] = (),
    ):
        self.kind, self.group = kind, group
        self.built_in, self.reserved = dict(built_in), reserved
        self._check = check
        self._own: dict[str, T] = {}
        self._words: dict[str, str] = {}
        self._refused: dict[str, str] = {}

    def register(self, name: str, words: str = "") -> Callable[[Thing], Thing]:
        """A decorator that makes a thing of one's own known by a name.

        Args:
            name: Small letters, digits and `_`; none of the project's. The same name again takes
                the place of what it stood for.
            words: A sentence for menus, tables and reports; by default the first of the docstring.

        Raises:
            ValueError: Another name, or a thing of another kind.
        """
        self.check_name(name)

        def add(thing: Thing) -> Thing:
            self.add(name, thing, words)
            return thing

        return add

    def add(self, name: str, thing: Any, words: str = "") -> None:
        """Make a thing known by a name, see `register`."""
        self.check_name(name)
        self._own[name] = self._check(name, thing)
        self._words[name] = words or first_sentence(thing)

    def __getitem__(self, name: str) -> T:
        if name in self.built_in:
            return self._built(name)
        if name not in self._own:
            import_own()
        if name not in self._own:
            self._load(name)
        return self._own[name]

    def __contains__(self, name: object) -> bool:
        return name in self.built_in or name in self._own or name in tuple(self)

    def __iter__(self) -> Iterator[str]:
        import_own()
        return iter([*self.built_in, *self._others()])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def own(self) -> list[str]:
        """The names that are not the project's."""
        import_own()
        return self._others()

    def each(self, modules: bool = True) -> Iterator[tuple[str, T]]:
        """Names and things, the project's first; what is not reached is not imported.

        Args:
            modules: Whether to import the modules of one's own, see `import_own`.
        """
        for name in tuple(self.built_in):
            yield name, self._built(name)
        for name in self.own() if modules else self._others():
            thing = self.get(name)
            if thing is not None:  # else it cannot be imported
                yield name, thing

    def _others(self) -> list[str]:
        known = dict.fromkeys([*self._own, *self._entries])
        return [name for name in known if name not in self._refused]

    def find(self, name: str, argument: str = "name") -> T:
        """The thing of that name.

        Raises:
            ValueError: There is none; the error lists the names, and how to add one.
        """
        try:
            return self[name]
        except KeyError:
            raise self.unknown(name, argument) from None

    def unknown(self, name: str, argument: str = "name") -> ValueError:
        """The error for a name that is not known."""
        return invalid(argument, f"one of {list(self)}", name, self.remedy(name))

    def remedy(self, *names: str) -> str:
        """Why names are not known, and where a thing of one's own is looked for."""
        refused = [self._refused[name] for name in names if name in self._refused]
        return " ".join(refused) or (
            f"A {self.kind} of your own is registered in a module that the environment variable "
            f"{VARIABLE} names, or by an installed package's entry point in {self.group}."
        )

    def words(self, name: str) -> str:
        """A sentence on the thing of that name; empty where nobody wrote one."""
        thing = self[name]
        return self._words.get(name, "") or first_sentence(thing)

    def _built(self, name: str) -> T:
        thing = self.built_in[name]
        if isinstance(thing, str):
            module, _, attribute = thing.partition(":")
            thing = getattr(import_module(module), attribute)
            self.built_in[name] = thing
        return thing

    def check_name(self, name: str) -> None:
        """Refuse a name that nobody may take.

        Raises:
            ValueError: It is the project's, or has other characters.
        """
        taken = [*self.built_in, *self.reserved]
        if not _NAME.fullmatch(name) or name in taken:
            raise invalid("name", f"small letters, digits and `_`, and none of {taken}", name)

    @cached_property
    def _entries(self) -> dict[str, EntryPoint]:
        found = {}
        for name, entry in offered(self.group).items():
            try:
                self.check_name(name)
                found[name] = entry
            except ValueError as error:
                self._left_out(entry, error)
        return found

    def _load(self, name: str) -> None:
        entry = self._entries.get(name)
        if entry is None or name in self._refused:
            return
        try:
            thing = entry.load()
            if name not in self._own:  # a decorator in the module may have done it
                self.add(name, thing)
        except Exception as error:  # whatever a stranger's module raises
            self._refused[name] = self._left_out(entry, error)

    def _left_out(self, entry: EntryPoint, error: Exception) -> str:
        package = entry.dist.name if entry.dist else "that offers it"
        message = (
            f"The {self.kind} {entry.name!r} of the package {package} ({entry.value}) is left out. "
            f"{type(error).__name__}: {error}. Update or repair the package (pip install --upgrade "
            f"{package}), or remove it (pip uninstall {package})."
        )
        warnings.warn(message, stacklevel=3)
        return message


@cache
def offered(group: str) -> Mapping[str, EntryPoint]:
    """What installed packages offer by entry points of a group, by name; nothing is imported."""
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=group):
        found.setdefault(entry.name, entry)  # of two packages the first on the path, as in imports
    return found


@cache
def import_own() -> None:
    """Import, once, the modules that the environment variable KERAS_ROBUST_IMPORT names.

    So the processes that `benchmark` and `tune` start know what is registered there, too.

    Raises:
        ValueError: There is no such module; commas or spaces separate several.
    """
    for name in os.environ.get(VARIABLE, "").replace(",", " ").split():
        try:
            import_module(name)
        except ModuleNotFoundError as error:
            raise ValueError(
                f"Invalid value for the environment variable {VARIABLE}. Expected modules that "
                f"Python finds. Received: {name!r}: {error}. Name its folder in PYTHONPATH."
            ) from error


def first_sentence(thing: Any) -> str:
    """The first paragraph of the docstring of a class or function, on one line."""
    described = inspect.isclass(thing) or inspect.isroutine(thing)
    text = inspect.cleandoc((thing.__doc__ if described else "") or "")
    return " ".join(text.split("\n\n")[0].split())
