"""Components for programs in other languages: the provider, and the names of inputs."""

from typing import Any

import pulumi
import pytest
from pulumi.provider.experimental.component import ComponentProvider
from pulumi.provider.experimental.host import components_from_module

import components
from components import Minio, Postgres, TrackingServer
from components._component import PACKAGE
from components._hosting import Provider
from tests.unit.recorder import record

PROVIDER = Provider(components_from_module(components), PACKAGE)
LATER = ["credentials", "the whole"]


def hosted(later: str, provider: ComponentProvider = PROVIDER) -> None:
    """Make a server of two stores, whose outputs are Outputs one by one, or ``the whole``."""

    def made(kind: str, name: str, inputs: dict[str, Any]) -> dict[str, Any]:
        state = provider.construct(name, f"{PACKAGE}:index:{kind}", inputs).state
        return {key: pulumi.Output.from_input(value) for key, value in state.items()}

    def outputs(state: dict[str, Any], *names: str) -> Any:
        found = {name: state[name] for name in names}
        return pulumi.Output.from_input(found) if later == "the whole" else found

    database = made("Postgres", "db", {"namespace": "ns"})
    artifacts = made("Minio", "store", {"namespace": "ns", "consoleHost": "console.example"})
    made(
        "TrackingServer",
        "mlflow",
        {
            "namespace": pulumi.Output.from_input("ns"),
            "backendStore": outputs(database, "credentials", "connections"),
            "artifactStore": outputs(artifacts, "credentials", "artifactRoot", "clientEnv"),
            "directArtifactAccess": True,
            "replicas": 2.0,
        },
    )


def by_reference() -> None:
    TrackingServer(
        "mlflow",
        {
            "namespace": "ns",
            "backend_store": Postgres("db", {"namespace": "ns"}),
            "artifact_store": Minio(
                "store", {"namespace": "ns", "console_host": "console.example"}
            ),
            "direct_artifact_access": True,
            "replicas": 2,
        },
    )


@pytest.mark.parametrize("later", LATER)
def test_outputs_of_hosted_components_are_inputs_of_others(later: str) -> None:
    found = record(lambda: hosted(later)).kubernetes()
    assert found == record(by_reference).kubernetes()


@pytest.mark.parametrize("later", LATER)
def test_pulumis_own_provider_still_refuses_them(later: str) -> None:
    """When this fails, the project needs no provider of its own any longer."""
    own = ComponentProvider(components_from_module(components), PACKAGE)
    with pytest.raises(Exception, match="Missing required input 'backendStore"):
        record(lambda: hosted(later, own))
