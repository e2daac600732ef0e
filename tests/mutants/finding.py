"""All mutants of a module, and a fair choice of them."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain, zip_longest
from pathlib import Path

from tests.mutants.mutant import Change, Mutant, Text, name_mutants
from tests.mutants.operators import OPERATORS, Optional, move_number

#: The kinds that nobody sees when he reads the code
_WORST = ("leave out", "without")
ROOT = Path(__file__).parents[2]


def find_mutants(module: str) -> list[Mutant]:
    """Return all mutants of a module, named by its path, in the order of its text."""
    text = Text((ROOT / module).read_bytes())
    return list(name_mutants(module, text, _find_changes(text)))


def choose(found: Mapping[str, Sequence[Mutant]], *, number: int, seed: int) -> dict[str, list[Mutant]]:
    """Return so many of the mutants found in modules: of a large module more, and of each kind as many.

    Those of locks are left out, for each of them is tried in any case.
    """
    others = {module: [mutant for mutant in mutants if not mutant.is_of_lock] for module, mutants in found.items()}
    # By the root, so that a small module is not lost beside a large one
    weights = {module: len(mutants) ** 0.5 for module, mutants in others.items()}
    each = number / max(sum(weights.values()), 1)
    return {
        module: choose_fairly(mutants, number=max(round(weights[module] * each), 1), seed=f"{seed} {module}")
        for module, mutants in others.items()
    }


def choose_fairly(mutants: Sequence[Mutant], *, number: int, seed: str) -> list[Mutant]:
    """Return so many of the mutants, of each kind as many, in the order of their lines."""
    shuffled = list(mutants)
    random.Random(seed).shuffle(shuffled)
    kinds: dict[str, list[Mutant]] = {}
    for mutant in shuffled:
        kinds.setdefault(mutant.change.kind, []).append(mutant)
    ways = [way for kind in sorted(kinds) for way in _split(kinds[kind], kind=kind)]
    in_turn = chain.from_iterable(zip_longest(*ways))
    chosen = [mutant for mutant in in_turn if mutant is not None][:number]
    return sorted(chosen, key=lambda mutant: (mutant.line, mutant.name))


def _split(mutants: Sequence[Mutant], *, kind: str) -> list[Sequence[Mutant]]:
    """Return the mutants of a kind in as many parts as they are to have turns."""
    turns = 2 if kind in _WORST else 1
    return [mutants[number::turns] for number in range(turns)]


def _find_changes(text: Text) -> Iterator[tuple[str, int, Change]]:
    optional = _optional_keywords()
    for place, node in _walk(text.tree, ()):
        for operator in OPERATORS:
            if operator is move_number and not place:
                # The numbers at the head of a module are limits that somebody has chosen
                continue
            for change in operator(node, text, optional):
                yield ".".join(place) or "module", getattr(node, "lineno", 0), change


def _walk(node: ast.AST, place: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], ast.AST]]:
    """Yield the nodes that say something at run time, with the names of the functions and classes around them."""
    for child in _list_children(node):
        if _says_nothing(child):
            continue
        named = isinstance(child, ast.FunctionDef | ast.ClassDef)
        inside = (*place, child.name) if named else place
        yield inside, child
        yield from _walk(child, inside)


def _list_children(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the parts of a node, but for types and decorators."""
    for name, part in ast.iter_fields(node):
        if name not in ("annotation", "returns", "decorator_list"):
            yield from (item for item in (part if isinstance(part, list) else [part]) if isinstance(item, ast.AST))


def _says_nothing(node: ast.AST) -> bool:
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    is_typing = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    is_log = isinstance(node, ast.Expr) and ast.unparse(node).startswith("logger.")
    is_line = isinstance(node, ast.FunctionDef) and node.name.startswith("_log")
    is_all = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    return (
        is_text
        or is_typing
        or is_log
        or is_line
        or is_all
        or isinstance(node, ast.Import | ast.ImportFrom | ast.arguments)
    )


@cache
def _optional_keywords() -> Optional:
    """Return what functions, data classes and models of the project can do without, by their names."""
    found: dict[str, set[str]] = {"sorted": {"key", "reverse"}}
    for file in chain((ROOT / "schedules").glob("*.py"), (ROOT / "qlik").glob("*.py")):
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.FunctionDef):
                found.setdefault(node.name, set()).update(_with_default(node.args))
            elif isinstance(node, ast.ClassDef):
                found.setdefault(node.name, set()).update(_fields_with_default(node))
    return {name: frozenset(keywords) for name, keywords in found.items()}


def _with_default(arguments: ast.arguments) -> Iterator[str]:
    given = zip(reversed(arguments.args), reversed(arguments.defaults), strict=False)
    yield from (argument.arg for argument, _ in given)
    pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    yield from (argument.arg for argument, default in pairs if default)


def _fields_with_default(made: ast.ClassDef) -> Iterable[str]:
    is_model = any(ast.unparse(base) == "models.Model" for base in made.bases)
    for statement in made.body:
        if isinstance(statement, ast.AnnAssign) and statement.value and isinstance(statement.target, ast.Name):
            yield statement.target.id
        if is_model and isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            yield statement.targets[0].id
