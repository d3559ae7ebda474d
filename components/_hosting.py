"""The provider through which programs in other languages use the components."""

from collections.abc import Callable
from typing import Any

import pulumi
from pulumi.provider.experimental.analyzer import PropertyDefinition, PropertyType
from pulumi.provider.experimental.component import ComponentProvider


class Provider(ComponentProvider):
    """Pulumi's provider of Python components, which accepts Outputs for structures and integers.

    Pulumi's own provider (SDK 3.272) reads a structure that is an Output as an empty one, calls
    ``int`` on an Output, and passes integers as floats, which they are on the wire.
    """

    def map_input_properties(
        self,
        inputs: Any,
        properties: dict[str, PropertyDefinition],
        mapping: dict[str, str],
        component_name: str,
        property_path: str,
    ) -> dict[str, Any]:
        """Return the inputs under their Python names, those inside Outputs included."""
        later: dict[str, pulumi.Output[Any]] = {
            name: value
            for name, value in inputs.items()
            if name in properties and isinstance(value, pulumi.Output)
        }
        # Where a property has no type, Pulumi's own method maps the name alone.
        now = {**properties, **dict.fromkeys(later, PropertyDefinition())}
        mapped: dict[str, Any] = {
            **super().map_input_properties(inputs, now, mapping, component_name, property_path)
        }
        for name, one in now.items():
            if one.type == PropertyType.INTEGER and mapping[name] in mapped:
                mapped[mapping[name]] = int(mapped[mapping[name]])

        def of_one(name: str) -> Callable[[Any], Any]:
            def mapped_value(known: Any) -> Any:
                one = {name: properties[name]}
                found = self.map_input_properties(
                    {name: known}, one, mapping, component_name, property_path
                )
                return found.get(mapping[name])

            return mapped_value

        for name, value in later.items():
            mapped[mapping[name]] = value.apply(of_one(name))
        return mapped
