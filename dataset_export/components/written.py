"""Declarations as YAML text, laid out as a person would write them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import yaml
from dagster_shared.yaml_utils import DagsterYamlDumper

from dataset_export.secret_refs import SecretRef

WIDTH = 120


class _Inline(list[Any]):
    """A list that stands in one line."""


class _Dumper(DagsterYamlDumper):
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Items stand further in than the key of their list, as everywhere else in the declarations."""
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # Some times of day are numbers to YAML, and others not: all of them stand in quotes.
    style = "|" if "\n" in text else '"' if re.fullmatch(r"\d+:\d+", text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(
    _Inline, lambda dumper, value: dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=True)
)
_Dumper.add_representer(
    SecretRef,
    lambda dumper, ref: dumper.represent_mapping(
        "tag:yaml.org,2002:map", {"env": ref.env} if ref.env is not None else {"file": ref.file}, flow_style=True
    ),
)


def document(component: str, attributes: Mapping[str, Any], comments: Iterable[str] = ()) -> str:
    """One declaration.

    Args:
        component: its name, such as `Dataflow`.
        attributes: in the order in which they are written; secrets as `SecretRef`.
        comments: lines that stand before it.
    """
    before = "".join(f"# {line}\n" if line else "#\n" for line in comments)
    written = {"type": f"dataset_export.components.{component}", "attributes": _styled(attributes)}
    text: str = yaml.dump(written, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=WIDTH)
    return before + text


def joined(documents: Sequence[str]) -> str:
    """Several declarations in one file."""
    return "---\n".join(documents)


def _styled(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _styled(inner) for key, inner in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        items = cast("Sequence[Any]", value)
        plain = all(isinstance(item, str | int | float) for item in items)
        styled = [_styled(item) for item in items]
        return _Inline(styled) if plain else styled
    return str(value) if isinstance(value, str) else value
