"""The random provider, asked over the protocol as the engine asks."""

from __future__ import annotations

import string
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.empty_pb2 import Empty
from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc
from pulumi.runtime.rpc import UNKNOWN

from tests.plugins.harness import plugin, struct

SYMBOLS = "!@#$%&*()-_=+[]{}<>:?"
SETTINGS = ("lower", "upper", "numeric", "number", "special")


@pytest.fixture(scope="module")
def random() -> Iterator[Any]:
    with plugin("random", provider_pb2_grpc.ResourceProviderStub) as stub:
        yield stub


def urn(kind: str = "RandomPassword") -> str:
    return f"urn:pulumi:dev::p::random:index/{kind[0].lower()}{kind[1:]}:{kind}::name"


def create(random: Any, *, preview: bool = False, **inputs: Any) -> Any:
    """Return the answer, and the state in it."""
    request = provider_pb2.CreateRequest(urn=urn(), properties=struct(inputs), preview=preview)
    answer = random.Create(request)
    return answer, PropertyValue.unmarshal_map(answer.properties)


def password(random: Any, **inputs: Any) -> str:
    result = create(random, **inputs)[1]["result"]
    assert result.is_secret
    return str(result.value)


def diff(random: Any, state: Any, **inputs: Any) -> Any:
    return random.Diff(provider_pb2.DiffRequest(urn=urn(), olds=state, news=struct(inputs)))


def check(random: Any, inputs: dict[str, Any], kind: str = "RandomPassword") -> dict[str, str]:
    answer = random.Check(provider_pb2.CheckRequest(urn=urn(kind), news=struct(inputs)))
    return {failure.property: failure.reason for failure in answer.failures}


def test_says_that_it_keeps_secrets(random: Any) -> None:
    configured = random.Configure(provider_pb2.ConfigureRequest())
    assert configured.acceptSecrets
    assert configured.supportsPreview


def test_version_is_the_sdks(random: Any) -> None:
    assert random.GetPluginInfo(Empty()).version.count(".") == 2


def test_password_is_secret_and_as_asked(random: Any) -> None:
    answer, state = create(random, length=20, special=False)
    assert answer.id == "none"
    assert [state[name].value for name in SETTINGS] == [True, True, True, True, False]
    assert state["minLower"].value == 0
    result = password(random, length=2000, special=False)
    assert len(result) == 2000
    assert set(result) == set(string.ascii_letters + string.digits)


def test_symbols_are_taken_unless_they_are_not_wanted(random: Any) -> None:
    taken = set(password(random, length=3000))
    assert taken == set(string.ascii_letters + string.digits + SYMBOLS)


def test_two_passwords_differ(random: Any) -> None:
    assert len({password(random, length=16) for _ in range(20)}) == 20


def test_same_settings_are_no_change(random: Any) -> None:
    state = create(random, length=8)[0].properties
    for inputs in ({"length": 8}, {"length": 8, "special": True}):
        answer = diff(random, state, **inputs)
        assert answer.changes == provider_pb2.DiffResponse.DIFF_NONE
        assert not answer.replaces


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"length": 9}, "length"),
        ({"length": UNKNOWN}, "length"),
        ({"length": 8, "special": False}, "special"),
    ],
)
def test_every_change_replaces(random: Any, changed: dict[str, Any], field: str) -> None:
    answer = diff(random, create(random, length=8)[0].properties, **changed)
    assert answer.changes == provider_pb2.DiffResponse.DIFF_SOME
    assert list(answer.replaces) == [field]
    assert not answer.deleteBeforeReplace


@pytest.mark.parametrize(
    ("inputs", "field"),
    [
        ({}, "length"),
        ({"length": 0}, "length"),
        ({"length": "8"}, "length"),
        ({"length": 8, "special": "no"}, "special"),
        ({"length": 8, "lenght": 8}, "lenght"),
        ({"length": 8, "minUpper": 3}, "minUpper"),
    ],
)
def test_wrong_settings_are_refused_by_name(
    random: Any, inputs: dict[str, Any], field: str
) -> None:
    assert list(check(random, inputs)) == [field]


def test_unknown_settings_are_not_judged(random: Any) -> None:
    assert check(random, {"length": UNKNOWN, "special": UNKNOWN}) == {}


def test_refresh_keeps_the_value(random: Any) -> None:
    state = create(random, length=8)[0].properties
    read = random.Read(provider_pb2.ReadRequest(urn=urn(), id="none", properties=state))
    assert (read.id, read.properties) == ("none", state)


def test_preview_knows_the_settings_and_not_the_result(random: Any) -> None:
    answer, state = create(random, length=8, preview=True)
    assert (answer.id, state["length"].value) == ("", 8)
    assert state["result"] == PropertyValue(UNKNOWN, is_secret=True)


def test_other_kinds_are_refused_in_one_line(random: Any) -> None:
    said = check(random, {}, kind="RandomPet")
    assert said == {"": "the lab's random provider has RandomPassword, not RandomPet"}


def test_delete_forgets(random: Any) -> None:
    assert random.Delete(provider_pb2.DeleteRequest(urn=urn(), id="none")) == Empty()
