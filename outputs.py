"""The stack outputs, for users and `make`: addresses, logins, the environment of a client."""

import pulumi

from components import ArtifactStore, Backups, ClientWorkspace, LocalCertificate, TrackingServer
from settings.assembled import Settings
from wiring import kubectl


def export(
    settings: Settings,
    artifacts: ArtifactStore,
    tracking: TrackingServer,
    backups: Backups,
    *,
    workspace: ClientWorkspace | None,
    certificate: LocalCertificate | None,
) -> None:
    """Export each output that the settings call for."""
    pulumi.export("tracking_uri", tracking.tracking_uri)
    pulumi.export("tracking_uri_in_cluster", tracking.tracking_uri_in_cluster)
    pulumi.export("artifact_root", artifacts.artifact_root)
    pulumi.export("s3_endpoint_url", artifacts.endpoint_url)
    pulumi.export("hosts_line", _hosts_line(settings, tracking.address))
    pulumi.export("client_env", tracking.client_env)
    pulumi.export("last_upgrade", tracking.last_upgrade)
    if settings.auth == "basic":
        # A command that creates a user. The caller adds the user's name.
        pulumi.export("add_user", pulumi.Output.concat(kubectl(settings), " ", tracking.add_user))
    pulumi.export("backup_passphrase", backups.passphrase)
    if certificate:
        pulumi.export("ca_certificate", certificate.authority)
    if workspace:
        pulumi.export("workspace_url", workspace.url)
        pulumi.export("workspace_token", workspace.token)


def _hosts_line(settings: Settings, address: pulumi.Output[str]) -> pulumi.Output[str]:
    """Return a line for the hosts file of a client's machine, with all host names."""
    names = " ".join(settings.hosts.values())
    missing = f"<address of the {'gateway' if settings.gateway else 'ingress'}>"
    return address.apply(lambda known: f"{known or missing} {names}")
