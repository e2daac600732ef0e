"""A mutant: one change of a module's text, with a name that outlives other changes of the module."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

LONGEST_SHOWN = 70
_LEFT_OUT = re.compile(
    r"\.select_for_update\(\)|\.order_by\(\"pk\"\)|transaction\.atomic\(\)|editing\(\)|FOR UPDATE|ON CONFLICT .*"
)
_LOCKS = re.compile(r"select_for_update|order_by|atomic|editing|vendor|FOR UPDATE|CONFLICT|sorted|lock|key=|renew")


@dataclass(frozen=True, slots=True)
class Change:
    """Put `new` in the place of the text from `start` to `end`, as offsets in the UTF-8 of a module."""

    kind: str
    start: int
    end: int
    new: str
    #: What is shown of it where the change itself says too little
    shown: str = ""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A change of a module, in a function or class of it by its dotted name."""

    module: str
    place: str
    line: int
    change: Change
    old: str
    # Of several that look the same in one place
    number: int = 1

    @property
    def name(self) -> str:
        """What it is called in reports and in the file of reasons; no line number is part of it."""
        shown = self.change.shown or f"{_shorten(self.old)} -> {_shorten(self.change.new) or 'nothing'}"
        more = f" #{self.number}" if self.number > 1 else ""
        return f"{self.module} {self.place}: {self.change.kind}: {shown}{more}"

    @property
    def concerns_locks(self) -> bool:
        """Whether it may matter which database it is."""
        return bool(_LOCKS.search(f"{self.old} {self.change.new} {self.change.shown}"))

    @property
    def is_of_lock(self) -> bool:
        """Whether a lock, an order of locks or a transaction is left out: what goes wrong then is a race."""
        return self.change.kind == "without" and bool(_LEFT_OUT.fullmatch(self.change.shown))

    def apply(self, source: bytes) -> bytes:
        """Return the module's text with the change."""
        return source[: self.change.start] + self.change.new.encode() + source[self.change.end :]


class Text:
    """A module's text, in which the offsets of nodes can be found."""

    def __init__(self, source: bytes) -> None:
        self.source = source
        self.tree = ast.parse(source)
        lines = source.splitlines(keepends=True)
        self._begins = [sum(map(len, lines[:number])) for number in range(len(lines) + 1)]

    def span(self, node: ast.AST) -> tuple[int, int]:
        """Return where the node's text begins and ends."""
        return (
            self._begins[node.lineno - 1] + node.col_offset,  # type: ignore[attr-defined]
            self._begins[node.end_lineno - 1] + node.end_col_offset,  # type: ignore[attr-defined]
        )

    def of(self, node: ast.AST) -> str:
        """Return the node's text."""
        start, end = self.span(node)
        return self.source[start:end].decode()

    def replace(self, kind: str, node: ast.AST, new: str, *, shown: str = "") -> Change:
        """Return the change that puts something in the place of a node."""
        return Change(kind, *self.span(node), new, shown)


def name_mutants(module: str, text: Text, found: Iterable[tuple[str, int, Change]]) -> Iterator[Mutant]:
    """Yield mutants of changes with their places and lines; leaves out what is no Python any more."""
    counts: Counter[str] = Counter()
    for place, line, change in found:
        mutant = Mutant(module, place, line, change, text.source[change.start : change.end].decode())
        if not _is_python(mutant.apply(text.source)):
            continue
        counts[mutant.name] += 1
        yield replace(mutant, number=counts[mutant.name])


def _is_python(source: bytes) -> bool:
    try:
        compile(source, "mutant", "exec")
    except SyntaxError:
        return False
    return True


def _shorten(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_SHOWN else f"{line[: LONGEST_SHOWN - 3]}..."
