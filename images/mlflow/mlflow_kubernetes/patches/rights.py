"""What MLflow's checks of permissions ask of the databases, without a change of their answers.

For each call that logs to a run, MLflow's checks read the user twice, all grants of the user once,
and all of the run. Here one statement reads the user with the grants (login/user_store.py), and
one reads the experiment of the run.

MLflow also reads each answer with runs again, to leave out links to models that the sender may not
read. Here MLflow does that only for an answer that has such links.
"""

import importlib
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

from flask import Response

from mlflow_kubernetes.stores import runs

# The fields that MLflow may leave out of an answer with runs, as the answer names them.
_LINKS = (b'"model_inputs"', b'"model_outputs"', b'"model_id"')


def install_with_login() -> None:
    """Have MLflow's checks use the store of users of this package, and its store of runs."""
    # It imports MLflow's basic-auth.
    from mlflow_kubernetes.login import user_store  # noqa: PLC0415

    server: Any = importlib.import_module("mlflow.server.auth")
    # MLflow has no plugin point for it.
    server.store = user_store.Store()
    resolve = server.resolve_permissions
    server.resolve_permissions = partial(user_store.resolve_permissions, resolve)
    server._fetch_or_none = partial(_fetch_or_none, server._fetch_or_none)
    redact = server._redact_run_response
    server._redact_run_response = partial(_redact_run_response, redact)


def _fetch_or_none(
    fetch_or_none: Callable[..., Any], fetch: Callable[[str], Any], resource_id: str
) -> Any:
    """Call MLflow's function of this name.

    MLflow's `_run_requirement` gives it the store's method for a whole run, and uses no more of the
    run than its experiment.
    """
    store = getattr(fetch, "__self__", None)
    if isinstance(store, runs.Store) and fetch == store.get_run:
        fetch = partial(_run_of, store)
    return fetch_or_none(fetch, resource_id)


def _run_of(store: runs.Store, run_id: str) -> SimpleNamespace:
    return SimpleNamespace(info=SimpleNamespace(experiment_id=store.experiment_of(run_id)))


def _redact_run_response(redact: Callable[..., None], answer: Response, *rest: Any) -> None:
    """Call MLflow's function of this name.

    By its `_withhold_denied_run_model_links`, it changes no answer without one of the fields.
    """
    body = answer.get_data()
    if any(name in body for name in _LINKS):
        redact(answer, *rest)
