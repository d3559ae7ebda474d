"""The random provider, asked over the protocol as the engine asks."""

from __future__ import annotations

import string
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from lab.plugins.wire import UNKNOWN, Properties, Secret, decode, encode
from tests.plugins.harness import plugin

SYMBOLS = "!@#$%&*()-_=+[]{}<>:?"


@pytest.fixture(scope="module")
def random() -> Iterator[Any]:
    with plugin("random", provider_pb2_grpc.ResourceProviderStub) as stub:
        yield stub


def asked(kind: str = "RandomPassword") -> dict[str, Any]:
    token = f"random:index/{kind[0].lower()}{kind[1:]}:{kind}"
    return {"urn": f"urn:pulumi:dev::p::{token}::name", "type": token, "name": "name"}


def create(random: Any, inputs: Properties, *, preview: bool = False) -> Any:
    request = provider_pb2.CreateRequest(**asked(), properties=encode(inputs), preview=preview)
    answer = random.Create(request)
    return answer.id, decode(answer.properties)


def diff(random: Any, state: Properties, inputs: Properties) -> Any:
    request = provider_pb2.DiffRequest(**asked(), id="x", olds=encode(state), news=encode(inputs))
    return random.Diff(request)


def check(random: Any, inputs: Properties) -> dict[str, str]:
    request = provider_pb2.CheckRequest(**asked(), news=encode(inputs))
    return {f.property: f.reason for f in random.Check(request).failures}


def read(random: Any, id: str, state: Properties) -> tuple[str, Properties, Properties]:
    request = provider_pb2.ReadRequest(**asked(), id=id, properties=encode(state))
    answer = random.Read(request)
    return answer.id, decode(answer.properties), decode(answer.inputs)


def test_says_that_it_keeps_secrets(random: Any) -> None:
    assert random.Handshake(provider_pb2.ProviderHandshakeRequest()).accept_secrets
    configured = random.Configure(provider_pb2.ConfigureRequest())
    assert configured.acceptSecrets
    assert configured.supportsPreview


def test_version_is_the_sdks(random: Any) -> None:
    assert random.GetPluginInfo(Empty()).version.count(".") == 2


def test_password_is_secret_and_as_asked(random: Any) -> None:
    id, state = create(random, {"length": 20, "special": False})
    assert id == "none"
    result, hashed = state["result"], state["bcryptHash"]
    assert isinstance(result, Secret)
    assert isinstance(hashed, Secret)
    assert len(result.value) == 20
    assert set(result.value) <= set(string.ascii_letters + string.digits)
    assert hashed.value.startswith("$2b$10$")
    assert len(hashed.value) == 60
    assert (state["lower"], state["upper"], state["numeric"], state["number"]) == (True,) * 4
    assert state["minLower"] == 0


def test_two_passwords_differ(random: Any) -> None:
    made = {create(random, {"length": 16})[1]["result"].value for _ in range(20)}
    assert len(made) == 20


def test_minimums_are_met(random: Any) -> None:
    settings = {"length": 8, "minUpper": 2, "minLower": 2, "minNumeric": 2, "minSpecial": 2}
    _, state = create(random, settings)
    counts = [
        sum(letter in group for letter in state["result"].value)
        for group in (string.ascii_uppercase, string.ascii_lowercase, string.digits, SYMBOLS)
    ]
    assert counts == [2, 2, 2, 2]


def test_special_letters_can_be_chosen(random: Any) -> None:
    settings = {"length": 9, "upper": False, "lower": False, "numeric": False}
    _, state = create(random, settings | {"overrideSpecial": "_"})
    assert state["result"] == Secret("_________")


def test_same_settings_are_no_change(random: Any) -> None:
    _, state = create(random, {"length": 8, "keepers": {"a": "1"}})
    spelled_out = {"length": 8, "keepers": {"a": "1"}, "special": True, "numeric": True}
    for inputs in ({"length": 8, "keepers": {"a": "1"}}, spelled_out):
        answer = diff(random, state, inputs)
        assert answer.changes == provider_pb2.DiffResponse.DIFF_NONE
        assert not answer.replaces


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"length": 9}, "length"),
        ({"length": 8, "keepers": {"a": "2"}}, "keepers"),
        ({"length": 8, "special": False}, "special"),
        ({"length": 8, "keepers": {"a": UNKNOWN}}, "keepers"),
    ],
)
def test_every_change_replaces(random: Any, changed: Properties, field: str) -> None:
    _, state = create(random, {"length": 8})
    answer = diff(random, state, changed)
    assert answer.changes == provider_pb2.DiffResponse.DIFF_SOME
    assert list(answer.replaces) == [field]
    assert not answer.deleteBeforeReplace


@pytest.mark.parametrize(
    ("inputs", "field"),
    [
        ({}, "length"),
        ({"length": 0}, "length"),
        ({"length": 2, "minUpper": 3}, "length"),
        ({"length": "8"}, "length"),
        ({"length": 8, "lenght": 8}, "lenght"),
    ],
)
def test_wrong_settings_are_refused_by_name(random: Any, inputs: Properties, field: str) -> None:
    assert list(check(random, inputs)) == [field]


def test_unknown_settings_are_not_judged(random: Any) -> None:
    assert check(random, {"length": UNKNOWN, "keepers": {"a": UNKNOWN}}) == {}


def test_nothing_to_choose_from_is_one_line(random: Any) -> None:
    nothing = dict.fromkeys(("upper", "lower", "numeric", "special"), False)
    with pytest.raises(grpc.RpcError) as error:
        create(random, {"length": 3} | nothing)
    assert error.value.details() == (
        "at least one of lower, upper, numeric and special must be true"
    )


def test_refresh_keeps_the_value(random: Any) -> None:
    id, state = create(random, {"length": 8})
    assert read(random, id, state)[:2] == (id, state)


def test_preview_knows_the_settings_and_not_the_result(random: Any) -> None:
    id, state = create(random, {"length": 8}, preview=True)
    assert (id, state["length"], state["result"]) == ("", 8, Secret(UNKNOWN))


def test_import_takes_the_value_itself(random: Any) -> None:
    id, state, inputs = read(random, "correct horse", {})
    assert (id, state["result"], inputs["length"]) == ("none", Secret("correct horse"), 13)


def test_other_kinds_are_refused_in_one_line(random: Any) -> None:
    request = provider_pb2.CheckRequest(**asked("RandomPet"), news=encode({}))
    with pytest.raises(grpc.RpcError, match="not RandomPet"):
        random.Check(request)


def test_delete_forgets(random: Any) -> None:
    assert random.Delete(provider_pb2.DeleteRequest(**asked(), id="none")) == Empty()
