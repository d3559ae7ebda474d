"""What the stack tells its users, and `make`: addresses, logins, what a client needs."""

import pulumi

from components import ArtifactStore, ClientWorkspace, LocalCertificate, TrackingServer
from settings import Settings


def export(
    settings: Settings,
    artifacts: ArtifactStore,
    tracking: TrackingServer,
    workspace: ClientWorkspace | None,
    certificate: LocalCertificate | None,
) -> None:
    """Export each output that there is with these settings."""
    pulumi.export("tracking_uri", tracking.tracking_uri)
    pulumi.export("tracking_uri_in_cluster", tracking.tracking_uri_in_cluster)
    pulumi.export("artifact_root", artifacts.artifact_root)
    pulumi.export("s3_endpoint_url", artifacts.endpoint_url)
    pulumi.export("hosts_line", settings.hosts_line(tracking.address))
    pulumi.export("client_env", tracking.client_env)
    if settings.auth == "basic":
        # Followed by a name, it makes a user.
        pulumi.export("add_user", pulumi.Output.concat(settings.kubectl, " ", tracking.add_user))
    if certificate:
        pulumi.export("ca_certificate", certificate.authority)
    if workspace:
        pulumi.export("workspace_url", workspace.url)
        pulumi.export("workspace_token", workspace.token)
