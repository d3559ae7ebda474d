"""The choices of ``mlflow:artifactStore``: each is complete, and is tried."""

from collections import Counter

import pytest

from artifact_stores import CHOICES
from artifact_stores.minio import MinioSettings
from artifact_stores.s3 import S3Settings
from settings.assembled import SETTINGS
from settings.load import Given
from settings.schema import SharedSettings
from tests.artifact_stores import TRIED, module


def test_every_store_has_a_file_that_says_what_is_tried() -> None:
    missing = [f"{module(name).replace('.', '/')}.py" for name in CHOICES if name not in TRIED]
    assert missing == [], "CONTRIBUTING.md says what is in them: Add an artifact store"


@pytest.mark.parametrize("name", TRIED)
def test_every_variant_says_who_reaches_whom(name: str) -> None:
    tried = TRIED[name]
    assert tried.variants
    assert tried.paths.keys() == tried.direct_paths.keys() == tried.variants.keys()
    for settings in tried.variants.values():
        assert settings.get("artifactStore", "minio") == name


def test_each_setting_is_declared_by_one_store_or_by_none() -> None:
    own = [setting.attribute for choice in CHOICES.values() for setting in choice.own]
    assert [name for name, number in Counter(own).items() if number > 1] == []
    assert not {*own} & SharedSettings.declared.keys()
    assert {*own} <= {setting.attribute for setting in SETTINGS.values()}


def test_a_store_has_the_settings_as_its_own() -> None:
    settings = Given("mlflow", {}).read()
    assert MinioSettings.of(settings).artifact_replicas == 1
    assert S3Settings.of(settings).s3_region == "us-east-1"
    with pytest.raises(TypeError, match="MinioSettings has no S3Settings"):
        S3Settings.of(MinioSettings.model_construct())
