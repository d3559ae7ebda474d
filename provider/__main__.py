"""Hosts the components for programs in any of Pulumi's languages."""

import sys
from importlib.metadata import version

import pulumi_mlflow_kubernetes
from pulumi.provider import main
from pulumi.provider.experimental.host import components_from_module
from pulumi_mlflow_kubernetes._component import PACKAGE
from pulumi_mlflow_kubernetes._hosting import Provider

if __name__ == "__main__":
    components = components_from_module(pulumi_mlflow_kubernetes)
    release = version("pulumi-mlflow-kubernetes")
    main(Provider(components, PACKAGE, version=release), sys.argv[1:])
