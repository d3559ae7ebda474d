"""The one reader of settings, for the program, the commands and the tests."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, cast

import pulumi
import pulumi.runtime.config
from pydantic import ValidationError

from components._kubernetes.grammars import Refused
from settings.assembled import OWN_SECRETS, SETTINGS, WHOLE, Settings
from settings.messages import refused, shown, unknown
from settings.rules import contradictions
from settings.values import Origin

_CLUSTER = ("kubernetes:context", "kubernetes:kubeconfig")


class SettingsError(Exception):
    """Settings were refused; the text has one line for each mistake."""


@dataclass(frozen=True)
class Given:
    """A stack's configuration: texts, as the engine hands them over, by their full keys."""

    project: str
    """Name of the Pulumi project."""
    texts: Mapping[str, str]
    """Every value that can be read, such as ``{"mlflow:replicas": "1"}``."""
    encrypted: frozenset[str] = frozenset()
    """Keys of ``texts`` that the user has encrypted."""
    unreadable: frozenset[str] = frozenset()
    """Keys whose values only the engine can decrypt."""

    @classmethod
    def from_engine(cls) -> "Given":
        """Return the configuration that the engine gives to the running program."""
        texts = pulumi.runtime.config.CONFIG.get()
        encrypted = frozenset(filter(pulumi.runtime.config.is_config_secret, texts))
        return cls(pulumi.get_project(), texts, encrypted)

    @classmethod
    def from_files(cls, project_file: Mapping[str, Any], stack_file: Mapping[str, Any]) -> "Given":
        """Return the configuration that the engine would give to the program.

        Args:
            project_file: content of Pulumi.yaml.
            stack_file: content of Pulumi.<stack>.yaml.
        """
        project = str(project_file["name"])
        declared: dict[str, dict[str, object]] = project_file.get("config") or {}
        values = {f"{project}:{key}": one.get("default") for key, one in declared.items()}
        values |= stack_file.get("config") or {}
        texts = {key: as_text(value) for key, value in values.items() if not _secure(value)}
        return cls(project, texts, unreadable=frozenset(values) - frozenset(texts))

    def changed(self, **values: object) -> "Given":
        """Return the same configuration with other values, in clear, by the settings' names."""
        changed = {f"{self.project}:{key}": as_text(value) for key, value in values.items()}
        return Given(
            self.project,
            {**self.texts, **changed},
            self.encrypted - changed.keys(),
            self.unreadable - changed.keys(),
        )

    def only(self, *keys: str) -> "Given":
        """Return the same configuration with the values of these settings alone."""
        kept = {f"{self.project}:{key}" for key in keys}
        return Given(
            self.project,
            {key: text for key, text in self.texts.items() if key in kept},
            self.encrypted & kept,
            self.unreadable & kept,
        )

    def read(self) -> Settings:
        """Return the settings. A setting that is not given has its default.

        A setting that only the engine can decrypt has its default too. If there is one, the rules
        between settings are not checked.

        Raises:
            SettingsError: with one line for each mistake.
        """
        prefix = f"{self.project}:"
        own = {
            key.removeprefix(prefix): text
            for key, text in self.texts.items()
            if key.startswith(prefix)
        }
        encrypted = {key.removeprefix(prefix) for key in self.encrypted}
        texts = {key: as_text(setting.default) for key, setting in SETTINGS.items()} | own
        cluster = {key: self.texts[key] for key in _CLUSTER if key in self.texts}
        origin = Origin(self.project, encrypted, OWN_SECRETS)
        try:
            settings = Settings.of(WHOLE.model_validate(texts | cluster, context=origin))
        except ValidationError as error:
            raise _error(self.project, _lines(error, texts, encrypted)) from None
        if self.unreadable:
            return settings

        def refuse(key: str, accepted: str) -> str:
            value = settings.value(key)
            text = shown(key, "" if value is None else value, encrypted=key in encrypted)
            return f"{key}: {text}; accepted: {accepted}"

        if lines := contradictions(settings, refuse):
            raise _error(self.project, lines)
        return settings


def load() -> Settings:
    """Return the settings of the stack whose program runs.

    Raises:
        pulumi.RunError: with one line for each mistake, before any resource exists.
    """
    try:
        return Given.from_engine().read()
    except SettingsError as mistakes:
        raise pulumi.RunError(str(mistakes)) from None


def as_text(value: object) -> str:
    """Return a value of YAML as the engine hands it over: a text, or JSON without blanks."""
    if value is None:
        return ""
    # YAML has dates too, which the engine gives as texts.
    structured = isinstance(value, bool | int | float | list | dict)
    if not structured:
        return str(value)
    return json.dumps(value, default=str, ensure_ascii=False, separators=(",", ":"))


def _error(project: str, lines: list[str]) -> SettingsError:
    return SettingsError("\n".join(f"{project}:{line}" for line in lines))


def _secure(value: object) -> bool:
    """Return whether a value in a stack file is encrypted, as a whole or in part."""
    if isinstance(value, list):
        return any(map(_secure, cast("list[object]", value)))
    if not isinstance(value, dict):
        return False
    members = cast("dict[object, object]", value)
    return "secure" in members or any(map(_secure, members.values()))


def _lines(
    error: ValidationError, texts: Mapping[str, str], encrypted: Collection[str]
) -> list[str]:
    """Return a line for each unknown key, then for each refused setting in declared order."""
    strangers: list[str] = []
    accepted: dict[str, str] = {}
    for one in error.errors(include_url=False, include_input=False):
        key, cause = str(one["loc"][0]), one.get("ctx", {}).get("error")
        if one["type"] == "extra_forbidden":
            strangers.append(key)
        else:
            text = str(cause) if isinstance(cause, Refused) else SETTINGS[key].kind.accepted
            accepted.setdefault(key, text)
    return [
        *map(unknown, sorted(strangers)),
        *(
            refused(key, texts[key], accepted[key], encrypted=key in encrypted)
            for key in SETTINGS
            if key in accepted
        ),
    ]
