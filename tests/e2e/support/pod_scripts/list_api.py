"""Print every call of the API that this server describes: its verb, its path and its fields."""

import json
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from mlflow.protos import (
    databricks_pb2,
    mlflow_artifacts_pb2,
    model_registry_pb2,
    service_pb2,
    webhooks_pb2,
)


def described(message: Descriptor, above: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the fields of a message by name, each with its type; those within itself left out."""
    fields = {}
    for field in message.fields:
        kind: Any = {
            FieldDescriptor.CPPTYPE_BOOL: "boolean",
            FieldDescriptor.CPPTYPE_STRING: "string",
            FieldDescriptor.CPPTYPE_FLOAT: "number",
            FieldDescriptor.CPPTYPE_DOUBLE: "number",
        }.get(field.cpp_type, "integer")
        if field.enum_type:
            kind = [value.name for value in field.enum_type.values]
        inner = field.message_type
        if inner and inner.full_name.startswith("google.protobuf."):
            kind = inner.name
        elif inner and inner.full_name in above:
            continue
        elif inner:
            kind = described(inner, (*above, message.full_name))
        fields[field.name] = {
            "type": kind,
            "many": field.is_repeated,
            "map": bool(inner and inner.GetOptions().map_entry),
        }
    return fields


calls = []
for module in (service_pb2, model_registry_pb2, mlflow_artifacts_pb2, webhooks_pb2):
    for service in module.DESCRIPTOR.services_by_name.values():
        for method in service.methods:
            for endpoint in method.GetOptions().Extensions[databricks_pb2.rpc].endpoints:
                path = f"/api/{endpoint.since.major}.0{endpoint.path}"
                calls.append(
                    {
                        "verb": endpoint.method,
                        "path": path,
                        "name": method.name,
                        "fields": described(method.input_type),
                    }
                )
print(json.dumps(calls))
