"""What is wrong with the text of a YAML file: the line to correct, and how, in words.

Also what YAML itself lets pass although nobody means it: a key that is written twice, of which the last would count, a
key that is no text, an anchor that contains itself.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

# Much faster where it is there, and only asked whether all is well: what is wrong, the other says the same everywhere.
FAST_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

MOST_VALUES = 100_000
"""Values of one document after its aliases are written out. (Nine lines of aliases can make billions.)"""

PLAIN_TAGS = frozenset(
    f"tag:yaml.org,2002:{kind}"
    for kind in ("str", "int", "float", "bool", "null", "timestamp", "seq", "map", "merge", "value")
)

QUOTE = "put the value in quotes"


@dataclass(frozen=True)
class Fault:
    """A line of a file, from 1, and what is wrong there."""

    line: int
    what: str


def text_of(file: Path) -> str | Fault:
    """The text of a file, or why there is none."""
    try:
        data = file.read_bytes()
    except OSError as error:
        return Fault(1, f"the file cannot be read: {error.strerror}")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        if data[:2] in {b"\xff\xfe", b"\xfe\xff"}:
            return Fault(1, "the file is UTF-16; save it as UTF-8")
        line = data.count(b"\n", 0, error.start) + 1
        return Fault(line, f"the byte 0x{data[error.start]:02x} is no UTF-8; save the file as UTF-8")


def fault_in(text: str) -> Fault | None:
    """The first thing that is wrong with a text as YAML; None when nothing is."""
    try:
        for document in yaml.compose_all(text, Loader=FAST_LOADER):
            if document is not None and (fault := next(_faults(document, top=True), None)) is not None:
                return fault
    except (yaml.YAMLError, RecursionError):
        return syntax_fault(text)
    return None


def syntax_fault(text: str) -> Fault | None:
    """Why a text is not YAML, by the parser that reads the declarations; None when it is."""
    try:
        for _ in yaml.compose_all(text, Loader=yaml.SafeLoader):
            pass
    except yaml.reader.ReaderError as error:
        code = error.character if isinstance(error.character, int) else ord(str(error.character))
        line = text.count("\n", 0, error.position) + 1
        return Fault(line, f"the character U+{code:04X} has no place in YAML; take it out")
    except yaml.MarkedYAMLError as error:
        fault = _explained(error, text.splitlines())
        return Fault(fault.line, f"this is not YAML: {fault.what}")
    except yaml.YAMLError as error:
        return Fault(1, f"this is not YAML: {error}")
    except RecursionError:
        return Fault(1, "lists and keys stand inside each other too many times; write it flatter")
    return None


@dataclass(frozen=True)
class _Problem:
    """What the parser says, and the lines around it."""

    context: str
    problem: str
    lines: list[str]
    line: int
    column: int
    begun: int

    @property
    def written(self) -> str:
        return self.at(self.line)

    @property
    def here(self) -> str:
        """The character that the parser stopped at."""
        return self.written[self.column : self.column + 1]

    def at(self, line: int) -> str:
        return self.lines[line - 1] if line <= len(self.lines) else ""


def _explained(error: yaml.MarkedYAMLError, lines: list[str]) -> Fault:
    mark = error.problem_mark or error.context_mark
    problem = _Problem(
        context=error.context or "",
        problem=error.problem or "",
        lines=lines,
        line=mark.line + 1 if mark is not None else 1,
        column=mark.column if mark is not None else 0,
        begun=(error.context_mark or mark).line + 1 if mark is not None else 1,
    )
    said = f"{problem.context}: {problem.problem}"
    for words, explain in EXPLANATIONS.items():
        if re.search(words, said):
            return explain(problem)
    return Fault(problem.line, f"{said.removeprefix(': ')}; correct this line")


def _bad_beginning(problem: _Problem) -> Fault:
    if problem.here == "\t":
        return Fault(problem.line, "a tab stands here, and YAML takes spaces only; replace it")
    return Fault(problem.line, f"a value that begins with {problem.here!r} is none to YAML; {QUOTE}")


def _no_mapping(problem: _Problem) -> Fault:
    before = problem.written[: problem.column]
    above = next((one for one in reversed(problem.lines[: problem.line - 1]) if one.strip()), "")
    if before.startswith("---"):
        what = "a declaration begins in the line after ---; break the line"
    elif ":" in before:
        what = f"a second ': ' stands in this line; {QUOTE}"
    elif re.match(r"\s*[^:\s]+:[^:\s]+\s*$", above):
        what = "after the ':' of a key comes a space; write it in the line above"
    else:
        what = "this line stands further in than the one above, which has a value already; move it out"
    return Fault(problem.line, what)


def _no_key(problem: _Problem) -> Fault:
    written = problem.at(problem.begun)
    if re.fullmatch(r"\s*-{2,}\s*", written):
        what = "a line between two declarations has exactly three dashes; write ---"
    elif re.match(r"<{7}|={7}|>{7}", written):
        what = "a merge has left its marks here; keep one of the two sides"
    else:
        what = "this line is no `key: value`; write one, or join it to the text that it belongs to"
    return Fault(problem.begun, what)


def _no_reference(problem: _Problem) -> Fault:
    sign = "*" if "alias" in problem.context else "&"
    return Fault(problem.begun, f"a value that begins with {sign} is a reference to YAML; {QUOTE}")


def _no_anchor(problem: _Problem) -> Fault:
    name = problem.problem.partition("'")[2].rstrip("'")
    return Fault(
        problem.line,
        f"there is no anchor &{name} in this document for *{name}; define it before, or, when a text is meant, {QUOTE}",
    )


def _in_brackets(problem: _Problem) -> Fault:
    if "flow node" in problem.context:
        return Fault(
            problem.line, f"nothing that could be an item or a value stands before {problem.here!r}; correct it"
        )
    bracket = "[" if "sequence" in problem.context else "{"
    return Fault(
        problem.line, f"a comma is missing here, or the {bracket} of line {problem.begun} is not closed; correct it"
    )


def _no_block(problem: _Problem) -> Fault:
    if "{{" in problem.written:
        what = "a value with {{ … }} in it is a mapping to YAML; put it in quotes"
    elif re.match(r"\s*\S+:\s+(\"[^\"]*\"|'[^']*')\s*\S", problem.written):
        what = "something stands after the closing quote; put all of the value in quotes"
    else:
        item = "an item of a list" if problem.here == "-" else "this line"
        what = f"{item} does not stand under what it belongs to; give it as many spaces as its neighbours have"
    return Fault(problem.line, what)


EXPLANATIONS: Mapping[str, Callable[[_Problem], Fault]] = {
    "cannot start any token": _bad_beginning,
    "mapping values are not allowed": _no_mapping,
    "quoted scalar.*end of stream": lambda problem: Fault(
        problem.begun, "a quote is opened here and never closed; close it"
    ),
    "unknown escape": lambda problem: Fault(
        problem.line, "a \\ begins an escape in double quotes; write \\\\, or use single quotes"
    ),
    "could not find expected ':'": _no_key,
    "scanning an (alias|anchor)": _no_reference,
    "undefined alias": _no_anchor,
    "duplicate anchor": lambda problem: Fault(
        problem.line, f"this anchor is defined in line {problem.begun} already; give it another name"
    ),
    "parsing a flow": _in_brackets,
    "expected <block end>": _no_block,
    "expected '<document start>'": lambda problem: Fault(
        problem.line, "after the end of a document (...) another one begins with ---; write it"
    ),
}
"""What the parser says, as a pattern, to what it means to who wrote the file."""


def _faults(node: Any, *, top: bool) -> Iterator[Fault]:
    """What is wrong below a node, though it can be parsed."""
    yield from _expanding_too_far(node)
    yield from _below(node, set(), top=top)


def _expanding_too_far(node: Any) -> Iterator[Fault]:
    sizes: dict[int, int] = {}

    def size(one: Any, around: tuple[int, ...]) -> int:
        if id(one) in around:
            raise _ContainsItself(one)
        if id(one) not in sizes:
            inside = [*around, id(one)]
            sizes[id(one)] = 1 + sum(size(inner, tuple(inside)) for inner in _inner(one))
        return sizes[id(one)]

    try:
        if size(node, ()) > MOST_VALUES:
            yield Fault(
                _line(node), f"the aliases below make more than {MOST_VALUES:,} values; write out what is meant"
            )
    except _ContainsItself as loop:
        yield Fault(_line(loop.node), "this anchor contains itself; write out what is meant")


class _ContainsItself(Exception):
    def __init__(self, node: Any) -> None:
        super().__init__()
        self.node = node


def _below(node: Any, seen: set[int], *, top: bool) -> Iterator[Fault]:
    if id(node) in seen:
        return
    seen.add(id(node))
    if node.tag not in PLAIN_TAGS:
        tag = re.sub(r"^tag:yaml\.org,2002:", "!!", node.tag)
        yield Fault(_line(node), f"the YAML tag {tag} is not read here; write a plain value, or put it in quotes")
        return
    if isinstance(node, yaml.MappingNode):
        yield from _bad_keys(node)
        yield from _twice(node, top=top)
    for inner in _inner(node):
        yield from _below(inner, seen, top=False)


def _bad_keys(node: Any) -> Iterator[Fault]:
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            template = "; a value that begins with {{ has to stand in quotes" if _template(node, key) else "; write one"
            yield Fault(_line(key), f"a key is a plain text{template}")
        elif key.tag.endswith(":merge"):
            parts = value.value if isinstance(value, yaml.SequenceNode) else [value]
            if not all(isinstance(part, yaml.MappingNode) for part in parts):
                yield Fault(_line(key), "<< takes an alias of keys with values, such as <<: *defaults; name one")
        elif not key.tag.endswith((":str", ":value")):
            kind = {"bool": "true or false", "null": "nothing"}.get(key.tag.rpartition(":")[2], "a number or a date")
            yield Fault(_line(key), f"YAML reads the key {key.value!r} as {kind}; put it in quotes")


def _template(node: Any, key: Any) -> bool:
    return isinstance(key, yaml.MappingNode) and key.start_mark.column == node.start_mark.column + 1


def _twice(node: Any, *, top: bool) -> Iterator[Fault]:
    keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode) and not key.tag.endswith(":merge")]
    counts = Counter(key.value for key in keys)
    for name in (name for name, count in counts.items() if count > 1):
        for first, again in pairwise(key for key in keys if key.value == name):
            missing = top and name in {"type", "attributes"}
            yield Fault(
                _line(again),
                f"the key {name!r} stands in line {_line(first)} already; "
                + (
                    "write --- between two declarations"
                    if missing
                    else "YAML would keep only one of them, take one out"
                ),
            )


def _inner(node: Any) -> Iterator[Any]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from (key, value)
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


def _line(node: Any) -> int:
    return node.start_mark.line + 1
