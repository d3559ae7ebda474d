"""The whole program under mocks: its objects, and the connections of its components."""

import base64
import json
import re
from xml.etree import ElementTree

import pytest

from tests.unit.recorder import ADDRESS, Recorded, content, password, run_stack


@pytest.fixture(scope="module")
def stack() -> Recorded:
    return run_stack()


@pytest.fixture(scope="module")
def on_mysql() -> Recorded:
    return run_stack(backendStore="mysql")


@pytest.fixture(scope="module")
def on_hdfs() -> Recorded:
    return run_stack(artifactStore="hdfs", hdfsDataNodes=3, hdfsReplication=2)


@pytest.fixture(scope="module")
def with_workspace() -> Recorded:
    return run_stack(clientWorkspace=True, workspaceMemory="3Gi", workspaceStorage="7Gi")


@pytest.fixture(params=["stack", "on_mysql", "on_hdfs", "with_workspace"])
def either(request: pytest.FixtureRequest) -> Recorded:
    """A stack of whatever parts: what is claimed of it is claimed of all."""
    recorded: Recorded = request.getfixturevalue(request.param)
    return recorded


LOGIN = {
    "MLFLOW_TRACKING_USERNAME": "admin",
    "MLFLOW_TRACKING_PASSWORD": password("mlflow-admin-password"),
}
"""What a client needs beside an address."""


def test_it_asks_for_exactly_these_objects(stack: Recorded) -> None:
    assert sorted(stack.kubernetes()) == [
        "ConfigMap mlflow-upgrade",
        "ConfigMap postgres-first-start",
        "CronJob backup",
        "CronJob backup-verify",
        "CronJob mlflow-gc",
        "CronJob mlflow-restore",
        "CronJob mlflow-rollback",
        "Deployment mlflow-server",
        "Ingress minio-console",
        "Ingress minio-s3",
        "Ingress mlflow",
        "Job minio-bucket",
        "Job mlflow-migration",
        "Namespace mlflow-namespace",
        "NetworkPolicy minio-clients-policy",
        "NetworkPolicy minio-policy",
        "NetworkPolicy mlflow-clients-policy",
        "NetworkPolicy mlflow-default-deny-policy",
        "NetworkPolicy mlflow-migration-policy",
        "NetworkPolicy mlflow-policy",
        "NetworkPolicy postgres-clients-policy",
        "NetworkPolicy postgres-policy",
        "PersistentVolumeClaim backup-volume",
        "Role mlflow-migration-role",
        "RoleBinding mlflow-migration-role-binding",
        "Secret backup-target",
        "Secret minio-credentials",
        "Secret minio-root",
        "Secret mlflow-keys",
        "Secret mlflow-users",
        "Secret postgres-credentials",
        "Secret postgres-server",
        "Service minio-pods",
        "Service minio-service",
        "Service mlflow-service",
        "Service postgres-pods",
        "Service postgres-service",
        "ServiceAccount mlflow-migration-account",
        "StatefulSet minio-server",
        "StatefulSet postgres-server",
    ]


def test_another_database_changes_nothing_else(stack: Recorded, on_mysql: Recorded) -> None:
    def others(recorded: Recorded) -> dict[str, object]:
        # What names the database's Secret, or is hashed from it, must differ.
        unlike = ("postgres", "mysql", "Job mlflow-", "Job backup", "Deployment ")
        objects = recorded.kubernetes().items()
        return {name: one for name, one in objects if not any(part in name for part in unlike)}

    assert others(on_mysql) == others(stack)
    assert on_mysql.exports == stack.exports
    assert sorted(name for name in on_mysql.kubernetes() if "mysql" in name) == [
        "ConfigMap mysql-first-start",
        "NetworkPolicy mysql-clients-policy",
        "NetworkPolicy mysql-policy",
        "Secret mysql-credentials",
        "Secret mysql-server",
        "Service mysql-pods",
        "Service mysql-service",
        "StatefulSet mysql-server",
    ]
    assert not [name for name in on_mysql.resources if "postgres" in name.lower()]


def test_another_artifact_store_changes_nothing_else(stack: Recorded, on_hdfs: Recorded) -> None:
    def others(recorded: Recorded) -> dict[str, object]:
        # What names the store's Secret, or is hashed from it, must differ.
        unlike = ("minio", "hdfs", "Deployment ", "CronJob ", "Job mlflow-migration")
        objects = recorded.kubernetes().items()
        return {name: one for name, one in objects if not any(part in name for part in unlike)}

    assert others(on_hdfs) == others(stack)
    assert on_hdfs.exports == {
        **stack.exports,
        "artifact_root": "hdfs://hdfs-namenode.mlflow.svc:8020/mlflow",
        "s3_endpoint_url": "",
        "hosts_line": f"{ADDRESS} mlflow-server.local",
    }
    assert sorted(name for name in on_hdfs.kubernetes() if "hdfs" in name) == [
        "ConfigMap hdfs-configuration",
        "Job hdfs-folder",
        "NetworkPolicy hdfs-clients-policy",
        "NetworkPolicy hdfs-datanode-policy",
        "NetworkPolicy hdfs-namenode-policy",
        "PodDisruptionBudget hdfs-datanode-budget",
        "Secret hdfs-credentials",
        "Service hdfs-datanode-service",
        "Service hdfs-namenode-pods",
        "Service hdfs-namenode-service",
        "StatefulSet hdfs-datanode-server",
        "StatefulSet hdfs-namenode-server",
    ]
    assert not [name for name in on_hdfs.resources if "minio" in name.lower()]


def test_hdfs_is_told_its_nodes_and_how_often_to_keep_a_block(on_hdfs: Recorded) -> None:
    assert on_hdfs.inputs("StatefulSet hdfs-namenode-server")["spec"]["replicas"] == 1
    assert on_hdfs.inputs("StatefulSet hdfs-datanode-server")["spec"]["replicas"] == 3
    files = on_hdfs.inputs("ConfigMap hdfs-configuration")["data"]
    core, site = (
        {one[0].text: one[1].text for one in ElementTree.XML(files[f"{name}-site.xml"])}
        for name in ("core", "hdfs")
    )
    assert core == {"fs.defaultFS": "hdfs://hdfs-namenode.mlflow.svc:8020"}
    assert site["dfs.replication"] == "2"
    # DataNodes must find the NameNode before it is ready: it waits for what they hold.
    service = on_hdfs.inputs("Service hdfs-namenode-service")["spec"]
    assert service["publishNotReadyAddresses"] is True
    assert content(on_hdfs, "hdfs-credentials") == {
        "MLFLOW_ARTIFACTS_DESTINATION": "hdfs://hdfs-namenode.mlflow.svc:8020/mlflow",
        "HADOOP_USER_NAME": "mlflow",
    }


def test_an_hdfs_of_somebody_elses_is_checked_before_the_server_reads_of_it() -> None:
    stack = run_stack(
        artifactStore="existing-hdfs",
        hdfsUri="hdfs://prod/ml/flow",
        hdfsUser="ml",
        hdfsConfiguration={"dfs.nameservices": "prod", "dfs.ha.namenodes.prod": "a,b"},
        hdfsHostAliases={"192.0.2.7": ["dn1.corp"]},
        hdfsKerberosSecret="ticket",
    )
    variables = content(stack, "existing-hdfs-credentials")
    assert variables == content(stack, "existing-hdfs-check")
    assert variables["MLFLOW_ARTIFACTS_DESTINATION"] == "hdfs://prod/ml/flow"
    assert variables["HADOOP_USER_NAME"] == "ml"
    assert variables["KRB5_CLIENT_KTNAME"] == f"{variables['HADOOP_CONF_DIR']}/keytab"
    (file,) = content(stack, "existing-hdfs-credentials-files").values()
    assert "<name>dfs.ha.namenodes.prod</name>" in file
    for holder, own in (
        ("Deployment mlflow-server", "credentials"),
        ("Job existing-hdfs-check", "check"),
    ):
        pod = stack.pods()[holder]
        assert pod["hostAliases"] == [{"ip": "192.0.2.7", "hostnames": ["dn1.corp"]}]
        (files,) = [volume["projected"] for volume in pod["volumes"] if "projected" in volume]
        names = [source["secret"]["name"] for source in files["sources"]]
        assert names == [f"existing-hdfs-{own}-files", "ticket"]
    assert stack.exports["artifact_root"] == "hdfs://prod/ml/flow"


def test_every_object_has_a_name_and_is_in_the_namespace(either: Recorded) -> None:
    for name, inputs in either.kubernetes().items():
        assert inputs["metadata"]["name"], name
        if not name.startswith("Namespace"):
            assert inputs["metadata"]["namespace"] == "mlflow", name


def test_a_killed_up_can_be_taken_up_again(stack: Recorded) -> None:
    """Fixed names and one field manager: see components/_kubernetes/labels.py."""
    for name, inputs in stack.kubernetes().items():
        if not name.startswith("Namespace"):
            annotations = inputs["metadata"]["annotations"]
            assert annotations["pulumi.com/patchFieldManager"] == "mlflow-stack", name
            assert annotations["pulumi.com/patchForce"] == "true", name
            assert name.startswith("Job") == ("pulumi.com/replaceUnready" in annotations), name


def test_the_database_dns_name_and_password_flow_into_the_server(stack: Recorded) -> None:
    uri = content(stack, "postgres-credentials")["MLFLOW_BACKEND_STORE_URI"]
    assert uri == (
        f"postgresql+psycopg2://mlflow:{password('postgres-password')}"
        "@postgres.mlflow.svc:5432/mlflow?connect_timeout=5"
    )
    assert stack.inputs("Service postgres-service")["metadata"]["name"] == "postgres"
    (server,) = stack.pods()["Deployment mlflow-server"]["containers"]
    assert [source["secretRef"]["name"] for source in server["envFrom"]] == [
        "postgres-credentials",
        "minio-credentials",
        "mlflow-keys",
    ]


def test_mysqls_application_user_is_in_the_uri_and_root_stays_with_the_pod(
    on_mysql: Recorded,
) -> None:
    uri = content(on_mysql, "mysql-credentials")["MLFLOW_BACKEND_STORE_URI"]
    assert uri == (
        f"mysql+pymysql://mlflow:{password('mysql-password')}"
        "@mysql.mlflow.svc:3306/mlflow?charset=utf8mb4&connect_timeout=5"
    )
    (server,) = on_mysql.pods()["Deployment mlflow-server"]["containers"]
    assert server["envFrom"][0]["secretRef"]["name"] == "mysql-credentials"
    readers = [name for name, pod in on_mysql.pods().items() if "mysql-server" in json.dumps(pod)]
    assert readers == ["StatefulSet mysql-server"]
    (database,) = on_mysql.pods()["StatefulSet mysql-server"]["containers"]
    environment = {one["name"]: one.get("value") for one in database["env"]}
    assert environment["MYSQL_ROOT_HOST"] == "localhost"
    assert environment["MYSQL_PASSWORD"] is None, "only in the Secret"


def test_the_server_gets_a_key_of_its_own_and_never_the_root_key(stack: Recorded) -> None:
    credentials = content(stack, "minio-credentials")
    root = content(stack, "minio-root")
    assert credentials["AWS_SECRET_ACCESS_KEY"] == password("minio-server-key")
    assert set(root.values()).isdisjoint(credentials.values())
    readers = [name for name, pod in stack.pods().items() if "minio-root" in json.dumps(pod)]
    assert readers == ["StatefulSet minio-server", "Job minio-bucket"]


def test_no_ip_address_no_secret_in_clear_anywhere(either: Recorded) -> None:
    """The same claim is made on real objects and on the state file in tests/e2e."""
    secrets = [password(name.split()[1]) for name in either.resources if "RandomPassword" in name]
    assert len(secrets) >= (2 if "Secret hdfs-credentials" in either.resources else 4)
    for name, inputs in either.kubernetes().items():
        if name.startswith("Secret"):
            continue
        text = json.dumps(inputs)
        for secret in secrets:
            assert secret not in text, name
            assert base64.b64encode(secret.encode()).decode() not in text, name
        # A network, as a policy has it, names no machine.
        addresses = set(re.findall(r"\b\d{1,3}(?:\.\d{1,3}){3}\b(?!/\d)", text))
        assert addresses <= {"127.0.0.1", "0.0.0.0"}, name  # noqa: S104 (every pod's own)


def test_exports_are_what_clients_need(stack: Recorded) -> None:
    assert stack.exports == {
        "tracking_uri": "http://mlflow-server.local",
        "tracking_uri_in_cluster": "http://mlflow.mlflow.svc:5000",
        "artifact_root": "s3://mlflow",
        "s3_endpoint_url": "http://mlflow-minio.local",
        "hosts_line": (
            f"{ADDRESS} mlflow-server.local mlflow-minio.local mlflow-minio-console.local"
        ),
        "client_env": {"MLFLOW_TRACKING_URI": "http://mlflow-server.local", **LOGIN},
        "last_upgrade": {},
        "add_user": (
            "kubectl --context=minikube exec --namespace=mlflow deployment/mlflow "
            "-- python -m mlflow_kubernetes.users http://mlflow-server.local"
        ),
        "backup_passphrase": password("backup-passphrase"),
    }
    assert stack.secret_exports == {"client_env", "backup_passphrase"}


def test_clients_with_direct_access_get_the_stores_own_root_and_a_key(stack: Recorded) -> None:
    direct = run_stack(artifactAccess="direct")
    (server,) = direct.pods()["Deployment mlflow-server"]["containers"]
    (proxied,) = stack.pods()["Deployment mlflow-server"]["containers"]
    root = {"name": "MLFLOW_DEFAULT_ARTIFACT_ROOT", "value": "s3://mlflow"}
    assert [one for one in server["env"] if one not in proxied["env"]] == [root]
    # It makes experiments as well, before any server does.
    (migration,) = direct.pods()["Job mlflow-migration"]["containers"]
    assert root in migration["env"]
    assert direct.exports["client_env"] == {
        "MLFLOW_TRACKING_URI": "http://mlflow-server.local",
        **LOGIN,
        "MLFLOW_S3_ENDPOINT_URL": "http://mlflow-minio.local",
        "MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE": "path",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "mlflow-server",
        "AWS_SECRET_ACCESS_KEY": password("minio-server-key"),
    }
    assert direct.secret_exports == {"client_env", "backup_passphrase"}


def test_what_was_deleted_is_collected_when_the_setting_says(stack: Recorded) -> None:
    unasked = stack.inputs("CronJob mlflow-gc")["spec"]
    assert unasked["suspend"] is True
    nightly = run_stack(gcSchedule="30 2 * * 1-5", gcOlderThan="90d")
    spec = nightly.inputs("CronJob mlflow-gc")["spec"]
    assert (spec["suspend"], spec["schedule"], spec["timeZone"]) == (
        False,
        "30 2 * * 1-5",
        "Etc/UTC",
    )
    (collector,) = nightly.pods()["CronJob mlflow-gc"]["containers"]
    assert collector["args"] == ["--older-than=90d"]


def test_every_server_has_three_probes_and_a_memory_limit(either: Recorded) -> None:
    servers = [name for name in either.pods() if "Job " not in name]
    assert len(servers) >= 3
    for name in servers:
        (container,) = either.pods()[name]["containers"]
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container), name
        assert container["resources"]["limits"]["memory"], name


def test_readiness_asks_the_database_and_liveness_does_not(stack: Recorded) -> None:
    (server,) = stack.pods()["Deployment mlflow-server"]["containers"]
    assert server["readinessProbe"]["httpGet"]["path"] == "/health/ready"
    assert server["livenessProbe"]["httpGet"]["path"] == "/health"


def test_traps_of_the_images_and_of_mlflow_are_stepped_around(
    stack: Recorded, on_mysql: Recorded
) -> None:
    (server,) = stack.pods()["Deployment mlflow-server"]["containers"]
    environment = {one["name"]: one["value"] for one in server["env"]}
    # Job runners take 1.4 GB; a pool that overflows reconnects; idle connections end in 502.
    assert environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert environment["MLFLOW_SQLALCHEMYSTORE_POOL_SIZE"] == "9"
    assert "--timeout-keep-alive=100" in environment["MLFLOW_UVICORN_OPTS"].split()
    assert environment["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"] == (
        "http://mlflow-server.local,https://mlflow-server.local"
    )
    # PostgreSQL 18's image refuses to start with a volume at /var/lib/postgresql/data.
    (database,) = stack.pods()["StatefulSet postgres-server"]["containers"]
    mounts = {one["name"]: one["mountPath"] for one in database["volumeMounts"]}
    assert mounts["data"] == "/var/lib/postgresql"
    # MySQL leaves the migration's trigger to root, holds `lr` and `LR` for one name, and refuses a
    # volume with a lost+found.
    (mysql,) = on_mysql.pods()["StatefulSet mysql-server"]["containers"]
    assert {
        "--log-bin-trust-function-creators=1",
        "--character-set-server=utf8mb4",
        "--collation-server=utf8mb4_0900_bin",
        "--datadir=/var/lib/mysql/data",
    } <= set(mysql["args"])
    assert mysql["volumeMounts"][0]["mountPath"] == "/var/lib/mysql"
    # Two servers that make the tables at once fail: a Job does it, and the servers wait for it.
    migration = stack.pods()["Job mlflow-migration"]["initContainers"][0]
    assert migration["command"] == ["python", "-m", "mlflow_kubernetes.migrate"]
    assert migration["args"] == ["plan"]


def test_a_workspace_adds_these_objects_and_changes_no_other(
    stack: Recorded, with_workspace: Recorded
) -> None:
    before, after = stack.kubernetes(), with_workspace.kubernetes()
    assert sorted(after.keys() - before.keys()) == [
        "Ingress workspace",
        "NetworkPolicy workspace-policy",
        "Secret mlflow-user-workspace",
        "Secret workspace-token",
        "Service workspace-pods",
        "Service workspace-service",
        "StatefulSet workspace-server",
    ]
    # It is a user: in the Secret with every password, and in the fingerprint of what reads that.
    one_more = (
        *("Secret mlflow-users", "Job mlflow-migration"),
        *("CronJob mlflow-restore", "CronJob mlflow-rollback"),
    )
    assert {name: after[name] for name in before if name not in one_more} == {
        name: one for name, one in before.items() if name not in one_more
    }
    assert after["Ingress workspace"]["spec"]["rules"][0]["host"] == "mlflow-workspace.local"
    (claim,) = after["StatefulSet workspace-server"]["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["resources"] == {"requests": {"storage": "7Gi"}}
    assert with_workspace.exports.keys() - stack.exports.keys() == {
        "workspace_url",
        "workspace_token",
    }
    assert with_workspace.exports["workspace_url"] == "http://mlflow-workspace.local"
    assert with_workspace.exports["hosts_line"].endswith(" mlflow-workspace.local")


def test_a_workspace_knows_the_server_and_its_token_is_in_a_file_alone(
    with_workspace: Recorded,
) -> None:
    token = password("workspace-token")
    assert content(with_workspace, "workspace-token") == {"token": token}
    assert with_workspace.exports["workspace_token"] == token
    assert with_workspace.secret_exports == {
        *("client_env", "backup_passphrase", "workspace_token")
    }
    pod = with_workspace.pods()["StatefulSet workspace-server"]
    (container,) = pod["containers"]
    environment = {one["name"]: one["value"] for one in container["env"]}
    assert environment["MLFLOW_TRACKING_URI"] == "http://mlflow.mlflow.svc:5000"
    mounts = {one["mountPath"]: one["name"] for one in container["volumeMounts"]}
    folder, _, name = environment["JUPYTER_TOKEN_FILE"].rpartition("/")
    (volume,) = [one for one in pod["volumes"] if one["name"] == mounts[folder]]
    assert volume["secret"] == {"secretName": "workspace-token"}
    assert name == "token"
    # Artifacts go through the server.
    assert [one["secretRef"]["name"] for one in container["envFrom"]] == ["mlflow-user-workspace"]
    assert mounts[environment["HOME"]] == "data"
    assert container["resources"]["limits"]["memory"] == "3Gi"
    assert token not in json.dumps(pod)


def test_a_workspace_answers_to_its_own_names_only(with_workspace: Recorded) -> None:
    (container,) = with_workspace.pods()["StatefulSet workspace-server"]["containers"]
    given = [one.partition("=")[2] for one in container["args"] if "local_hostnames" in one]
    assert given == ["localhost", "mlflow-workspace.local", "workspace.mlflow.svc", "workspace-0"]
    assert "--ServerApp.allow_remote_access=False" in container["args"]


def test_a_workspace_with_direct_access_holds_the_stores_key() -> None:
    direct = run_stack(clientWorkspace=True, artifactAccess="direct")
    (container,) = direct.pods()["StatefulSet workspace-server"]["containers"]
    assert [one["secretRef"]["name"] for one in container["envFrom"]] == [
        "mlflow-user-workspace",
        "minio-credentials",
    ]


def test_settings_reach_the_objects() -> None:
    changed = run_stack(
        namespace="ml",
        trackingHost="ml.example.com",
        replicas=3,
        workers=4,
        serverMemory="2Gi",
        databaseStorage="3Gi",
        artifactStorage="4Gi",
        storageClass="fast",
        ingressClass="traefik",
        ingressAnnotations={"example.com/a": "b"},
        ingressWaitSeconds=0,
        allowedHosts=["ml.corp:*"],
        jobExecution=False,
    )
    assert changed.inputs("Namespace mlflow-namespace")["metadata"]["name"] == "ml"
    deployment = changed.inputs("Deployment mlflow-server")["spec"]
    assert deployment["replicas"] == 3
    (server,) = deployment["template"]["spec"]["containers"]
    assert server["args"] == [
        "--host=0.0.0.0",
        "--port=5000",
        "--workers=4",
        "--app-name=basic-auth",
    ]
    assert server["resources"]["limits"] == {
        "cpu": "8",
        "memory": "2Gi",
        "ephemeral-storage": "16Gi",
    }
    budget = changed.inputs("PodDisruptionBudget mlflow-budget")["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["selector"] == deployment["selector"]
    environment = {one["name"]: one["value"] for one in server["env"]}
    hosts = environment["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
    assert {"ml.example.com", "mlflow.ml.svc", "ml.corp:*", "10.0.0.0/8"} <= set(hosts)
    (claim,) = changed.inputs("StatefulSet postgres-server")["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["storageClassName"] == "fast"
    assert claim["spec"]["resources"] == {"requests": {"storage": "3Gi"}}
    ingress = changed.inputs("Ingress mlflow")
    assert ingress["spec"]["ingressClassName"] == "traefik"
    assert ingress["spec"]["rules"][0]["host"] == "ml.example.com"
    assert ingress["metadata"]["annotations"]["example.com/a"] == "b"
    assert ingress["metadata"]["annotations"]["pulumi.com/skipAwait"] == "true"
    assert changed.exports["tracking_uri_in_cluster"] == "http://mlflow.ml.svc:5000"


def test_a_path_of_the_tracking_host_is_the_servers(stack: Recorded) -> None:
    below = run_stack(trackingHost="ml.example.com/team/mlflow", tls="generated")
    (rule,) = below.inputs("Ingress mlflow")["spec"]["rules"]
    assert (rule["host"], rule["http"]["paths"][0]["path"]) == ("ml.example.com", "/team/mlflow")
    (server,) = below.pods()["Deployment mlflow-server"]["containers"]
    environment = {one["name"]: one["value"] for one in server["env"]}
    assert environment["PUBLIC_PATH"] == "/team/mlflow"
    assert environment["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"] == "https://ml.example.com"
    assert below.exports["tracking_uri"] == "https://ml.example.com/team/mlflow"
    assert "ml.example.com/" not in below.exports["hosts_line"]
    assert below.exports["tracking_uri_in_cluster"] == stack.exports["tracking_uri_in_cluster"]
    (usual,) = stack.pods()["Deployment mlflow-server"]["containers"]
    assert "PUBLIC_PATH" not in {one["name"] for one in usual["env"]}


def test_the_server_keeps_an_audit_log_unless_told_otherwise(stack: Recorded) -> None:
    for found, expected in ((stack, "true"), (run_stack(auditLog=False), None)):
        (server,) = found.pods()["Deployment mlflow-server"]["containers"]
        environment = {one["name"]: one.get("value") for one in server["env"]}
        assert environment.get("AUDIT_LOG") == expected


def test_defaults_leave_classes_to_the_cluster() -> None:
    plain = run_stack(storageClass="", ingressClass="")
    (claim,) = plain.inputs("StatefulSet minio-server")["spec"]["volumeClaimTemplates"]
    assert "storageClassName" not in claim["spec"]
    assert "ingressClassName" not in plain.inputs("Ingress mlflow")["spec"]
