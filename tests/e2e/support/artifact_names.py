"""Names of files that need escaping in a URL: through MLflow's client, on any store."""

import json
from collections.abc import Mapping

from harness import clients

# Not `a%20b`: MLflow's client decodes it before it is sent (docs/troubleshooting.md).
_KEPT = ["a space", "50%", "a;b", "a&b=c", "a+b", "a@b:c", "~a", "é 日本", "[a]{b}|c^d"]
_REFUSED = ["loss#1.txt", "loss#2.txt", "plot#1.png", "what?.txt"]
# An ingress controller may refuse it before the server does.
_REFUSED_BY_EITHER = "x%2Fy.txt"


def assert_kept_or_refused(machine: clients.Machine, client_env: Mapping[str, str]) -> None:
    """Log a file of each name: it comes back as it was, or is refused with the reason."""
    back = machine.run(
        "log_odd_names.py",
        client_env=client_env,
        seconds=120,
        stdin=json.dumps([*_KEPT, *_REFUSED, _REFUSED_BY_EITHER]),
    )
    assert {name: back[name] for name in _KEPT} == dict.fromkeys(_KEPT, True)
    for name in _REFUSED:
        assert "Invalid path: " in back[name]
        assert "rename the file" in back[name]
    assert isinstance(back[_REFUSED_BY_EITHER], str), "no file was stored"
