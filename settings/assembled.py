"""All settings of a stack: the shared ones, and those of each artifact store."""

from typing import Annotated

from pydantic import AfterValidator, Field, create_model

from artifact_stores import CHOICES
from artifact_stores._choice import Choice
from settings import values
from settings.declarations import Group, Setting
from settings.schema import GROUPS, SharedSettings
from settings.values import Kind


def _known(text: str) -> str:
    if text not in CHOICES:
        raise ValueError(text)
    return text


_OUTSIDE = " or ".join(f"{one.outside} (`{name}`)" for name, one in CHOICES.items() if one.outside)


class Settings(SharedSettings):
    """All settings of a stack, checked: a value that does not change."""

    artifact_store: Annotated[str, AfterValidator(_known), Kind(" or ".join(CHOICES))] = Field(
        "minio",
        description=f"Store for files and models: a server of the stack, or {_OUTSIDE} that "
        "exists.",
    )

    @property
    def store(self) -> Choice:
        """The chosen artifact store."""
        return CHOICES[self.artifact_store]

    @property
    def hosts(self) -> dict[str, str]:
        """Every host name that the stack publishes, by the setting that gives the name."""
        return self._hosts(*self.store.hosts, *(["workspaceHost"] if self.client_workspace else []))

    @property
    def possible_hosts(self) -> list[str]:
        """Every host name that the settings can publish, with all parts of the stack."""
        of_stores = (key for choice in CHOICES.values() for key in choice.hosts)
        return list(self._hosts(*of_stores, "workspaceHost").values())

    def _hosts(self, *more: str) -> dict[str, str]:
        hosts = {key: str(self.value(key)) for key in ("trackingHost", *more)}
        return {**hosts, "trackingHost": hosts["trackingHost"].partition("/")[0]}

    @property
    def images(self) -> dict[str, str]:
        """Names of all images, as the cluster pulls them, by the setting that names the image."""
        keys = (key for key in SETTINGS if key.endswith("Image"))
        return {key: str(self.value(key)) for key in self.given(*keys)}


_BASES: list[type[SharedSettings]] = [Settings, *(one.settings for one in CHOICES.values())]
WHOLE = create_model("Settings", __base__=tuple(_BASES))
"""The class of which the program has one value. It inherits from each store's class as well, so
that the store's functions can have the value as their own: ``MinioSettings.of(settings)``."""

_STACK, *_OTHERS = GROUPS
BY_GROUP: dict[type[Group], list[Setting]] = {
    _STACK: [WHOLE.declared[name] for name in _STACK.declared],
    **{choice.settings: choice.own for choice in CHOICES.values()},
    **{group: [*group.declared.values()] for group in _OTHERS},
}
"""The settings of each group, in the order of Pulumi.yaml and docs/settings.md."""
SETTINGS = {setting.key: setting for group in BY_GROUP.values() for setting in group}
"""Every setting by its key, in the order of Pulumi.yaml."""
OWN_SECRETS = values.own_secrets(
    first for name, choice in CHOICES.items() for first in (name, *choice.secrets)
)
"""Matches the names of Secrets that the stack writes."""
