"""What all components share: from a YAML document to a checked declaration, or to one clear refusal.

Dagster would check attributes before it renders templates, widen every field to text, and print what was written, which
for a secret is the secret. So the check that Dagster makes lets everything pass, and `Declaration.load` renders,
then checks, and says what is wrong in our words with file and line. Editors and the UI still see the real schema.
"""

import re
from abc import abstractmethod
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, ClassVar, Self, TypeVar, cast
from weakref import WeakKeyDictionary

import dagster as dg
from dagster.components.core.component_tree import ComponentTree
from dagster.components.resolved.errors import ResolutionException
from pydantic import AfterValidator, BaseModel, ConfigDict, RootModel, ValidationError

from dataset_export.components.source import Source
from dataset_export.errors import ConfigError

AnyDeclaration = TypeVar("AnyDeclaration", bound="Declaration")


class Attributes(BaseModel):
    """Base of the attributes of a declaration: a key that is not known is refused."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Declaration(dg.Component):
    """One thing that a person declares in YAML, unique by `key` among its kind.

    `source` says where, for errors that show only when declarations meet.
    """

    kind: ClassVar[str]
    key_attribute: ClassVar[str] = "id"
    attributes_model: ClassVar[type[BaseModel]]
    key: str
    source: Source

    @classmethod
    @abstractmethod
    def from_attributes(cls, attributes: Any, source: Source) -> Self:
        """Make the declaration from checked attributes. Raises ConfigError with file and line."""

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """The schema for editors and the UI; as a check it lets every mapping pass (see the module's docstring)."""
        return _schema_only(cls.attributes_model)

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """Render templates, check, and make the declaration. Raises ConfigError with file and line."""
        source = Source(context.project_root, context.resolution_context.source_position_tree)
        written = cast("RootModel[dict[str, Any]]", attributes).root if attributes is not None else {}
        _refuse_todo(written, source, ())
        rendered = _rendered(written, context.resolution_context.scope, source, ())
        try:
            checked = cls.attributes_model.model_validate(rendered)
        except ValidationError as error:
            raise source.refusal(error, cls.attributes_model) from None
        return cls.from_attributes(checked.root if isinstance(checked, RootModel) else checked, source)


def declared(tree: ComponentTree, of_type: type[AnyDeclaration]) -> Mapping[str, AnyDeclaration]:
    """All declarations of a type in a project, by key.

    Raises:
        ConfigError: when two have the same key, naming both places.
    """
    # Every dataflow asks for the same ones; a tree lives for one load, so nothing here goes stale.
    known = _DECLARED.setdefault(tree.state_tracker, {})
    if of_type not in known:
        known[of_type] = _by_key(tree.get_all_components(of_type=of_type))
    return cast("Mapping[str, AnyDeclaration]", known[of_type])


_DECLARED: WeakKeyDictionary[Any, dict[type[Declaration], Mapping[str, Declaration]]] = WeakKeyDictionary()


def _by_key(declarations: list[AnyDeclaration]) -> Mapping[str, AnyDeclaration]:
    found: dict[str, AnyDeclaration] = {}
    for one in declarations:
        if (first := found.setdefault(one.key, one)) is not one:
            other = first.source.at(one.key_attribute)
            what = f"a {one.kind} {one.key!r}" if one.key != one.kind else f"an {one.kind}"
            way_out = "rename one of the two" if one.key != one.kind else "keep one of the two"
            raise one.source.error(f"there is {what} already, at {other}; {way_out}", one.key_attribute)
    return found


@cache
def _schema_only(model: type[BaseModel]) -> type[BaseModel]:
    class SchemaOnly(RootModel[dict[str, Any]]):
        @classmethod
        def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
            return model.model_json_schema(*args, **kwargs)

    SchemaOnly.__name__ = SchemaOnly.__qualname__ = model.__name__
    return SchemaOnly


def _refuse_todo(value: Any, source: Source, path: tuple[str | int, ...]) -> None:
    """Refuse a value that was left to be written, but in a text for people: loading it would take it for the value."""
    if path and path[-1] == "description":
        return
    if isinstance(value, dict):
        inside: list[tuple[str | int, Any]] = list(cast("dict[str, Any]", value).items())
    elif isinstance(value, list):
        inside = list(enumerate(cast("list[Any]", value)))
    else:
        if isinstance(value, str) and (left := re.fullmatch(r"\s*TODO\b:?\s*(.*)", value, re.DOTALL)):
            what = f"; write {left[1].strip()}" if left[1].strip() else "; write it"
            raise source.error(f"{'.'.join(map(str, path))} is left to be written{what}", *path)
        return
    for key, inner in inside:
        _refuse_todo(inner, source, (*path, key))


def _rendered(value: Any, scope: Mapping[str, Any], source: Source, path: tuple[str | int, ...]) -> Any:
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value)
        if items and set(items) <= {"env", "file"}:
            return items  # a reference to a secret: rendering it would put the secret where its name belongs
        return {key: _rendered(inner, scope, source, (*path, key)) for key, inner in items.items()}
    if isinstance(value, list):
        return [_rendered(inner, scope, source, (*path, i)) for i, inner in enumerate(cast("list[Any]", value))]
    if isinstance(value, str) and ("{{" in value or "{%" in value):
        return _render(value, scope, source, path)
    return value


def _render(template: str, scope: Mapping[str, Any], source: Source, path: tuple[str | int, ...]) -> str:
    """Render to text. (Dagster's own rendering reads the text as Python: the id '2024' would become a number.)"""
    from jinja2 import Environment, StrictUndefined, TemplateError

    def finalize(value: object) -> object:
        if value is None:
            raise ConfigError("a variable that is used here is not set")
        return value

    # This renders a configuration value, not HTML: escaping would change it.
    environment = Environment(undefined=StrictUndefined, finalize=finalize, autoescape=False)  # noqa: S701
    try:
        return environment.from_string(template).render(**scope)
    except (TemplateError, ConfigError, ResolutionException) as error:
        raise source.error(
            f"the template {template!r} cannot be rendered: {str(error).rstrip('.')}; correct it, for example to "
            "{{ env.NAME }} for an environment variable",
            *path,
        ) from None


OWNER = r"team:\S+|[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}"
"""A team or the e-mail address of a person."""


def _owner(value: str) -> str:
    if not re.fullmatch(OWNER, value):
        raise ValueError(f"{value!r} is no owner; write team:NAME or an e-mail address")
    return value


Owner = Annotated[str, AfterValidator(_owner)]
