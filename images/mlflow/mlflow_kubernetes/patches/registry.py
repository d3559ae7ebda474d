"""Every private part of another package that this package replaces or relies on.

Before the server imports its patches, it compares each part with the digest that is noted here. If
one part differs, the server does not start, because a patch may no longer protect what it is for.
`python -m mlflow_kubernetes.patches` shows which parts differ. docs/upgrading-mlflow.md says what to
do then.
"""

# ruff: noqa: E501 (a target is a name, which has no second line)

import hashlib
import importlib
import inspect
import linecache
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

MADE_FOR = {
    "aiohttp": "3.14.5",
    "alembic": "1.20.1",
    "mlflow": "3.17.2",
    "sqlalchemy": "2.1.9",
    "starlette": "1.10.0",
    "urllib3": "2.8.0",
    "uvicorn": "0.54.0",
}
"""The versions of the packages whose digests are noted here."""
MISSING = "missing"
"""The digest of a target that does not exist."""
NONE_REPORTED = "none reported"


@dataclass(frozen=True)
class Patch:
    """What one module of this package replaces in other packages, and what it relies on there."""

    why: str
    """What MLflow does without the module."""
    test: str
    """The name of the test that fails without the module: `pytest tests -k NAME` in its folder."""
    upstream: str = NONE_REPORTED
    """Issues or pull requests about it."""
    replaces: Mapping[str, str] = field(default_factory=dict)
    """Digests by part: code of this package stands in the place of these."""
    uses: Mapping[str, str] = field(default_factory=dict)
    """Digests by part: the module calls or reads these, which are private."""


PATCHES = {
    "artifacts.s3": Patch(
        why="MLflow's S3 repository makes its client with settings that it alone reads.",
        test="test_a_part_and_a_newer_version_can_be_asked_for",
        uses={
            "mlflow.store.artifact.s3_artifact_repo:S3ArtifactRepository#_bucket_owner_params": "732a3525",
            "mlflow.store.artifact.s3_artifact_repo:S3ArtifactRepository._get_s3_client": "cf29df20",
        },
    ),
    "gc": Patch(
        why="`mlflow gc` asks the server for the files, and the server asks for a login.",
        test="test_what_was_deleted_can_be_removed_for_good",
        uses={
            "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore._hard_delete_experiment": "c0960725",
            "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore._hard_delete_logged_model": "ad9e7080",
            "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore._hard_delete_run": "970d3343",
        },
    ),
    "login.gate": Patch(
        why="MLflow checks passwords in its event loop, or after it has read all of a request.",
        test="test_a_wrong_password_lets_nobody_in",
        upstream="mlflow/mlflow#22817",
        uses={
            "mlflow.server.auth:_MLFLOW_INTERNAL_GATEWAY_AUTH_TOKEN": "cd42404d",
            "mlflow.server.auth:_USER_AUTH_CACHE": "cd42404d",
            "mlflow.server.auth:_USER_AUTH_CACHE_LOCK": "cd42404d",
            "mlflow.server.auth:_auth_cache_key": "a4c07d53",
            "mlflow.server.auth:_authenticate_cached": "19f7ad90",
            "mlflow.server.handlers:_add_static_prefix": "6c32b1d3",
        },
    ),
    "login.user_store": Patch(
        why="MLflow's store asks for a user at each check, and then for the grants of the user.",
        test="test_a_check_of_permissions_takes_few_statements",
        replaces={
            "mlflow.server.auth.sqlalchemy_store:SqlAlchemyStore.get_user": "60f14b40",
            "mlflow.server.auth.sqlalchemy_store:SqlAlchemyStore.list_grants": "3087ea37",
        },
        uses={
            "mlflow.server.auth.db.models:SqlRole": "69471531",
            "mlflow.server.auth.db.models:SqlRolePermission": "15a98b57",
            "mlflow.server.auth.db.models:SqlUser": "781e0f22",
            "mlflow.server.auth.db.models:SqlUserRoleAssignment": "d9be50cf",
            "mlflow.server.auth.entities:User": "48e15a62",
            "mlflow.server.auth.permissions:_validate_resource_type": "98504117",
            "mlflow.server.auth.permissions:matches": "a440f452",
            "mlflow.server.auth.sqlalchemy_store:RoleGrantRow": "852f9205",
            "mlflow.server.auth.sqlalchemy_store:SqlAlchemyStore.init_db": "5756c3d6",
        },
    ),
    "patches.artifact_names": Patch(
        why="MLflow decodes names until nothing is left to decode: `a%41` is stored as `aA`.",
        test="test_no_artifact_is_stored_under_another_name",
        upstream="mlflow/mlflow#22165",
        replaces={
            "mlflow.server.artifact_router:validate_path_is_safe": "c4a1c5c1",
            "mlflow.server.handlers:validate_path_is_safe": "c4a1c5c1",
        },
        uses={
            "mlflow.utils.mime_type_utils:_guess_mime_type": "07fe70ff",
        },
    ),
    "patches.bad_input": Patch(
        why="MLflow answers 500 to bad input, which its clients repeat for minutes.",
        test="test_bad_input_is_refused_as_such",
        upstream="mlflow/mlflow#5847, mlflow/mlflow#5848",
        replaces={
            "mlflow.exceptions:ERROR_CODE_TO_HTTP_STATUS": "cd42404d",
            "mlflow.exceptions:MlflowException.__init__": "7a7bd5a5",
            "sqlalchemy.pool:QueuePool._do_get": "b7f1bca5",
        },
    ),
    "patches.bridge": Patch(
        why="MLflow's bridge to Flask keeps all of a request and of an answer in memory.",
        test="test_a_body_without_a_length_is_read",
        replaces={
            "mlflow.server.fastapi_app:_EfficientWSGIMiddleware.__call__": "1cfc7db9",
            "mlflow.server.fastapi_app:_EfficientWSGIResponder.__call__": "244307f5",
            "mlflow.server:upload_artifact_handler": "86c11750",
            "starlette.middleware.wsgi:WSGIResponder.__init__": "76493f0a",
        },
        uses={
            "mlflow.server.fastapi_app:_EfficientWSGIMiddleware": "16ac2693",
            "mlflow.server.fastapi_app:_EfficientWSGIResponder": "4dbc2ba0",
            "starlette.middleware.wsgi:WSGIResponder": "afdaba57",
        },
    ),
    "patches.downloads": Patch(
        why="MLflow fetches a whole artifact into /tmp before the first byte is sent.",
        test="test_what_passes_through_the_server_is_not_kept_in_it",
        upstream="mlflow/mlflow#10331",
        replaces={
            "mlflow.server.artifact_router:download_artifact": "1637ad2d",
            "mlflow.server.handlers:_send_artifact": "056edcf0",
            "mlflow.server:get_trace_artifact_handler": "fbd0cf47",
        },
        uses={
            "mlflow.server.artifact_router:_content_disposition": "02add24e",
            "mlflow.server.artifact_router:_get_artifact_repo": "2d6253d3",
            "mlflow.server.artifact_router:_get_workspace_scoped_path": "2f353be5",
            "mlflow.server.artifact_router:_is_serving_proxied_artifacts": "a65485d0",
            "mlflow.server.artifact_router:artifact_router": "b386e79f",
            "mlflow.server.handlers:_get_trace_artifact_repo": "395b9741",
            "mlflow.server.handlers:_get_tracking_store": "fcce1841",
            "mlflow.server.handlers:_validate_attachment_path": "de03708a",
            "mlflow.utils.mime_type_utils:_guess_mime_type": "07fe70ff",
        },
    ),
    "patches.egress": Patch(
        why="MLflow refuses every private address and waits for minutes for a closed one.",
        test="test_a_private_address_that_is_open_may_be_called",
        upstream="mlflow/mlflow#24179, mlflow/mlflow#25761",
        replaces={
            "aiohttp:ClientSession.__init__": "1ee8fee3",
            "mlflow.gateway.providers.utils:_aiohttp_post": "1be5b6c8",
            "mlflow.gateway.ssrf:assert_public_upstream_url": "1a94a9fe",
            "mlflow.gateway.ssrf:build_ssrf_guarded_connector": "518fbb6e",
            "mlflow.utils.validation:_validate_hostname_resolves_to_public_ips": "ed66cfc6",
            "mlflow.webhooks.delivery:_create_webhook_session": "73fc04b0",
            "mlflow.webhooks.delivery:_validate_webhook_url": "5356529d",
            "mlflow.webhooks.ssrf:_SSRFProtectedHTTPConnection._new_conn": "6053b173",
            "mlflow.webhooks.ssrf:_SSRFProtectedHTTPSConnection._new_conn": "0b7f4add",
        },
        uses={
            "mlflow.utils.validation:_embedded_ipv4": "3ec50afe",
            "mlflow.utils.validation:_is_ip_literal_like": "8834463f",
            "mlflow.utils.validation:_resolve_hostname_with_timeout": "fb81246e",
            "mlflow.utils.validation:_validate_webhook_url": "5356529d",
            "mlflow.webhooks.ssrf:_SSRFProtectedHTTPConnection": "c9084bcb",
            "mlflow.webhooks.ssrf:_SSRFProtectedHTTPSConnection": "5830653a",
            "urllib3.connection:HTTPConnection._new_conn": "2c73fe5a",
            "urllib3.connection:HTTPSConnection._new_conn": "2c73fe5a",
        },
    ),
    "patches.hosts": Patch(
        why="MLflow compares a Host header with patterns: `10.*` lets in `10.evil.example`.",
        test="test_a_name_is_not_taken_for_an_address",
        upstream="mlflow/mlflow#22095",
        replaces={
            "mlflow.server.fastapi_security:is_allowed_host_header": "07e1e095",
            "mlflow.server.security:is_allowed_host_header": "07e1e095",
        },
    ),
    "patches.locations": Patch(
        why="MLflow lets the maker of an experiment choose any address for its artifacts.",
        test="test_artifacts_are_kept_in_the_store",
        upstream="mlflow/mlflow#24767",
        replaces={
            "mlflow.server.handlers:_validate_storage_location_uri": "ce5bed5c",
        },
    ),
    "patches.login": Patch(
        why="MLflow asks again who the user is, and lets every user make its demo.",
        test="test_the_demo_is_left_to_admins",
        replaces={
            "mlflow.server.auth:BEFORE_REQUEST_VALIDATORS": "cd42404d",
            "mlflow.server.auth:_authenticate_fastapi_request": "88ae4d6d",
        },
        uses={
            "mlflow.server.auth:DEMO_GENERATE": "d5e44900",
            "mlflow.server.auth:sender_is_admin": "9b7ce3c4",
        },
    ),
    "patches.memory": Patch(
        why="uvicorn reads 64 KiB ahead, and uploads stop at each read.",
        test="test_uvicorn_reads_ahead_of_the_application",
        replaces={
            "uvicorn.protocols.http.h11_impl:HIGH_WATER_LIMIT": "0f255ec1",
        },
    ),
    "patches.model_files": Patch(
        why="MLflow refuses the files of a registered model to those who may read the model alone.",
        test="test_readers_of_a_model_read_its_files",
        upstream="mlflow/mlflow#21201",
        replaces={
            "mlflow.server.auth:_authorize_fastapi_artifact_proxy": "52829ca3",
            "mlflow.server.auth:_authorize_flask_artifact_proxy": "74d3c549",
        },
        uses={
            "mlflow.server.auth:_artifact_proxy_path": "d345ef3d",
            "mlflow.server.auth:_artifact_proxy_path_from_request_path": "9e91eda0",
            "mlflow.server.auth:_canonical_artifact_proxy_path": "81956b38",
            "mlflow.server.auth:authenticate_request": "aa4a6343",
            "mlflow.server.auth:authorize": "99bbb671",
            "mlflow.server.handlers:_get_model_registry_store": "e39d87c0",
            "mlflow.server.handlers:_get_tracking_store": "fcce1841",
        },
    ),
    "patches.provider_keys": Patch(
        why="MLflow reads keys of model providers with one passphrase, so a new one stops servers.",
        test="test_servers_read_what_a_former_key_encrypted",
        replaces={
            "mlflow.utils.crypto:unwrap_dek": "c87e0219",
        },
    ),
    "patches.rights": Patch(
        why="MLflow's checks of permissions read the user twice, all grants and all of a run.",
        test="test_a_check_of_permissions_takes_few_statements",
        replaces={
            "mlflow.server.auth:_fetch_or_none": "b4656fc1",
            "mlflow.server.auth:_redact_run_response": "6111afc4",
            "mlflow.server.auth:resolve_permissions": "65a2245e",
            "mlflow.server.auth:store": "cd42404d",
        },
        uses={
            "mlflow.server.auth:_run_requirement": "21e97fff",
            "mlflow.server.auth:_withhold_denied_run_model_links": "4cf27632",
        },
    ),
    "patches.traces": Patch(
        why="MLflow does not ask whose the run is that spans name.",
        test="test_nobody_adds_spans_to_the_run_of_another_user",
        replaces={
            "mlflow.server.auth:_get_otel_validator": "6457855b",
        },
        uses={
            "mlflow.server.auth:_run_requirement": "21e97fff",
            "mlflow.server.auth:authorize": "99bbb671",
            "mlflow.server.otel_api:export_traces": "b87a445a",
            "mlflow.server.otel_api:otel_router": "cf658434",
        },
    ),
    "patches.uploads": Patch(
        why="MLflow stores a part of a file in the place of the whole file.",
        test="test_a_part_of_a_file_is_not_stored_as_the_file",
        replaces={
            "mlflow.server.artifact_router:upload_artifact": "466e7225",
        },
        uses={
            "mlflow.server.artifact_router:_get_artifact_repo": "2d6253d3",
            "mlflow.server.artifact_router:_get_workspace_scoped_path": "2f353be5",
        },
    ),
    "patches.webhooks": Patch(
        why="MLflow answers 500 to a list of webhooks, one of which has a secret of another key.",
        test="test_a_webhook_of_another_key_is_listed_and_not_delivered",
        replaces={
            "mlflow.store.model_registry.dbmodels.models:EncryptedString.process_result_value": "c2f36522",
            "mlflow.webhooks.delivery:_send_webhook_request": "3d0f1be6",
        },
    ),
    "serve": Patch(
        why="MLflow starts uvicorn as a child, and each worker imports MLflow anew.",
        test="test_no_process_keeps_mlflow_but_the_workers",
        upstream="mlflow/mlflow#5332",
        replaces={
            "mlflow.server:_exec_cmd": "3761fc3c",
        },
    ),
    "server.probes": Patch(
        why="MLflow's health check never asks the database.",
        test="test_readiness_asks_the_database",
        uses={
            "mlflow.server.handlers:_add_static_prefix": "6c32b1d3",
        },
    ),
    "server.workers": Patch(
        why="uvicorn starts each worker as a new interpreter.",
        test="test_no_process_keeps_mlflow_but_the_workers",
        upstream="mlflow/mlflow#5332",
        replaces={
            "uvicorn.main:Multiprocess": "894be51b",
            "uvicorn:Config.bind_socket": "d0ccca58",
        },
    ),
    "stores.model_versions": Patch(
        why="The stores are plugins of MLflow; the store of runs has no public way to it.",
        test="test_a_versions_files_are_named_without_the_run",
        upstream="mlflow/mlflow#21201",
        uses={
            "mlflow.server.handlers:_get_tracking_store": "fcce1841",
        },
    ),
    "stores.run_rows": Patch(
        why="MLflow names a run that has no name of its own by the run's tags.",
        test="test_runs_are_written_as_by_mlflow_itself",
        upstream="mlflow/mlflow#3010",
        uses={
            "mlflow.utils.mlflow_tags:_get_run_name_from_tags": "133e20c9",
        },
    ),
    "stores.runs": Patch(
        why="MLflow's store takes up to 15 round trips to the database for a batch.",
        test="test_runs_are_written_as_by_mlflow_itself",
        upstream="mlflow/mlflow#3010",
        replaces={
            "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore._log_metrics": "88fd1297",
            "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore._log_metrics_once": "9b4bddbd",
            "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore._log_params": "db44d56f",
            "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore._set_tags": "1052c939",
            "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore._update_latest_metrics_if_necessary": "2bf2ab22",
            "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore.create_run": "12eec9f6",
            "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore.get_run": "04359ffa",
            "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore.log_batch": "929c70d9",
            "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore.log_param": "e6e29210",
            "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore.set_tag": "7df0c7ba",
            "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore.update_run_info": "08d1c5e5",
        },
        uses={
            "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore._check_experiment_is_active": "ad48d2ac",
            "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore._check_run_is_active": "908d6c00",
            "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore._get_active_workspace": "9c7e0c98",
            "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore._get_dialect": "bdf10143",
            "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore._log_model_metrics": "6e28c04d",
            "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore._run_with_deadlock_retry": "6f2636eb",
            "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore.log_metric": "cb4f3d28",
            "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore.sanitize_metric_value": "91a6e17b",
            "mlflow.utils.mlflow_tags:_get_run_name_from_tags": "133e20c9",
            "mlflow.utils.name_utils:_generate_random_name": "6d263cb3",
            "mlflow.utils.validation:_parse_experiment_id": "000b310f",
            "mlflow.utils.validation:_validate_batch_log_data": "c3cf00c0",
            "mlflow.utils.validation:_validate_batch_log_limits": "2c72b475",
            "mlflow.utils.validation:_validate_metric": "e23f75f4",
            "mlflow.utils.validation:_validate_param": "dbf09fa7",
            "mlflow.utils.validation:_validate_param_keys_unique": "36b64ac4",
            "mlflow.utils.validation:_validate_run_id": "9bb32ee1",
            "mlflow.utils.validation:_validate_tag": "97eefe4b",
        },
    ),
    "stores.searches": Patch(
        why="MLflow sorts all columns of all runs for a page, and reads runs object by object.",
        test="test_runs_are_written_as_by_mlflow_itself",
        upstream="mlflow/mlflow#2730",
        replaces={
            "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore._search_runs": "dd74684a",
            "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore.get_metric_history": "1d16ccec",
            "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore.get_metric_history_bulk": "9df29252",
        },
        uses={
            "mlflow.store.tracking.dbmodels.models:SqlRun": "761eda3c",
            "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore._filter_entity_ids": "5f69f4cd",
            "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore._filter_experiment_ids": "34c74bc9",
            "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore._get_dialect": "bdf10143",
            "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore._validate_max_results_param": "3659195b",
            "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore._validate_run_accessible": "ec2dc6cb",
            "mlflow.store.tracking.sqlalchemy_store:_get_orderby_clauses": "0fdf4331",
            "mlflow.store.tracking.sqlalchemy_store:_get_sqlalchemy_filter_clauses": "efe4d673",
            "mlflow.utils.validation:_parse_experiment_ids": "6def16bd",
        },
    ),
    "stores.tables": Patch(
        why="The statements are for the tables of this release.",
        test="test_runs_are_written_as_by_mlflow_itself",
        upstream="mlflow/mlflow#3010",
        uses={
            "mlflow.store.tracking.dbmodels.models:SqlDataset": "25fcfde8",
            "mlflow.store.tracking.dbmodels.models:SqlExperiment": "52950acf",
            "mlflow.store.tracking.dbmodels.models:SqlInput": "2019641e",
            "mlflow.store.tracking.dbmodels.models:SqlInputTag": "466b7607",
            "mlflow.store.tracking.dbmodels.models:SqlLatestMetric": "a589f455",
            "mlflow.store.tracking.dbmodels.models:SqlMetric": "8336a71a",
            "mlflow.store.tracking.dbmodels.models:SqlParam": "85d61a67",
            "mlflow.store.tracking.dbmodels.models:SqlRun": "761eda3c",
            "mlflow.store.tracking.dbmodels.models:SqlTag": "a69b9209",
        },
    ),
    "support.schemas": Patch(
        why="MLflow migrates by a command alone, whose address shows in the list of processes.",
        test="test_older_database_is_migrated_with_its_content",
        upstream="mlflow/mlflow#9642, mlflow/mlflow#23721",
        uses={
            "alembic.script:ScriptDirectory._upgrade_revs": "cce090bb",
            "mlflow.server.auth.db.utils:_get_alembic_config": "b7c7fdba",
            "mlflow.server.auth.db.utils:migrate": "46a7fef9",
            "mlflow.server.auth.sqlalchemy_store:_RETAINED_LEGACY_PERMISSION_TABLES": "0f1668ae",
            "mlflow.store.db.utils:_get_alembic_config": "1405b634",
            "mlflow.store.db.utils:_initialize_tables": "4081dd89",
            "mlflow.store.db.utils:_upgrade_db": "a5002db6",
        },
    ),
}
"""By module of this package."""


def check(modules: Iterable[str] = (), *, login: bool = True) -> str | None:
    """Compare the targets with their digests, in a process without patches.

    Args:
        modules: The modules of this package whose targets count; none means all.
        login: Whether the parts of MLflow's basic-auth count, which take seconds to import.

    Returns:
        One line that names every target that differs and says what to do; None if none does.
    """
    targets = {
        target: digest
        for module in modules or PATCHES
        for target, digest in {**PATCHES[module].replaces, **PATCHES[module].uses}.items()
        if login or not target.startswith("mlflow.server.auth")
    }
    found = {target: digest_of(target) for target in targets}
    # inspect keeps the text of each module that it reads.
    linecache.clearcache()
    differs = [
        f"{target} is missing" if found[target] == MISSING else target
        for target in sorted(targets)
        if found[target] != targets[target]
    ]
    if not differs:
        return None
    versions = ", ".join(f"{package} {version}" for package, version in MADE_FOR.items())
    return (
        f"this image's patches were made for {versions}, and these parts are others here: "
        f"{', '.join(differs)}. No request is served without the patches: build the image with "
        "the versions of images/mlflow/constraints.txt, or follow docs/upgrading-mlflow.md"
    )


def digest_of(target: str) -> str:
    """Return a digest of a target's source, or of a plain value.

    Args:
        target: `<module>:<name>`, where the name may have dots. `<class>#<name>` is an attribute
            that the constructor of the class sets.
    """
    module, _, path = target.partition(":")
    try:
        found: Any = importlib.import_module(module)
        path, _, attribute = path.partition("#")
        for name in [*path.split("."), *(["__init__"] if attribute else [])]:
            get = inspect.getattr_static if inspect.isclass(found) else getattr
            found = get(found, name)
    except (ImportError, AttributeError):
        return MISSING
    text = _text(found)
    return hashlib.sha256(text.encode()).hexdigest()[:8] if attribute in text else MISSING


def _text(found: Any) -> str:
    found = getattr(found, "__func__", None) or getattr(found, "fget", None) or found
    found = inspect.unwrap(found) if callable(found) else found
    if inspect.isfunction(found) or inspect.isclass(found):
        try:
            source = inspect.getsource(found)
        except OSError:
            return "no source"
        return " ".join(source.split())
    if isinstance(found, (bool, int, str)):
        return repr(found)
    if isinstance(found, (frozenset, set, list, tuple)):
        return repr(sorted(map(str, found)))
    if routes := getattr(found, "routes", None):
        return repr([(route.path, sorted(route.methods)) for route in routes])
    # Of any other value it counts that there is one: its class may depend on settings.
    return "value"
