"""Write docs/reference.md: the inputs and outputs of each component, from their docstrings."""

import re
from collections.abc import Iterator, Mapping

from pulumi.provider.experimental.analyzer import (
    Analyzer,
    ComponentDefinition,
    PropertyDefinition,
    TypeDefinition,
)
from pulumi.provider.experimental.host import components_from_module

import components
from commands.support.console import CLONE, main
from components._component import PACKAGE

FILE = CLONE / "docs" / "reference.md"
_HEADER = """\
# Reference of the components

Written by `make reference` from the docstrings in `components/`; a test compares.
How to install and use the components: [examples](../examples/README.md).

Each component is a class of `pulumi_mlflow_kubernetes`, and is made by
`Name("logical-name", {"input": value}, opts)`. `Input[...]` takes a value or an output of another
resource; every other input takes a value that is known when the program runs.
Other languages have the same names in camel case: `storage_class` is `storageClass`.
"""
# Analyzer's reference of a type of the package: "#/types/<package>:index:<Name>".
_REFERENCE = re.compile(r"#/types/.*:index:(\w+)$")


def command() -> int:
    """Write the file.

    Returns:
        The exit status: always 0.
    """
    FILE.write_text(rendered())
    return 0


def rendered() -> str:
    """Return the text of the file."""
    found = Analyzer(PACKAGE).analyze(components_from_module(components))
    parts = [_HEADER]
    for name, component in sorted(found["component_definitions"].items()):
        parts += [f"## {name}\n", _text(component.description), "\n", *_component(component)]
    parts.append("## Types of inputs and outputs\n")
    for name, described in sorted(found["type_definitions"].items()):
        parts += [f"### {name}\n", _text(described.description), "\n", *_type(described)]
    return "\n".join(parts).replace("\n\n\n", "\n\n").rstrip("\n") + "\n"


def _component(component: ComponentDefinition) -> Iterator[str]:
    yield from _table("Input", component.inputs, component.inputs_mapping, inputs=True)
    yield from _table("Output", component.outputs, component.outputs_mapping, inputs=False)


def _type(described: TypeDefinition) -> Iterator[str]:
    yield from _table("Key", described.properties, described.properties_mapping, inputs=True)


def _table(
    title: str,
    properties: Mapping[str, PropertyDefinition],
    names: Mapping[str, str],
    *,
    inputs: bool,
) -> Iterator[str]:
    """Yield the lines of a table, required rows first; nothing where there are no properties."""
    if not properties:
        return
    yield f"| {title} | Type | Meaning |"
    yield "|---|---|---|"
    for key, one in sorted(properties.items(), key=lambda item: bool(item[1].optional)):
        required = " **(required)**" if inputs and not one.optional else ""
        kind = _kind(one) if one.plain or not inputs else f"Input[{_kind(one)}]"
        yield f"| `{names[key]}`{required} | {kind} | {_text(one.description)} |"
    yield ""


def _kind(one: PropertyDefinition) -> str:
    """Return the type of a property, as Python writes it."""
    if one.ref:
        reference = _REFERENCE.search(one.ref)
        return f"[{reference[1]}](#{reference[1].lower()})" if reference else "any"
    if one.items:
        return f"list[{_kind(one.items)}]"
    if one.additional_properties:
        return f"dict[str, {_kind(one.additional_properties)}]"
    names = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}
    return names[one.type.value] if one.type else "any"


def _text(docstring: str | None) -> str:
    """Return a docstring as a paragraph of Markdown on one line.

    Raises:
        ValueError: if there is none.
    """
    if not docstring:
        raise ValueError("a component, a type, an input or an output has no docstring")
    text = re.sub(r":(?:class|func|attr):`~?(\w+)`", r"`\1`", docstring)
    return " ".join(text.replace("``", "`").replace("|", "\\|").split())


if __name__ == "__main__":
    main(command)
