"""Hosts the components for programs in any of Pulumi's languages."""

from importlib.metadata import version

import pulumi_mlflow_kubernetes
from pulumi.provider.experimental.host import component_provider_host, components_from_module

if __name__ == "__main__":
    component_provider_host(
        components_from_module(pulumi_mlflow_kubernetes),
        # The first part of every component's type, which is in the state of existing stacks.
        name="mlflow-k8s",
        version=version("pulumi-mlflow-kubernetes"),
    )
