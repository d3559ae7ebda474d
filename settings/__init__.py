"""Settings of the stack: declared in ``schema``, read by ``load``."""

from settings.load import Given, SettingsError, load
from settings.schema import SETTINGS, ArtifactStoreKind, BackendStoreKind, Settings

__all__ = [
    "SETTINGS",
    "ArtifactStoreKind",
    "BackendStoreKind",
    "Given",
    "Settings",
    "SettingsError",
    "load",
]
