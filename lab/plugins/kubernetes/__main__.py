"""Starts the Kubernetes provider."""

from __future__ import annotations

from collections.abc import Callable

import grpc

from lab.plugins.kubernetes.provider import KubernetesProvider
from lab.plugins.protocol import provider_pb2_grpc
from lab.plugins.wire import Engine, serve


def _register(server: grpc.Server, engine: Engine) -> Callable[[], None]:
    provider = KubernetesProvider(engine)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server)
    return provider.stop


if __name__ == "__main__":
    serve(_register)
