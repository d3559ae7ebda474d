"""How a setting is declared: a field of a group, from which name, type, range and texts follow.

A field's name in camel case is the setting's name: ``gc_schedule`` is ``mlflow:gcSchedule``. A
type of ``values`` brings its grammar and its text for users. A field that may be None has the
default "" in Pulumi.yaml, because Pulumi has no setting without a value.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Literal, Self, Union, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo

from components._kubernetes.grammars import Refused
from settings.values import Kind, Origin, Privacy

Refuse = Callable[[str, str], str]
"""Returns the line for a setting, from its key and the accepted values. The line has the value."""


@dataclass(frozen=True)
class Setting:
    """The declaration of a setting."""

    key: str
    """Name in Pulumi.yaml, without the project's name."""
    attribute: str
    """Name of the field."""
    default: object
    meaning: str
    kind: Kind
    type: object
    """Type of the values, without None: ``int``, ``bool``, ``list``, ``dict`` or a text."""
    optional: bool
    """Whether the empty text means None."""

    def convert(self, text: str) -> object:
        """Return the value of a text from the engine; the text itself if it is of another type.

        pydantic then refuses the text.
        """
        if self.optional and not text:
            return None
        if self.type is bool:
            return {"true": True, "false": False}.get(text, text)
        if self.type is int:
            return int(text) if re.fullmatch(r"0|-?[1-9][0-9]{0,8}", text) else text
        if self.type is list or self.type is dict:
            try:
                value: object = json.loads(text, object_pairs_hook=_unique)
                # JSON can name half of a surrogate pair, which pydantic cannot read.
                json.dumps(value, ensure_ascii=False).encode()
                return value
            except (ValueError, RecursionError):
                return text
        return text

    def is_secret(self, text: str) -> bool:
        """Return whether a value must be encrypted."""
        privacy = self.kind.privacy
        return privacy is Privacy.SECRET or (privacy is Privacy.SECRET_WITH_LOGIN and "@" in text)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return the members of a JSON object. By default, json.loads drops a member of the same name.

    Raises:
        ValueError: if two members have the same name.
    """
    if len(dict(pairs)) < len(pairs):
        raise ValueError("the same key twice")
    return dict(pairs)


class Group(BaseModel):
    """Settings of one subject; the first line of a subclass's docstring is its heading."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        # The program reads one class alone, which inherits all others.
        defer_build=True,
        extra="forbid",
        frozen=True,
        # Without `strict`, pydantic would read 1_0 as 10.
        strict=True,
    )

    declared: ClassVar[dict[str, Setting]] = {}
    """The declaration of each field, by the field's name."""

    @classmethod
    def __pydantic_init_subclass__(cls, **_: object) -> None:
        """Read the declarations of a class whose fields are complete.

        Raises:
            TypeError: if a declaration lacks its meaning, or its type a ``Kind``.
        """
        cls.declared = {name: _declared(name, field) for name, field in cls.model_fields.items()}

    @classmethod
    def of(cls, settings: "Group") -> Self:
        """Return the same settings, as those of this class.

        Raises:
            TypeError: if they are of a class that does not inherit this one.
        """
        if not isinstance(settings, cls):
            raise TypeError(f"{type(settings).__name__} has no {cls.__name__}")
        return settings

    def value(self, key: str) -> object:
        """Return the value of a setting by its key."""
        attributes = {one.key: name for name, one in self.declared.items()}
        return getattr(self, attributes[key])

    def given(self, *keys: str) -> list[str]:
        """Return the keys whose settings have a value: not None, not empty, not false."""
        return [key for key in keys if self.value(key)]

    @field_validator("*", mode="before")
    @classmethod
    def _convert(cls, text: str, info: ValidationInfo[Origin]) -> object:
        """Convert the text that the engine hands over to the type of the setting.

        Raises:
            Refused: if the value is too long, or a secret that is not encrypted.
            UnicodeEncodeError: if the text has half of a surrogate pair.
        """
        setting, origin = cls.declared[str(info.field_name)], info.context
        if text and setting.is_secret(text) and setting.key not in origin.encrypted:
            command = f"pulumi config set --secret {origin.project}:{setting.key}"
            raise Refused(f"an encrypted value, by `{command}`")
        if len(text.encode()) > setting.kind.longest:
            raise Refused(f"{setting.kind.longest} bytes at most")
        return setting.convert(text)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Yield what ``repr`` shows: no value that may be a secret."""
        for name, value in super().__repr_args__():
            if self.declared[str(name)].kind.privacy is Privacy.PUBLIC:
                yield name, value


def _declared(attribute: str, field: FieldInfo) -> Setting:
    """Return the declaration of a field of a group.

    Raises:
        TypeError: if a declaration lacks its meaning, or its type a ``Kind``.
    """
    (declared,) = (one for one in _arms(field.annotation) if one is not NoneType)
    metadata = list(field.metadata)
    if get_origin(declared) is Annotated:
        declared, *more = get_args(declared)
        metadata += more
    kind = next((one for one in metadata if isinstance(one, Kind)), None)
    if not field.alias or not field.description:
        raise TypeError(f"{attribute}: a setting is declared with a description")
    return Setting(
        key=field.alias,
        attribute=attribute,
        default=field.default,
        meaning=field.description,
        kind=kind or _plain_kind(attribute, declared, metadata),
        type=get_origin(declared) or declared,
        optional=NoneType in _arms(field.annotation),
    )


def _arms(annotation: object) -> tuple[object, ...]:
    """Return the types of a union, or a single type."""
    union = isinstance(annotation, UnionType) or get_origin(annotation) is Union
    return get_args(annotation) if union else (annotation,)


def _plain_kind(attribute: str, declared: object, metadata: list[Any]) -> Kind:
    """Return the kind of a type that needs no grammar: numbers, true and false, choices."""
    if declared is int:
        (least,) = (one.ge for one in metadata if isinstance(one, Ge))
        (most,) = (one.le for one in metadata if isinstance(one, Le))
        return Kind(f"a whole number from {least} to {most}")
    if declared is bool:
        return Kind("true or false")
    if get_origin(declared) is Literal:
        return Kind(" or ".join(get_args(declared)))
    raise TypeError(f"{attribute}: a type of settings.values says what is accepted")
