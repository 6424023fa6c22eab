"""What pydantic finds wrong with attributes, in our words. What was written is not repeated: it may be a secret."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, cast, get_args

from pydantic import BaseModel, ValidationError

from dataset_export.suggestion import did_you_mean

Key = str | int

LIST = "a list"
KEYS = "keys with values"

EXPECTED: Mapping[str, str] = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": LIST,
    "tuple_type": LIST,
    "dict_type": KEYS,
    "model_type": KEYS,
    "model_attributes_type": KEYS,
}
"""What a type of pydantic's is to a person."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: where, from the attributes downwards, and what, in words."""

    path: tuple[Key, ...]
    what: str


def findings(error: ValidationError, model: type[BaseModel]) -> list[Finding]:
    """All of pydantic's findings, in its order; those about one value that may be of several types are one."""
    found: list[Finding] = []
    for path, of_one_value in groupby(_located(error, model), key=lambda one: one[0]):
        found.append(Finding(path, _sentence(path, [finding for _, finding in of_one_value], model)))
    return found


def variants(model: type[BaseModel]) -> Mapping[str, type[BaseModel]]:
    """The models of a union that `type` tells apart, by that type; none for any other model."""
    root = model.model_fields.get("root")
    if root is None or root.discriminator != "type":
        return {}
    members = cast("tuple[type[BaseModel], ...]", getattr(root.annotation, "__args__", ()))
    return {member.model_fields["type"].annotation.__args__[0]: member for member in members}  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]


def _located(error: ValidationError, model: type[BaseModel]) -> Iterator[tuple[tuple[Key, ...], Mapping[str, Any]]]:
    """Findings with the path that a person would follow: pydantic also names the types of a union that it tried."""
    at_once = error.errors()
    for finding in at_once:
        path = finding["loc"]
        if finding["type"] == "too_short" and any(
            len(path) < len(one["loc"]) and one["loc"][: len(path)] == path for one in at_once
        ):
            continue  # pydantic counts the items that are right, and what is wrong with the others is said already
        if path and path[0] in variants(model):
            path = path[1:]
        if finding["type"].startswith("union_tag_"):
            path = ("type",)
        yield tuple(part for part in path if not _names_a_type(part)), cast("Mapping[str, Any]", finding)


def _names_a_type(part: Key) -> bool:
    return part in {"bool", "str", "int"} or (isinstance(part, str) and "[" in part)


def _sentence(path: tuple[Key, ...], of_one_value: Sequence[Mapping[str, Any]], model: type[BaseModel]) -> str:
    dotted = ".".join(str(part) for part in path)
    # Where a value may be of several types and is of one, what is wrong with it as such counts.
    finding = next((one for one in of_one_value if _expected(one) is None), of_one_value[0])
    context = cast("Mapping[str, Any]", finding.get("ctx", {}))
    match finding["type"]:
        case "extra_forbidden":
            known = _fields_at(_variant(finding, model), path[:-1])
            way_out = did_you_mean(str(path[-1]), known) or _belongs_below(str(path[-1]), known, model, path[:-1])
            what = f"the key {dotted!r} is not known; keys here are {', '.join(known)}{way_out}"
        case "missing":
            what = f"{dotted!r} is missing; add it"
        case "union_tag_not_found":
            what = f"'type' is missing; it is one of {', '.join(variants(model))}"
        case "union_tag_invalid":
            known = list(variants(model))
            tag = str(context["tag"])
            what = f"type is {tag!r}; it has to be one of {', '.join(known)}{did_you_mean(tag, known)}"
        case "value_error":
            what = f"{dotted}: {context['error']}" if dotted else str(context["error"])
        case _ if _expected(finding) is not None:
            expected = list(dict.fromkeys(filter(None, map(_expected, of_one_value))))
            fields = _fields_at(_variant(finding, model), path) if expected == [KEYS] else []
            of_these = f" ({', '.join(fields)})" if fields else ""
            what = f"{dotted or 'this'} takes {' or '.join(expected)}{of_these}; {_as_read(finding['input'], expected)}"
        case _:
            what = f"{dotted}: {_out_of_bounds(str(finding['type']), context) or finding['msg'] + '; correct it'}"
    return what


def _out_of_bounds(kind: str, context: Mapping[str, Any]) -> str | None:
    sentences = {
        "too_short": "nothing is named here; name at least one",
        "string_too_short": "the text is empty; write something, or leave the key out",
        "greater_than_equal": "the number has to be at least {ge}; write a larger one",
        "greater_than": "the number has to be above {gt}; write a larger one",
        "less_than_equal": "the number has to be at most {le}; write a smaller one",
        "string_pattern_mismatch": "the text has to match {pattern}; write another",
    }
    return sentences[kind].format_map(context) if kind in sentences else None


def _expected(finding: Mapping[str, Any]) -> str | None:
    if finding["type"] in {"enum", "literal_error"}:
        return str(finding["ctx"]["expected"])
    return EXPECTED.get(str(finding["type"]))


def _as_read(written: Any, expected: Sequence[str]) -> str:
    """How YAML has read a value that is none of what is expected, and the way out."""
    text, several = "a text" in expected, LIST in expected
    match written:
        case None:
            said = "nothing stands here, write a value or take the key out"
        case bool() if text:
            said = "YAML reads true or false, put it in quotes"
        case int() | float() if text:
            said = "YAML reads a number, put it in quotes"
        case list() if KEYS not in expected:
            said = "a list stands here, write one value"
        case dict() if several:
            said = "keys with values stand here, write items, each in a line that begins with -"
        case dict():
            said = "YAML reads keys with values, put a text that has ': ' in it in quotes"
        case str() if several:
            said = "one value stands here, put it in [ ]"
        case _:
            known = [part for one in expected for part in one.split("'")[1::2]]
            said = f"something else stands here, replace it{did_you_mean(str(written), known)}"
    return said


def _variant(finding: Mapping[str, Any], model: type[BaseModel]) -> type[BaseModel]:
    location = cast("tuple[Key, ...]", finding["loc"])
    return variants(model).get(str(location[0]), model) if location else model


def _belongs_below(key: str, fields: Sequence[str], model: type[BaseModel], path: tuple[Key, ...]) -> str:
    below = [field for field in fields if key in _fields_at(model, (*path, field))] if not variants(model) else []
    return f"; {key} stands below {below[0]}" if below else ""


def _fields_at(model: type[BaseModel], path: tuple[Key, ...]) -> list[str]:
    annotation: Any = model
    for part in path:
        found = _model_in(annotation)
        if found is not None and part in found.model_fields:
            annotation = found.model_fields[str(part)].annotation
    found = _model_in(annotation)
    return list(found.model_fields) if found is not None else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model of a field, of the items of a list or of the values of a mapping."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for one in get_args(annotation) if (found := _model_in(one)) is not None), None)
