"""What is changed: steps left out, filters loosened, locks not taken, borders moved, states exchanged.

Each operator looks at one node and yields changes. Those that would only end in an error at once (a name that is
not known any more, a keyword that is required) are not made: they tell nothing about tests.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TypeAlias

from tests.mutants.mutant import Change, Text

#: Keywords without which a call of this name is still a call
Optional: TypeAlias = Mapping[str, frozenset[str]]

#: Calls of the ORM each of whose keywords can be left out
_QUERIES = frozenset({"filter", "exclude", "update"})
#: Calls that can be left out of a chain
_CHAINED = frozenset({"select_for_update", "order_by", "exclude", "filter", "distinct", "lower", "casefold", "strip"})
_BLOCKS = {
    "transaction.atomic()": "if True:",
    "editing()": "with __import__('contextlib').nullcontext(__import__('django').utils.timezone.now()) as now:",
}
_COMPARED: Mapping[type[ast.cmpop], str] = {
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Is: "is not",
    ast.IsNot: "is",
    ast.In: "not in",
    ast.NotIn: "in",
}
#: A state, and one that would mean a lost, doubled or stuck run in its place
_STATES = {
    "PLANNED": "QUEUED",
    "QUEUED": "PLANNED",
    "CLAIMED": "QUEUED",
    "RETRYING": "WAITING",
    "WAITING": "RETRYING",
    "UNSURE": "RETRYING",
    "STARTED": "UNSURE",
    "SUCCEEDED": "FAILED",
    "FAILED": "ABORTED",
    "ABORTED": "FAILED",
    "SKIPPED": "REFUSED",
    "REFUSED": "UNREACHABLE",
    "UNREACHABLE": "REFUSED",
    "UNKNOWN": "UNREACHABLE",
    "SCHEDULED": "MANUAL",
    "CATCH_UP": "SCHEDULED",
    "REPEATED": "SCHEDULED",
    "MANUAL": "SCHEDULED",
    "ONCE": "ALL",
    "ALL": "ONCE",
    "SKIP": "QUEUE",
    "QUEUE": "SKIP",
    "ALLOW": "SKIP",
}
#: Keywords that say in which shape something is wanted
_PLAIN = ("flat", "strict", "compare", "default", "frozen", "slots", "kw_only")
_SQL = (
    r" ON CONFLICT DO NOTHING",
    r" FOR UPDATE",
    r" ORDER BY \w+",
    r"\bAND [^\n]+",
    r" OR \w+ > %s",
    r", renewals = renewals \+ 1",
)


def drop_step(node: ast.AST, text: Text, optional: Optional) -> Iterator[Change]:
    """Leave out a statement that only has an effect: a call, a value that is set on something."""
    is_call = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call | ast.Await)
    is_set = isinstance(node, ast.Assign) and all(isinstance(t, ast.Attribute | ast.Subscript) for t in node.targets)
    is_leap = isinstance(node, ast.Continue | ast.Break | ast.Raise) or (
        isinstance(node, ast.Return) and node.value is None
    )
    if (is_call and not _is_log(node)) or is_set or isinstance(node, ast.AugAssign | ast.Delete) or is_leap:
        yield text.replace("leave out", node, "pass")


def drop_keyword(node: ast.AST, text: Text, optional: Optional) -> Iterator[Change]:
    """Leave out a keyword that a call can do without: of a filter, or one that has a default."""
    if not isinstance(node, ast.Call):
        return
    name = _name_of(node.func)
    for part in (*node.args, *node.keywords):
        keyword = part.arg if isinstance(part, ast.keyword) else None
        is_query = name in _QUERIES and isinstance(node.func, ast.Attribute) and not isinstance(part, ast.Starred)
        if is_query or (keyword and keyword in optional.get(name, ())):
            start, end = _with_comma(part, text)
            yield Change("without", start, end, "", f"{text.of(part)} of {name}")


def drop_link(node: ast.AST, text: Text, optional: Optional) -> Iterator[Change]:
    """Leave out a link of a chain: a lock, an order, a filter."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _CHAINED:
        before = text.span(node.func.value)[1]
        shown = text.source[before : text.span(node)[1]].decode()
        yield Change("without", before, text.span(node)[1], "", " ".join(shown.split()))


def drop_block(node: ast.AST, text: Text, optional: Optional) -> Iterator[Change]:
    """Do without a transaction, or the lock of an edit."""
    if not isinstance(node, ast.With):
        return
    begin = text.span(node)[0]
    header = text.source[begin : text.span(node.body[0])[0]].decode()
    for block, instead in _BLOCKS.items():
        if block in header:
            end = begin + len(header[: header.index(":\n") + 1].encode())
            yield Change("without", begin, end, instead, block)


def negate(node: ast.AST, text: Text, optional: Optional) -> Iterator[Change]:
    """Turn a condition round."""
    tests = [node.test] if isinstance(node, ast.If | ast.IfExp | ast.While) else []
    if isinstance(node, ast.comprehension):
        tests = [test for test in node.ifs if not _assigns(test)]
    for test in tests:
        if not _assigns(test):
            yield text.replace("turn round", test, f"(not ({text.of(test)}))", shown=text.of(test))


def move_border(node: ast.AST, text: Text, optional: Optional) -> Iterator[Change]:
    """Let a comparison count its border, or not."""
    if not isinstance(node, ast.Compare) or "monotonic()" in text.of(node):
        # No clock stands still on a border
        return
    for operation, (left, right) in zip(node.ops, pairwise([node.left, *node.comparators]), strict=True):
        start, end = text.span(left)[1], text.span(right)[0]
        between = text.source[start:end].decode()
        if between.strip(" ()\n") and (new := _COMPARED.get(type(operation))):
            old = re.search(r"not in|is not|[<>=!]+|in|is", between)
            if old:
                changed = f"{between[: old.start()]}{new}{between[old.end() :]}"
                yield Change("compare", start, end, changed, f"{text.of(node)} by {new}")


def move_number(node: ast.AST, text: Text, optional: Optional) -> Iterator[Change]:
    """Add one to a number within a function."""
    if isinstance(node, ast.Constant) and type(node.value) is int:
        yield text.replace("number", node, str(node.value + 1))


def swap_operation(node: ast.AST, text: Text, optional: Optional) -> Iterator[Change]:
    """Take and for or, plus for minus, the least for the greatest; or leave out one side."""
    if isinstance(node, ast.BoolOp):
        word, other = (" and ", " or ") if isinstance(node.op, ast.And) else (" or ", " and ")
        parts = [f"({text.of(value)})" for value in node.values]
        if not any(_assigns(value) for value in node.values):
            yield text.replace("swap", node, f"({other.join(parts)})", shown=f"{text.of(node)} with{other.rstrip()}")
            for place, left_out in enumerate(node.values):
                rest = [part for number, part in enumerate(parts) if number != place]
                yield text.replace("without", node, f"({word.join(rest)})", shown=f"{text.of(left_out)} in a condition")
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub | ast.BitOr | ast.BitAnd):
        pairs = {ast.Add: "-", ast.Sub: "+", ast.BitOr: "&", ast.BitAnd: "|"}
        new = f"{text.of(node.left)} {pairs[type(node.op)]} {text.of(node.right)}"
        yield text.replace("swap", node, f"({new})")
    if isinstance(node, ast.Name) and node.id in ("min", "max"):
        yield text.replace("swap", node, "max" if node.id == "min" else "min")


def drop_element(node: ast.AST, text: Text, optional: Optional) -> Iterator[Change]:
    """Leave one of several states, columns or texts out of a list of them."""
    if not isinstance(node, ast.Tuple | ast.List | ast.Set) or len(node.elts) < 2:
        return
    for element in node.elts:
        if isinstance(element, ast.Attribute) or (isinstance(element, ast.Constant) and isinstance(element.value, str)):
            start, end = _with_comma(element, text)
            yield Change("without", start, end, "", f"{text.of(element)} in a list")


def drop_handling(node: ast.AST, text: Text, optional: Optional) -> Iterator[Change]:
    """Let an error pass that is handled, or handle one that is let pass."""
    if isinstance(node, ast.ExceptHandler):
        start, end = text.span(node.body[0])[0], text.span(node.body[-1])[1]
        is_raised = isinstance(node.body[0], ast.Raise)
        caught = text.of(node.type) if node.type else ""
        yield Change("handle", start, end, "pass" if is_raised else "raise", f"except {caught}: ...")


def change_state(node: ast.AST, text: Text, optional: Optional) -> Iterator[Change]:
    """Take another state, reason or policy."""
    owners = ("State", "Reason", "Misfire", "Overlap")
    if isinstance(node, ast.Attribute) and node.attr in _STATES and _name_of(node.value) in owners:
        yield text.replace("state", node, f"{text.of(node.value)}.{_STATES[node.attr]}")


def change_answer(node: ast.AST, text: Text, optional: Optional) -> Iterator[Change]:
    """Answer yes for no, or do nothing at all where nothing is answered."""
    is_named = isinstance(node, ast.keyword) and node.arg not in _PLAIN
    if (is_named or isinstance(node, ast.Return | ast.Assign)) and type(_value_of(node)) is bool:
        yield text.replace("answer", node.value, str(not _value_of(node)), shown=f"{text.of(node)} turned round")
    if isinstance(node, ast.FunctionDef) and not _answers(node) and len(node.body) > 1:
        first = node.body[1 if ast.get_docstring(node) else 0]
        start = text.span(first)[0]
        yield Change("leave out", start, start, "return\n" + " " * first.col_offset, "all of it")


def loosen_sql(node: ast.AST, text: Text, optional: Optional) -> Iterator[Change]:
    """Leave a condition, an order or a lock out of SQL that is written out."""
    if not isinstance(node, ast.JoinedStr) or not re.search(r"\b(UPDATE|SELECT|INSERT)\b", text.of(node)):
        return
    begin, whole = text.span(node)[0], text.of(node)
    for pattern in _SQL:
        for match in re.finditer(pattern, whole):
            # A subquery ends with the bracket that it began before
            part = match[0].rstrip('"').rstrip()
            while part.count(")") > part.count("("):
                part = part[: part.rindex(")")]
            start = begin + len(whole[: match.start()].encode())
            yield Change("without", start, start + len(part.encode()), "", part.strip())


Operator: TypeAlias = Callable[[ast.AST, Text, Optional], Iterator[Change]]

OPERATORS: Sequence[Operator] = (
    drop_step,
    drop_keyword,
    drop_link,
    drop_block,
    negate,
    move_border,
    move_number,
    swap_operation,
    drop_element,
    drop_handling,
    change_state,
    change_answer,
    loosen_sql,
)


def _name_of(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _value_of(node: ast.AST) -> object:
    return getattr(getattr(node, "value", None), "value", None)


def _is_log(node: ast.AST) -> bool:
    """Return whether a statement is a line of the log: what is said there is tested where it matters."""
    call = getattr(node, "value", None)
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and _name_of(call.func.value) == "logger"


def _assigns(test: ast.AST) -> bool:
    """Return whether names come from a condition that other code needs."""
    return any(isinstance(part, ast.NamedExpr) for part in ast.walk(test))


def _answers(function: ast.FunctionDef) -> bool:
    parts = list(ast.walk(function))
    return any(
        isinstance(part, ast.Yield | ast.YieldFrom) or (isinstance(part, ast.Return) and part.value) for part in parts
    )


def _with_comma(node: ast.AST, text: Text) -> tuple[int, int]:
    """Return the span of one of several with the comma that follows, or else the one before it."""
    start, end = text.span(node)
    after = re.match(rb"\s*,\s*", text.source[end:])
    if after:
        return start, end + after.end()
    before = re.search(rb",\s*$", text.source[:start])
    return (before.start() if before else start), end
