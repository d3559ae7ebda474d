"""The components for other languages: the provider in provider/, and the schema that it serves."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pulumi.provider.experimental.component import ComponentProvider
from pulumi.provider.experimental.host import components_from_module

import components
from commands import reference
from components._component import PACKAGE
from harness.programs import run
from tests.library.conftest import PROJECT

SCHEMA: dict[str, Any] = json.loads(
    ComponentProvider(components_from_module(components), PACKAGE).schema or ""
)


def test_every_component_is_hosted() -> None:
    inputs = {name.removesuffix("Args") for name in components.__all__ if name.endswith("Args")}
    hosted = {token.rpartition(":")[2] for token in SCHEMA["resources"]}
    assert hosted == inputs & set(components.__all__)
    assert len(hosted) >= 10


def test_everything_hosted_is_described() -> None:
    assert [where for where, text in _descriptions(SCHEMA) if not text] == []


def _descriptions(schema: dict[str, Any]) -> Iterator[tuple[str, str | None]]:
    """Yield each component, type, input and output of a schema, with its description."""
    for token, described in {**schema["resources"], **schema["types"]}.items():
        yield token, described.get("description")
        for kind in ("properties", "inputProperties"):
            for name, one in described.get(kind, {}).items():
                yield f"{token}.{kind}.{name}", one.get("description")


def test_the_engine_gets_the_schema_from_the_repository(
    environment: Mapping[str, str], repository: Path
) -> None:
    """`pulumi package add` begins with this: it installs the provider, starts it, and asks it."""
    command = ["pulumi", "package", "get-schema", "./provider"]
    found = json.loads(run(command, environment, seconds=120, folder=repository).stdout)
    assert (found["name"], found["version"]) == (PACKAGE, PROJECT["version"])
    # The engine drops what no language needs, such as a second description of a list's items.
    assert dict(_descriptions(found)) == dict(_descriptions(SCHEMA))


def test_the_reference_is_written_from_the_docstrings_as_they_are() -> None:
    """`make reference` writes it."""
    assert reference.FILE.read_text() == reference.rendered()
