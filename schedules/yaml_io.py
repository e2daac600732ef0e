"""Butler's schedule file: YAML text in, values out, and back. Pure: no database, no files, no clock.

The file has one key, `butlerSchedule`, with a list of schedules. Every value of a schedule is a text, its tags are a
list of texts; what Butler does not know may also be a number, or a list of dates. Anything else that YAML can express
is reported with its line: a number or a date where a text belongs, keys that are there twice, aliases (`*name`),
nested structures.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, cast

import yaml

Value: TypeAlias = str | int | float | list[str]

ROOT = "butlerSchedule"

#: Keys whose values are numbers
NUMBERS = frozenset({"misfireGrace", "maxRuns", "jitter", "retryDeadline", "maxAttempts"})
#: Keys whose values, or items, are dates, which YAML need not take for texts
_DATES = frozenset({"created", "startsAt", "endsAt", "excludedDates", "pausedUntil"})

_STR, _SEQ, _MAP = yaml.resolver.Resolver.DEFAULT_SCALAR_TAG, "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"
_INT, _FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"

# What Butler's YAML library, or one for the older YAML 1.1, makes of a text without quotes
_NO_TEXT = {
    "no value": re.compile(r"|~|null|Null|NULL"),
    "true or false": re.compile(r"true|True|TRUE|false|False|FALSE"),
    "a number": re.compile(
        r"[-+]?(0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"
        r"|(\.[0-9][0-9_]*|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?|\.(inf|Inf|INF))|\.(nan|NaN|NAN)"
    ),
    "a date": re.compile(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
        r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(\.[0-9]*)?"
        r"([ \t]*(Z|[-+][0-9]{1,2}(:[0-9]{2})?))?"
    ),
}

# Texts that mean themselves without quotes to every reader of YAML: they begin with a letter and are no word of
# YAML's own, or they are GUIDs.
_PLAIN = re.compile(
    r"(?!(?:true|false|yes|no|on|off|y|n|null)\Z)[a-z][a-z0-9_./-]*(?: [a-z0-9_./-]+)*"
    r"|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    re.IGNORECASE | re.ASCII,
)

# Numbers that are the same to every reader of YAML and to JSON
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,9})?")

# At most so many digits that the number can be taken as one
_MONTH_NUMBER = re.compile(r"(?<![/0-9])[0-9]{1,9}")


class ScheduleFileError(ValueError):
    """A file is refused; `problems` has a sentence for each reason."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Entry:
    """One schedule of a file: where it stands, its values by Butler's words, and what cannot be a value at all.

    A problem of the entry as a whole stands under an empty key.
    """

    number: int
    line: int
    values: Mapping[str, Value]
    problems: Mapping[str, str] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """Where the entry is, for messages to people."""
        own_id = f", id {self.values['id']!r}" if "id" in self.values else ""
        return f"entry {self.number} (line {self.line}{own_id})"


def read_entries(text: str, *, first_month: int = 1) -> list[Entry]:
    """Return the schedules of the file's text in their order, with what is wrong with each.

    With 0 as `first_month`, the cron texts count months as Butler does, and get numbers that count from 1. Raises
    ScheduleFileError where the text is not YAML, or has no list of schedules.
    """
    entries = [_read_entry(number, node) for number, node in enumerate(_list_nodes(_compose(text)), start=1)]
    first_with: dict[Value, Entry] = {}
    entries = [_refuse_known_id(entry, first_with) for entry in entries]
    return entries if first_month else [_with_months_from_one(entry) for entry in entries]


def write_entries(schedules: Iterable[Mapping[str, Value]]) -> str:
    """Return the text of a file with the given schedules, each in the order of its keys."""
    entries = [_block([(key, _node_of(value)) for key, value in schedule.items()]) for schedule in schedules]
    root = _block([(ROOT, yaml.SequenceNode(_SEQ, entries, flow_style=not entries))])
    text: str = yaml.serialize(root, Dumper=_Dumper, allow_unicode=True, width=float("inf"))
    return text


def months_as_numbers(cron: str) -> list[int]:
    """Return the numbers that the month field of a cron text has, steps apart, in their order."""
    fields = cron.split()
    return [int(number) for number in _MONTH_NUMBER.findall(fields[-2])] if len(fields) in (5, 6) else []


class _Loader(yaml.BaseLoader):
    """Reads the structure and leaves the texts alone.

    It is the parser in Python, for the one in C crashes on deeply nested text.
    """

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            alias = cast("Any", self).peek_event()
            raise yaml.composer.ComposerError(None, None, "found an alias; write the value out", alias.start_mark)
        return super().compose_node(parent, index)

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        node = cast("yaml.ScalarNode", cast("Any", super()).compose_scalar_node(anchor))
        if node.style == '"':
            # JSON, which is YAML too, escapes what is beyond U+FFFF as the two halves that UTF-16 has for it
            node.value = node.value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        return node


class _Dumper(yaml.SafeDumper):
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        # A list within a mapping is not indented by default; Butler's files have it so
        super().increase_indent(flow, indentless=False)


def _compose(text: str) -> yaml.Node:
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        raise ScheduleFileError([_explain(error)]) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problem = f"line {line}: the character U+{error.character:04X} cannot stand in a YAML file. Leave it out."
        raise ScheduleFileError([problem]) from error
    except (ValueError, OverflowError) as error:
        problem = "A text in double quotes has an escape, such as \\UFFFFFFFF, that stands for no character."
        raise ScheduleFileError([problem]) from error
    except RecursionError as error:
        raise ScheduleFileError(["The file is nested too deeply to be a list of schedules."]) from error
    if root is None:
        raise ScheduleFileError([f"The file is empty. It begins with the line {ROOT}: and has a list below it."])
    return root


def _explain(error: yaml.MarkedYAMLError) -> str:
    mark, began = error.problem_mark or error.context_mark, error.context_mark
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    since = f" that begins in line {began.line + 1}" if mark and began and began.line < mark.line else ""
    context = f"{error.context}{since}, " if error.context else ""
    advice = " Indent with spaces, not with tabs." if "\\t" in str(error.problem) else ""
    return f"{place}{context}{error.problem}.{advice}"


def _list_nodes(root: yaml.Node) -> Sequence[yaml.Node]:
    """Return the nodes of the schedules under the root."""
    keys = [_key(key) for key, _ in root.value] if isinstance(root, yaml.MappingNode) else []
    if keys != [ROOT]:
        found = f"The file's keys are {', '.join(map(repr, keys))}" if keys else "The file has no keys"
        raise ScheduleFileError([f"{found}. One is wanted, {ROOT}, with the list of schedules below it."])
    (_, listed) = root.value[0]
    if _is_nothing(listed):
        return []
    if not isinstance(listed, yaml.SequenceNode):
        raise ScheduleFileError([f"line {_line(listed)}: {ROOT} has no list. Begin each schedule with a dash."])
    return cast("list[yaml.Node]", listed.value)


def _read_entry(number: int, node: yaml.Node) -> Entry:
    if not isinstance(node, yaml.MappingNode):
        return Entry(number, _line(node), {}, {"": "This is no schedule. Write its fields, one a line."})
    values: dict[str, Value] = {}
    problems: dict[str, str] = {}
    for key_node, value_node in node.value:
        key = _key(key_node)
        if key in values or key in problems:
            problems[key] = "This key is there twice. Leave one of the two."
        elif problem := _flaw(value_node, key=key):
            problems[key] = problem
        elif not _is_nothing(value_node):
            values[key] = _value_of(value_node, key=key)
    return Entry(number, _line(node), values, problems)


def _key(node: yaml.Node) -> str:
    return node.value if isinstance(node, yaml.ScalarNode) else "{...}"


def _refuse_known_id(entry: Entry, first_with: dict[Value, Entry]) -> Entry:
    if "id" not in entry.values:
        return entry
    first = first_with.setdefault(str(entry.values["id"]), entry)
    if first is entry:
        return entry
    problem = f"Entry {first.number} (line {first.line}) has this id, too. Give each schedule its own."
    return replace(entry, problems={**entry.problems, "id": problem})


def _with_months_from_one(entry: Entry) -> Entry:
    cron = str(entry.values.get("cronSchedule", ""))
    months = months_as_numbers(cron)
    if not months:
        return entry
    if max(months) > 11:
        problem = f"Month {max(months)} of {cron!r} is not among 0 to 11. Do the months of this file count from 1?"
        return replace(entry, problems={**entry.problems, "cronSchedule": problem})
    fields = cron.split()
    fields[-2] = _MONTH_NUMBER.sub(lambda number: str(int(number[0]) + 1), fields[-2])
    return replace(entry, values={**entry.values, "cronSchedule": " ".join(fields)})


def _flaw(node: yaml.Node, *, key: str) -> str:
    """Return why `node` is no value of this key: a text, a list of texts, nothing; empty when it is one."""
    if isinstance(node, yaml.ScalarNode):
        return _flaw_of_scalar(node, key=key)
    if isinstance(node, yaml.MappingNode):
        return "A text is wanted here, not a mapping."
    return " ".join(filter(None, (_flaw_of_item(item, key=key) for item in node.value)))


def _flaw_of_item(node: yaml.Node, *, key: str) -> str:
    if not isinstance(node, yaml.ScalarNode):
        return "An item is no text."
    return "An item has no value." if _is_nothing(node) else _flaw_of_scalar(node, key=key)


def _flaw_of_scalar(node: yaml.ScalarNode, *, key: str) -> str:
    if node.tag != _STR:
        return f"{node.tag!r} is a type of YAML's own, and texts are wanted. Leave it out."
    kind = _kind(node)
    if kind in ("", "no value") or (kind == "a date" and key in _DATES):
        return ""
    if key in NUMBERS and kind == "a number":
        flaw = f"{node.value} is not a number in plain digits. Write one such as 30 or 0.5."
        return "" if _NUMBER.fullmatch(node.value) else flaw
    return f"{node.value} is {kind} in YAML, and a text is wanted. Put it in quotes: '{node.value}'."


def _kind(node: yaml.Node) -> str:
    """Return what YAML makes of a text without quotes; empty for a text."""
    if not isinstance(node, yaml.ScalarNode) or node.style is not None:
        return ""
    return next((kind for kind, pattern in _NO_TEXT.items() if pattern.fullmatch(node.value)), "")


def _is_nothing(node: yaml.Node) -> bool:
    return _kind(node) == "no value"


def _value_of(node: yaml.Node, *, key: str) -> Value:
    if isinstance(node, yaml.SequenceNode):
        return [item.value for item in node.value]
    text: str = node.value
    if key in NUMBERS and _kind(node) == "a number":
        return float(text) if "." in text else int(text)
    return text


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _block(pairs: Iterable[tuple[str, yaml.Node]]) -> yaml.MappingNode:
    return yaml.MappingNode(_MAP, [(_node_of(key), node) for key, node in pairs], flow_style=False)


def _node_of(value: Value) -> Any:
    if isinstance(value, list):
        return yaml.SequenceNode(_SEQ, [_node_of(item) for item in value], flow_style=True)
    if isinstance(value, int):
        return yaml.ScalarNode(_INT, str(value))
    if isinstance(value, float):
        digits = f"{value:.6f}".rstrip("0").rstrip(".")
        return yaml.ScalarNode(_FLOAT if "." in digits else _INT, digits)
    quotes = "'" if value.isprintable() else '"'
    return yaml.ScalarNode(_STR, value, style=None if _PLAIN.fullmatch(value) else quotes)
