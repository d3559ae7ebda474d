"""Every setting: that it is declared once, and that a wrong value costs one clear line."""

import pulumi
import pydantic
import pytest

from settings.assembled import SETTINGS, Settings
from settings.generate import generated
from settings.load import Given, load
from tests.artifact_stores import TRIED
from tests.unit.recorder import CERTIFICATE, Recorded, record, run_stack, settings

IMAGES = [key for key in SETTINGS if key.endswith("Image")]

WRONG = [
    # setting, value, what the line must offer
    ("namespace", "default", "a name of its own"),
    ("namespace", "kube-ml", "a name of its own"),
    ("namespace", "Ml_Flow", "a name of its own"),
    ("namespace", "a" * 64, "a name of its own"),
    ("namespace", "", "a name of its own"),
    ("backendStore", "sqlite", "postgres or mysql"),
    ("artifactStore", "floppy", "minio or hdfs or s3 or existing-hdfs"),
    ("artifactAccess", "both", "proxied or direct"),
    ("trackingHost", "http://mlflow.local", "a DNS name"),
    ("trackingHost", "mlflow.local:5000", "a DNS name"),
    ("trackingHost", "192.0.2.7", "a DNS name"),
    ("trackingHost", "mlflow.local/", "a DNS name, and a path such as /mlflow"),
    ("trackingHost", "mlflow.local/ml/", "a DNS name, and a path such as /mlflow"),
    ("trackingHost", "mlflow.local//ml", "a DNS name, and a path such as /mlflow"),
    ("trackingHost", "mlflow.local/a b", "a DNS name, and a path such as /mlflow"),
    ("trackingHost", "mlflow.local/../ml", "a DNS name, and a path such as /mlflow"),
    ("trackingHost", "mlflow.local/ml?a=b", "a DNS name, and a path such as /mlflow"),
    ("trackingHost", f"mlflow.local/{'a' * 101}", "a DNS name, and a path such as /mlflow"),
    ("trackingHost", "mlflow.local/api", "a path that does not begin with one of MLflow's own"),
    ("trackingHost", "/mlflow", "a DNS name"),
    ("trackingHost", "mlflow", "a DNS name"),
    ("allowedHosts", ["*"], 'but not "*"'),
    ("allowedHosts", "mlflow.corp", "a list"),
    ("allowedHosts", ["a,b"], "a list"),
    ("clientNamespaces", "training", "a list of namespaces' names"),
    ("clientNamespaces", ["*"], "a list of namespaces' names"),
    ("ingressNamespace", "", "a namespace's name"),
    ("ingressNamespace", "Ingress", "a namespace's name"),
    ("externalNetworks", "192.0.2.0/24", "a list of networks"),
    ("externalNetworks", ["192.0.2.7/24"], "a list of networks"),
    ("externalNetworks", ["192.0.2.7"], "a list of networks"),
    ("externalNetworks", ["db.example"], "a list of networks"),
    ("replicas", 0, "a whole number from 1 to 20"),
    ("replicas", -1, "a whole number from 1 to 20"),
    ("replicas", "two", "a whole number from 1 to 20"),
    ("replicas", "1.5", "a whole number from 1 to 20"),
    ("replicas", 10**12, "a whole number from 1 to 20"),
    ("workers", 17, "a whole number from 1 to 16"),
    ("serverMemory", "64Mi", "a size from 256Mi to 64Gi"),
    ("serverMemory", "1G", "a whole number of Mi, Gi or Ti"),
    ("auditLog", "on", "true or false"),
    ("jobExecution", "yes", "true or false"),
    ("rotation", {"databse": 1}, "whole numbers from 0 to 999 by name"),
    ("rotation", {"database": -1}, "whole numbers from 0 to 999 by name"),
    ("rotation", {"kek": 1000}, "names: database, store, storeRoot, admin, page, kek, webhook"),
    ("rotation", {"kek": "1"}, "whole numbers from 0 to 999 by name"),
    ("rotation", {"kek": True}, "whole numbers from 0 to 999 by name"),
    ("rotation", "all", "whole numbers from 0 to 999 by name"),
    ("backupSchedule", "daily", "five fields of cron"),
    ("backupVerifySchedule", "weekly", "five fields of cron"),
    ("backupRetention", "30 days", "days, hours, minutes and seconds"),
    ("backupStore", "tape", "volume or s3 or artifacts"),
    ("backupPointInTime", "always", "true or false"),
    ("databaseKind", "oracle", "postgres or mysql"),
    ("gcSchedule", "daily", "five fields of cron"),
    ("gcSchedule", "@daily", "five fields of cron"),
    ("gcSchedule", "0 3 * *", "five fields of cron"),
    ("gcSchedule", "60 3 * * *", "five fields of cron"),
    ("gcSchedule", "0 24 * * *", "five fields of cron"),
    ("gcSchedule", "0 3 0 * *", "five fields of cron"),
    ("gcSchedule", "0 3 * * 7", "five fields of cron"),
    ("gcSchedule", "0 5-3 * * *", "five fields of cron"),
    ("gcSchedule", "0 3 * * MON", "five fields of cron"),
    ("gcSchedule", "*/0 * * * *", "five fields of cron"),
    ("gcSchedule", "0 3 * * *; ls", "five fields of cron"),
    ("gcOlderThan", "", "days, hours, minutes and seconds"),
    ("gcOlderThan", "30", "days, hours, minutes and seconds"),
    ("gcOlderThan", "1h1d", "days, hours, minutes and seconds"),
    ("gcOlderThan", "1.5d", "days, hours, minutes and seconds"),
    ("gcOlderThan", "-1d", "days, hours, minutes and seconds"),
    ("databaseStorage", "10", "a whole number of Mi, Gi or Ti"),
    ("databaseStorage", "99Mi", "a size from 100Mi"),
    ("artifactStorage", "-5Gi", "a whole number of Mi, Gi or Ti"),
    ("artifactStorage", "1.5Gi", "a whole number of Mi, Gi or Ti"),
    ("storageClass", "Fast Disk", "the name of a class"),
    ("protectData", "maybe", "true or false"),
    ("serverImage", "mlflow", "an image with a tag"),
    ("serverImage", "mlflow:latest", "an image with a tag"),
    ("postgresImage", "postgres:18 --privileged", "an image with a tag"),
    ("mysqlImage", "mysql", "an image with a tag"),
    ("clientWorkspace", "on", "true or false"),
    ("workspaceHost", "http://mlflow-workspace.local", "a DNS name"),
    ("workspaceHost", "mlflow-workspace.local/lab", "a DNS name"),
    ("workspaceStorage", "10Mi", "a size from 100Mi"),
    ("workspaceStorage", "5GB", "a whole number of Mi, Gi or Ti"),
    ("workspaceMemory", "256Mi", "a size from 512Mi"),
    ("workspaceImage", "mlflow-kubernetes/client", "an image with a tag"),
    ("ingressClass", "nginx,traefik", "the name of a class"),
    ("ingressAnnotations", {"a b": "c"}, "annotation names"),
    ("ingressAnnotations", {"a": 1}, "annotation names"),
    ("ingressWaitSeconds", 601, "a whole number from 0 to 600"),
    ("tls", "self-signed", "none or generated or secret or cert-manager or gateway"),
    ("tls", "true", "none or generated"),
    ("tlsSecret", "corp/tls", "the name of a Secret"),
    ("tlsIssuer", "Let's Encrypt", "the name of a ClusterIssuer"),
    ("gateway", "public", "<namespace>/<name> of a Gateway"),
    ("gateway", "infra/public/https/443", "<namespace>/<name> of a Gateway"),
    ("gateway", "https://gateway.example", "<namespace>/<name> of a Gateway"),
    ("createNamespace", "no", "true or false"),
    ("databaseConnections", 0, "a whole number from 1 to 100000"),
    ("databaseReplicas", 0, "a whole number from 1 to 5"),
    ("databaseReplicas", 7, "a whole number from 1 to 5"),
    ("patroniImage", "patroni:latest", "an image with a tag"),
    ("databaseMemory", "8GB", "a whole number of Mi, Gi or Ti"),
    ("databaseMemory", "128Mi", "a size from 256Mi to 4Ti"),
    ("databaseCpus", 0, "a whole number from 1 to 128"),
    ("databaseCa", "/etc/ssl/ca.pem", "certificates as PEM"),
    ("egressCa", "/etc/ssl/ca.pem", "certificates as PEM"),
    ("egress", "internet", "a list of ways out"),
    ("egress", {"models": 8000}, "a list of ways out"),
    ("egress", ["api.openai.com:443"], "policies know no host names"),
    ("egress", ["https://api.openai.com"], "policies know no host names"),
    ("egress", ["internet:0"], "a list of ways out"),
    ("egress", ["internet:65536"], "a list of ways out"),
    ("egress", ["internet:http"], "a list of ways out"),
    ("egress", ["192.0.2.7/24:443"], "a list of ways out"),
    ("egress", ["2001:db8::1:443"], "a list of ways out"),
    ("egress", ["169.254.169.254:80"], "a list of ways out"),
    ("egress", ["fd00:ec2::254/128"], "a list of ways out"),
    ("egress", ["Models"], "a list of ways out"),
    ("egress", ["*"], "a list of ways out"),
    ("egress", [""], "a list of ways out"),
    ("egress", [443], "a list of ways out"),
    ("httpsProxy", "proxy.example:3128", "http:// or https://"),
    ("httpsProxy", "http://proxy.example", "and a port"),
    ("httpsProxy", "socks5://proxy.example:1080", "http:// or https://"),
    ("httpsProxy", "http://localhost:3128", "in a pod is the pod itself"),
    ("httpProxy", "http://proxy.example:3128/path", "http:// or https://"),
    ("noProxy", "internal.example", "a list of hosts"),
    ("noProxy", ["internal.example:443"], "without port or scheme"),
    ("noProxy", ["*"], "a list of hosts"),
    ("noProxy", ["10.0.0.0/8"], "a list of hosts"),
    ("imageRegistry", "https://registry.example", "a registry and a folder in it"),
    ("imageRegistry", "mirror", "a registry and a folder in it"),
    ("imageRegistry", "registry.example/", "a registry and a folder in it"),
    # What looks nearly right.
    ("namespace", "mlflow.team", "a name of its own"),
    ("namespace", "-mlflow", "a name of its own"),
    ("namespace", "mlflow\n", "a name of its own"),
    ("namespace", " mlflow", "a name of its own"),
    ("namespace", "\u043clflow", "a name of its own"),
    ("namespace", {"name": "mlflow"}, "a name of its own"),
    ("createNamespace", "", "true or false"),
    ("createNamespace", "1", "true or false"),
    ("backendStore", "", "postgres or mysql"),
    ("backendStore", "Postgres", "postgres or mysql"),
    ("backendStore", ["postgres", "mysql"], "postgres or mysql"),
    ("artifactStore", "minio,s3", "minio or hdfs or s3"),
    ("artifactAccess", "direct ", "proxied or direct"),
    ("trackingHost", "", "a DNS name"),
    ("trackingHost", "mlflow.example.com.", "a DNS name"),
    ("trackingHost", "*.example.com", "a DNS name"),
    ("trackingHost", "MLflow.example.com", "a DNS name"),
    ("trackingHost", "mlflow..example.com", "a DNS name"),
    ("trackingHost", f"{'a' * 64}.example.com", "a DNS name"),
    ("trackingHost", ".".join(["abc"] * 64), "a DNS name"),
    ("trackingHost", "m\u00fcnchen.example.com", "a DNS name"),
    ("trackingHost", "2001:db8::1", "a DNS name"),
    ("trackingHost", "mlflow.7", "a DNS name"),
    ("trackingHost", "mlflow.local\n", "a DNS name"),
    ("trackingHost", "a.b;server_name", "a DNS name"),
    ("workspaceHost", "127.0.0.1", "a DNS name"),
    ("allowedHosts", "", "a list"),
    ("allowedHosts", "[", "a list"),
    ("allowedHosts", "[" * 100_000, "4096 bytes at most"),
    ("allowedHosts", "[" * 4000, "a list"),
    ("allowedHosts", {"host": "a.b"}, "a list"),
    ("allowedHosts", [1], "a list"),
    ("allowedHosts", ["*:5000"], 'but not "*"'),
    ("allowedHosts", ["*.*"], 'but not "*"'),
    ("allowedHosts", ["[a-z]*"], "a list"),
    ("allowedHosts", ["http://mlflow.corp"], "a list"),
    ("allowedHosts", ["mlflow.corp:99999"], "a list"),
    ("allowedHosts", ["mlflow.corp", ""], "a list"),
    ("allowedHosts", ["mlflow.corp\nevil"], "a list"),
    ("externalNetworks", ["fe80::%eth0/64"], "a list of networks"),
    ("replicas", "", "a whole number from 1 to 20"),
    ("replicas", "\u0662", "a whole number from 1 to 20"),
    ("replicas", "2\n", "a whole number from 1 to 20"),
    ("replicas", "+2", "a whole number from 1 to 20"),
    ("replicas", "02", "a whole number from 1 to 20"),
    ("replicas", "1e1", "a whole number from 1 to 20"),
    ("replicas", "0x2", "a whole number from 1 to 20"),
    ("replicas", "1_0", "a whole number from 1 to 20"),
    ("replicas", "9" * 5000, "4096 bytes at most"),
    ("replicas", True, "a whole number from 1 to 20"),
    ("workers", "two", "a whole number from 1 to 16"),
    ("workers", "NaN", "a whole number from 1 to 16"),
    ("databaseConnections", "100001", "a whole number from 1 to 100000"),
    ("ingressWaitSeconds", "2m", "a whole number from 0 to 600"),
    ("serverMemory", "1gi", "a whole number of Mi, Gi or Ti"),
    ("serverMemory", "1 Gi", "a whole number of Mi, Gi or Ti"),
    ("serverMemory", "65Gi", "a size from 256Mi to 64Gi"),
    ("serverMemory", "", "a whole number of Mi, Gi or Ti"),
    ("workspaceMemory", "2048", "a whole number of Mi, Gi or Ti"),
    ("databaseStorage", "8G", "a whole number of Mi, Gi or Ti"),
    ("databaseStorage", "8gi", "a whole number of Mi, Gi or Ti"),
    ("databaseStorage", "8Ki", "a whole number of Mi, Gi or Ti"),
    ("databaseStorage", "1Pi", "a whole number of Mi, Gi or Ti"),
    ("databaseStorage", "8e3Mi", "a whole number of Mi, Gi or Ti"),
    ("databaseStorage", "0Gi", "a whole number of Mi, Gi or Ti"),
    ("databaseStorage", "08Gi", "a whole number of Mi, Gi or Ti"),
    ("databaseStorage", "\u0668Gi", "a whole number of Mi, Gi or Ti"),
    ("databaseStorage", f"{'9' * 4090}Gi", "a whole number of Mi, Gi or Ti"),
    ("artifactStorage", "65Ti", "a size from 100Mi to 64Ti"),
    ("workspaceStorage", "5Gi\n", "a whole number of Mi, Gi or Ti"),
    ("jobExecution", "True", "true or false"),
    ("jobExecution", "", "true or false"),
    ("clientWorkspace", "null", "true or false"),
    ("protectData", "yes", "true or false"),
    ("storageClass", f"{'a.' * 127}a", "the name of a class"),
    ("storageClass", "fast\u2028", "the name of a class"),
    ("ingressClass", "Nginx", "the name of a class"),
    ("ingressClass", "nginx/default", "the name of a class"),
    ("serverImage", "", "an image with a tag"),
    ("serverImage", "mlflow:", "an image with a tag"),
    ("serverImage", ":3.17.2", "an image with a tag"),
    ("serverImage", "a//b:1", "an image with a tag"),
    ("serverImage", "a/:1", "an image with a tag"),
    ("serverImage", "https://quay.io/a/b:1", "an image with a tag"),
    ("serverImage", "quay.io:99999/a:1", "an image with a tag"),
    ("serverImage", "mlflow:\u00e9t\u00e9", "an image with a tag"),
    ("serverImage", f"mlflow:{'1' * 129}", "an image with a tag"),
    ("serverImage", f"{'a' * 129}:1", "an image with a tag"),
    ("postgresImage", "postgres@sha256:abc", "an image with a tag"),
    ("postgresImage", f"postgres@sha256:{'A' * 64}", "an image with a tag"),
    ("postgresImage", f"postgres@md5:{'a' * 32}", "an image with a tag"),
    ("mysqlImage", "mysql:9.7.1\n", "an image with a tag"),
    ("workspaceImage", "../client:1", "an image with a tag"),
    ("imageRegistry", "registry.example:99999", "a registry and a folder in it"),
    ("imageRegistry", "registry.example//mirror", "a registry and a folder in it"),
    ("imageRegistry", "registry-.example", "a registry and a folder in it"),
    ("imageRegistry", "Registry.example", "a registry and a folder in it"),
    ("imageRegistry", f"registry.example/{'a' * 120}", "a registry and a folder in it"),
    ("ingressAnnotations", "example.com/a=b", "annotation names"),
    ("ingressAnnotations", {"example.com/": "c"}, "annotation names"),
    ("ingressAnnotations", {"/a": "c"}, "annotation names"),
    ("ingressAnnotations", {"a/b/c": "d"}, "annotation names"),
    ("ingressAnnotations", {"Example.com/a": "c"}, "annotation names"),
    ("ingressAnnotations", {"example.com/\u00e9t\u00e9": "c"}, "annotation names"),
    ("ingressAnnotations", {f"example.com/{'a' * 64}": "c"}, "annotation names"),
    ("ingressAnnotations", {f"{'a.' * 127}a/b": "c"}, "annotation names"),
    ("ingressAnnotations", '{"a": "\\udfff"}', "annotation names"),
    ("ingressAnnotations", {"a": "\u0080"}, "annotation names"),
    ("ingressAnnotations", {"a": None}, "annotation names"),
    ("ingressAnnotations", {"pulumi.com/skipAwait": "true"}, "outside of pulumi.com"),
    ("ingressAnnotations", {"a": "b" * 200_000}, "200000 bytes at most"),
    *(
        ("ingressAnnotations", {f"{prefix}/{name}": value}, f"annotations without {prefix}/{name}")
        for prefix, name, value in (
            ("nginx.ingress.kubernetes.io", "rewrite-target", "/"),
            ("nginx.ingress.kubernetes.io", "rewrite-target", "/$1"),
            ("haproxy.org", "path-rewrite", "/mlflow/(.*) /\\1"),
            ("nginx.org", "rewrites", "serviceName=mlflow rewrite=/"),
            ("nginx.ingress.kubernetes.io", "app-root", "/mlflow"),
            ("nginx.ingress.kubernetes.io", "permanent-redirect", "https://example.com"),
            ("nginx.ingress.kubernetes.io", "temporal-redirect", "https://example.com"),
            ("nginx.ingress.kubernetes.io", "canary", "true"),
            ("nginx.ingress.kubernetes.io", "backend-protocol", "HTTPS"),
            ("alb.ingress.kubernetes.io", "backend-protocol", "grpc"),
            ("nginx.ingress.kubernetes.io", "ssl-passthrough", "true"),
            ("nginx.ingress.kubernetes.io", "upstream-vhost", "other.example"),
            ("nginx.ingress.kubernetes.io", "custom-http-errors", "404,503"),
        )
    ),
]
WRONG += [one for tried in TRIED.values() for one in tried.wrong]

# What the line must offer where the value may be a secret in the wrong place.
WRONG_AND_HIDDEN = [
    ("pods", "tolerations", "an object with fields of Kubernetes' pods"),
    ("pods", '{"toleration": []}', "in toleration, imagePullSecrets, nodeSelector, tolerations"),
    ("pods", '{"tolerations": [{"effect": "No"}]}', "in tolerations[0].effect, NoSchedule or Pre"),
    ("pods", '{"labels": {"mlflow-kubernetes/minio": "client"}}', "which this stack sets"),
    ("pods", '{"env": [{"name": "HOME", "value": "/a"}]}', "in env[0].name, another variable"),
    ("pods", '{"imagePullSecrets": [{"name": "A B"}]}', "an object with fields"),
    (
        "pods",
        '{"imagePullSecrets": [{"name": "s3-credentials"}]}',
        "that this stack does not write",
    ),
    ("serverPods", '{"resources": {"limits": {"memory": "2Gi"}}}', "serverMemory and workspaceMem"),
    ("serverPods", '{"userFromPlatform": "none"}', "in userFromPlatform, true or false"),
    ("serverPods", '{"a": 1, "a": 2}', "an object with fields of Kubernetes' pods"),
    ("databaseSecret", "My_Secret", "the name of a Secret"),
    ("databaseSecret", "postgresql+psycopg2://ml:pass@db:5432/ml", "the name of a Secret"),
    ("databaseSecret", f"{'a.' * 127}a", "the name of a Secret"),
    ("databaseSecret", "external-database-credentials", "that this stack does not write"),
    ("trackingHost", "https://user:hidden@mlflow.example", "a DNS name"),
]
WRONG_AND_HIDDEN += [one for tried in TRIED.values() for one in tried.wrong_and_hidden]

HIDDEN = "n0t-to-be-sh0wn"
GOOD_URI = f"postgresql+psycopg2://ml:{HIDDEN}@db.example:5432/mlflow"
# What is wrong with an encrypted address, and what the line must offer; it never shows the value.
WRONG_URIS = [
    (f"postgresql://ml:{HIDDEN}@db.example:5432/mlflow", "no other driver"),
    (f"postgresql+psycopg://ml:{HIDDEN}@db.example:5432/mlflow", "no other driver"),
    (f"mysql+mysqldb://ml:{HIDDEN}@db.example:3306/mlflow", "no other driver"),
    (f"sqlite:///{HIDDEN}.db", "no other driver"),
    (f"mysql+pymysql://ml:{HIDDEN}@db.example/mlflow", "it has no port"),
    (f"mysql+pymysql://ml:{HIDDEN}@:3306/mlflow", "it has no host"),
    (f"mysql+pymysql://ml:{HIDDEN}@/mlflow", "it has no host and no port"),
    (f"mysql+pymysql://ml:{HIDDEN}@db.example:3306", "it has no database"),
    ("mysql+pymysql://db.example:3306/mlflow", "it has no user"),
    (f"mysql+pymysql://ml:{HIDDEN}@localhost:3306/mlflow", "in a pod is the pod itself"),
    (f"mysql+pymysql://ml:{HIDDEN}@db.example:99999/mlflow", "ports from 1 to 65535"),
    (f"mysql+pymysql://ml:{HIDDEN}@db.example:0/mlflow", "ports from 1 to 65535"),
    (f"mysql+pymysql://ml:{HIDDEN}@db.example:tcp/mlflow", "% for special letters"),
    (f"mysql+pymysql://ml:{HIDDEN}@db,two:3306/mlflow", "% for special letters"),
    (f"mysql+pymysql://ml:{HIDDEN}@10.1:3306/mlflow", "% for special letters"),
    (f"mysql+pymysql://ml:{HIDDEN}@2001:db8::1:3306/mlflow", "% for special letters"),
    (f"mysql+pymysql://ml:{HIDDEN}@[::1]:3306/mlflow", "in a pod is the pod itself"),
    (f"mysql+pymysql://ml:{HIDDEN}@0.0.0.0:3306/mlflow", "in a pod is the pod itself"),
    (f"mysql+pymysql://ml:{HIDDEN}@db.example:3306/", "it has no database"),
    (f"mysql+pymysql://ml:{HIDDEN}@db.example:3306/a b", "% for special letters"),
    (f"mysql+pymysql://ml:{HIDDEN}\u00e9@db.example:3306/ml", "% for special letters"),
    (f"mysql+pymysql://ml:{HIDDEN}@db.example:3306/ml?a=\0", "% for special letters"),
    (f"mysql+pymysql://ml:{HIDDEN}@db.example:3306/ml\n", "% for special letters"),
    (f"MYSQL+PYMYSQL://ml:{HIDDEN}@db.example:3306/ml", "no other driver"),
    (f"jdbc:mysql://ml:{HIDDEN}@db.example:3306/ml", "% for special letters"),
    (f"mysql+pymysql://ml:{HIDDEN}@db.example:3306/ml?{'a' * 4096}", "4096 bytes at most"),
    (f"mysql+pymysql://ml:{HIDDEN}@x@db.example:3306/mlflow", "% for special letters"),
    (f"db.example:5432 {HIDDEN}", "postgresql+psycopg2 or mysql+pymysql"),
]

CONTRADICTIONS = [
    (
        {"databaseReplicas": 3, "backendStore": "mysql"},
        "databaseReplicas: 3; accepted: 1, unless backendStore is postgres",
    ),
    (
        {"databaseReplicas": 3, "backendStore": "external", "databaseSecret": "theirs"},
        "databaseReplicas: 3; accepted: 1, unless backendStore is postgres",
    ),
    ({"databaseReplicas": 2}, "databaseReplicas: 2; accepted: 1 or 3 or 5: most of the members"),
    (
        {
            **{"databaseReplicas": 3, "backupPointInTime": True, "backupStore": "artifacts"},
            "backupSchedule": "0 2 * * *",
        },
        "backupPointInTime: True; accepted: false with databaseReplicas: 3: each new primary",
    ),
    (
        {"databaseReplicas": 3, "postgresFormerImage": "postgres:17.6"},
        "postgresFormerImage: 'postgres:17.6'; accepted: nothing with databaseReplicas: 3",
    ),
    (
        {"databaseReplicas": 3, "postgresImage": "postgres:19.1"},
        "accepted: an image of PostgreSQL 19, as 'postgres:19.1' is",
    ),
    (
        {"pods": {"userFromPlatform": True}, "serverPods": {"runAsUser": 1000}},
        "serverPods: [secret]; accepted: beside pods, in runAsUser, nothing with userFromPlatform",
    ),
    (
        {"clientWorkspace": True, "workspaceHost": "mlflow-minio.local"},
        "workspaceHost: 'mlflow-minio.local'; accepted: a name other than artifactHost's",
    ),
    ({"workers": 8}, "serverMemory: '1Gi'; accepted: 1152Mi or more with workers: 8"),
    (
        {"externalNetworks": ["192.0.2.0/24"]},
        "externalNetworks: ['192.0.2.0/24']; accepted: nothing, unless backendStore, artifact",
    ),
    (
        {"backupStore": "s3", "backupSecret": "theirs"},
        "backupBucket: ''; accepted: with backupStore: s3, the name of a bu",
    ),
    (
        {"backupStore": "s3", "backupBucket": "backups"},
        "backupAccessKeyId: ''; accepted: with backupStore: s3, an access key, or the name of a",
    ),
    (
        {"backupStore": "s3", "backupBucket": "backups", "backupAccessKeyId": "key"},
        "backupSecretAccessKey: [secret]; accepted: the other half of backupAccessKeyId",
    ),
    (
        {
            **{"backupStore": "s3", "backupBucket": "backups", "backupAccessKeyId": "key"},
            "backupSecret": "theirs",
        },
        "backupSecret: 'theirs'; accepted: nothing beside backupAccessKeyId",
    ),
    (
        {
            **{"backupStore": "s3", "backupBucket": "backups", "backupSecret": "theirs"},
            "backupCa": CERTIFICATE,
        },
        "accepted: nothing, unless backupEndpoint is an https:// address",
    ),
    ({"backupBucket": "backups"}, "backupBucket: 'backups'; accepted: only with backupStore: s3"),
    (
        {"backupPointInTime": True, "backupSchedule": "0 2 * * *"},
        "backupPointInTime: True; accepted: true only with backupStore: s3 or artifacts",
    ),
    (
        {"backupPointInTime": True, "backupStore": "artifacts"},
        "backupPointInTime: True; accepted: true only with backupSchedule",
    ),
    (
        {
            **{"backupPointInTime": True, "backupStore": "artifacts"},
            **{"backupSchedule": "0 2 * * *", "backendStore": "mysql"},
        },
        "backupPointInTime: True; accepted: true only with backendStore: postgres",
    ),
    ({"jobExecution": True}, "serverMemory: '1Gi'; accepted: 1920Mi or more"),
    (
        {"jobExecution": True, "serverMemory": "4Gi", "replicas": 2},
        "replicas: 2; accepted: 1 with jobExecution: true, whose queue is in the pod",
    ),
    (
        {"jobExecution": True, "serverMemory": "4Gi", "autoscaled": True},
        "autoscaled: True; accepted: false with jobExecution: true",
    ),
    ({"databaseCa": CERTIFICATE}, "accepted: only with backendStore: external"),
    (
        {"backendStore": "mysql", "postgresFormerImage": "postgres:18.6"},
        "postgresFormerImage: 'postgres:18.6'; accepted: only with backendStore: postgres",
    ),
    (
        {
            "backendStore": "external",
            "databaseSecret": "theirs",
            "postgresFormerImage": "postgres:18.6",
        },
        "postgresFormerImage: 'postgres:18.6'; accepted: only with backendStore: postgres",
    ),
    (
        {"httpsProxy": "http://proxy.example:3128"},
        "httpsProxy: 'http://proxy.example:3128'; accepted: beside it, a way to the proxy in egr",
    ),
    ({"noProxy": [".corp"]}, "noProxy: ['.corp']; accepted: nothing without httpsProxy or httpP"),
    ({"egressCa": CERTIFICATE}, "accepted: nothing without egress: no call goes out"),
    (
        {"workers": 16, "replicas": 4, "serverMemory": "8Gi"},
        "replicas: 4 with workers: 16 need 510 database connections at least; accepted",
    ),
    ({"databaseSecret": "db"}, "databaseSecret: 'db'; accepted: only with backendStore: external"),
    ({"backendStore": "external"}, "databaseUri: [secret]; accepted: an address, or a Secret's"),
    (
        {"backendStore": "external", "databaseSecret": "db", "databaseConnections": 10},
        "need 36 database connections at least; accepted: as many as 10 allow",
    ),
    ({"databaseConnections": 500}, "databaseMemory: ''; accepted: 2550Mi or more with 500 conn"),
    ({"databaseMemory": "512Mi"}, "databaseMemory: '512Mi'; accepted: 1000Mi or more with 190 co"),
    (
        {"backendStore": "external", "databaseSecret": "db", "databaseMemory": "2Gi"},
        "databaseMemory: '2Gi'; accepted: nothing with backendStore: external",
    ),
    ({"tls": "secret"}, "tlsSecret: ''; accepted: with tls: secret, the name of a Secret of type"),
    ({"tlsSecret": "corp"}, "tlsSecret: 'corp'; accepted: only with tls: secret"),
    (
        {"tls": "generated", "tlsSecret": "corp"},
        "tlsSecret: 'corp'; accepted: only with tls: secret",
    ),
    ({"tls": "cert-manager"}, "tlsIssuer: ''; accepted: with tls: cert-manager, the name of a"),
    (
        {"tls": "generated", "tlsIssuer": "letsencrypt"},
        "tlsIssuer: 'letsencrypt'; accepted: only with tls: cert-manager",
    ),
    ({"tls": "gateway"}, "gateway: ''; accepted: with tls: gateway, <namespace>/<name>/<listener>"),
    (
        {"tls": "gateway", "gateway": "infra/public", "ingressNamespace": "infra"},
        "gateway: 'infra/public'; accepted: with tls: gateway, <namespace>/<name>/<listener>",
    ),
    (
        {"tls": "generated", "gateway": "infra/public", "ingressNamespace": "infra"},
        "tls: 'generated'; accepted: none or gateway, where a gateway is set",
    ),
    (
        {"gateway": "infra/public"},
        "ingressNamespace: 'ingress-nginx'; accepted: with gateway, the namespace of the Gateway's",
    ),
    (
        {
            "gateway": "infra/public",
            "ingressNamespace": "infra",
            "ingressAnnotations": {"example.com/a": "b"},
        },
        "ingressAnnotations: {'example.com/a': 'b'}; accepted: nothing beside gateway",
    ),
]
CONTRADICTIONS += [one for tried in TRIED.values() for one in tried.contradictions]


def loaded(*encrypted: str, **changed: object) -> Settings:
    found: list[Settings] = []
    record(lambda: found.append(load()), settings(**changed), encrypted)
    return found[0]


def refusal(*encrypted: str, **changed: object) -> str:
    """Return what the whole program says, which must not have asked for anything yet."""
    recorded = Recorded()
    with pytest.raises(pulumi.RunError) as refused:
        run_stack(*encrypted, into=recorded, **changed)
    assert not recorded.resources
    return str(refused.value)


@pytest.mark.parametrize(("key", "value", "offer"), WRONG)
def test_a_wrong_value_is_refused_in_one_line(key: str, value: object, offer: str) -> None:
    line = refusal(**{key: value})
    given = settings(**{key: value})[f"mlflow:{key}"]
    shown = repr(given if len(given) <= 100 else f"{given[:100]}...")
    assert len(line.splitlines()) == 1
    assert line.startswith(f"mlflow:{key}: {shown}; accepted: ")
    assert offer in line


@pytest.mark.parametrize(("key", "value", "offer"), WRONG_AND_HIDDEN)
def test_what_may_be_a_secret_in_the_wrong_place_is_not_shown(
    key: str, value: str, offer: str
) -> None:
    line = refusal(**{key: value})
    assert line.startswith(f"mlflow:{key}: [secret]; accepted: ")
    assert offer in line
    assert value not in line


@pytest.mark.parametrize(("changed", "offer"), CONTRADICTIONS)
def test_settings_that_contradict_each_other_are_refused(
    changed: dict[str, object], offer: str
) -> None:
    line = refusal(**changed)
    assert "\n" not in line
    assert line.startswith("mlflow:")
    assert offer in line


@pytest.mark.parametrize(("uri", "offer"), WRONG_URIS)
def test_a_wrong_address_is_refused_without_showing_it(uri: str, offer: str) -> None:
    line = refusal("databaseUri", backendStore="external", databaseUri=uri)
    assert "\n" not in line
    assert line.startswith("mlflow:databaseUri: [secret]; accepted: ")
    assert offer in line
    assert HIDDEN not in line


@pytest.mark.parametrize(
    "uri",
    [
        GOOD_URI,
        f"mysql+pymysql://ml:{HIDDEN}@192.0.2.7:3306/ml?charset=utf8mb4",
        "postgresql+psycopg2://ml@[2001:db8::1]:5432/mlflow?sslmode=require",
        "postgresql+psycopg2://ml:a%40b%2Fc:d@db:5432/mlflow",
    ],
)
def test_an_encrypted_address_is_taken(uri: str) -> None:
    external = {"backendStore": "external", "databaseUri": uri, "auth": "none"}
    found = loaded("databaseUri", **external, databaseConnections=50)
    assert found.database_uri == uri
    assert found.connections == 50
    assert HIDDEN not in repr(found)


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"backendStore": "external", "databaseUri": GOOD_URI}, "databaseUri"),
        ({"artifactStore": "s3", "s3SecretAccessKey": HIDDEN}, "s3SecretAccessKey"),
    ],
)
def test_a_secret_in_clear_is_refused_without_showing_it(
    changed: dict[str, object], key: str
) -> None:
    line = refusal(**changed)
    command = f"`pulumi config set --secret mlflow:{key}`"
    assert line == f"mlflow:{key}: [secret]; accepted: an encrypted value, by {command}"


def test_a_name_that_kubernetes_would_not_take_is_refused() -> None:
    name = f"infra/{'a.' * 126}a"
    assert loaded(gateway=name, ingressNamespace="infra").gateway == name
    assert "accepted: <namespace>/<name> of a Gateway" in refusal(gateway=f"{name}a")


def test_two_databases_or_two_stores_at_once_are_refused() -> None:
    both = {"databaseUri": GOOD_URI, "databaseSecret": "db", "auth": "none"}
    line = refusal("databaseUri", backendStore="external", **both)
    assert line == (
        "mlflow:databaseSecret: 'db'; accepted: nothing beside databaseUri: two databases at once"
    )
    line = refusal("databaseUri", databaseUri=GOOD_URI)
    assert line.startswith("mlflow:databaseUri: [secret]; accepted: only with backendStore: ext")
    lines = refusal(s3Bucket="b-1", s3Prefix="p").splitlines()
    assert [line.split(":")[1] for line in lines] == ["s3Bucket", "s3Prefix"]
    assert all("two stores at once" in line for line in lines)


def test_a_private_key_is_not_shown() -> None:
    line = refusal(s3Ca="-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----")
    assert line.startswith("mlflow:s3Ca: [secret]; accepted: certificates as PEM")


def test_a_store_outside_has_no_host_name_here() -> None:
    found = loaded(artifactStore="s3", s3Bucket="b-1")
    assert list(found.hosts) == ["trackingHost"]


@pytest.mark.parametrize(
    ("image", "registry", "name"),
    [
        ("postgres:18.6", "", "postgres:18.6"),
        ("postgres:18.6", "mirror.example", "mirror.example/postgres:18.6"),
        ("ours/server:1", "localhost:5000/a/b", "localhost:5000/a/b/ours/server:1"),
        ("quay.io/x/y:1", "mirror.example", "quay.io/x/y:1"),
    ],
)
def test_one_setting_points_every_image_at_a_registry(image: str, registry: str, name: str) -> None:
    found = loaded(imageRegistry=registry, **dict.fromkeys(IMAGES, image))
    assert found.images == dict.fromkeys(IMAGES, name)
    assert found.server_image == name


def test_an_unknown_key_is_refused_with_the_nearest_one() -> None:
    assert refusal(replica=2) == "mlflow:replica: no such setting; did you mean replicas?"
    assert "accepted: namespace, createNamespace, backendStore" in refusal(zzz=1)


def test_every_mistake_is_told_at_once() -> None:
    lines = refusal(replicas=0, workers=0, colour="red").splitlines()
    assert [line.split(":")[1] for line in lines] == ["colour", "replicas", "workers"]


def test_good_values_arrive_as_their_types() -> None:
    found = loaded(replicas="3", jobExecution="false", allowedHosts=["a.b:*"], storageClass="")
    assert (found.replicas, found.job_execution) == (3, False)
    assert (found.allowed_hosts, found.storage_class) == (["a.b:*"], None)


def test_pulumis_file_and_the_document_are_generated_from_the_declarations() -> None:
    stale = [file.name for file, text in generated().items() if file.read_text() != text]
    assert stale == [], "`python -m settings.generate` writes them"


def test_the_declared_defaults_are_accepted_without_pulumis_file() -> None:
    found = Given("mlflow", {}).read()
    for setting in SETTINGS.values():
        assert getattr(found, setting.attribute) == setting.default, setting.key


def test_settings_do_not_change() -> None:
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        loaded().replicas = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("uri", "conflict"),
    [
        ("postgresql+psycopg2://ml:a@db.example:5432/ml?sslmode=require", "sslmode other than"),
        ("postgresql+psycopg2://ml:a@db.example:5432/ml?sslrootcert=system", "sslrootcert"),
        ("mysql+pymysql://ml:a@db.example:3306/ml?ssl_ca=/ca.pem", "ssl_ca"),
    ],
)
def test_an_address_that_says_otherwise_is_refused_beside_an_authority(
    uri: str, conflict: str
) -> None:
    external = {"backendStore": "external", "databaseUri": uri, "auth": "none"}
    line = refusal("databaseUri", **external, databaseCa=CERTIFICATE)
    assert line.startswith("mlflow:databaseUri: [secret]; accepted: beside databaseCa, an address")
    assert conflict in line


def test_a_proxys_password_is_refused_in_clear_and_not_shown() -> None:
    proxy = {"egress": ["10.0.0.1:3128"], "httpsProxy": f"http://ml:{HIDDEN}@10.0.0.1:3128"}
    line = refusal(**proxy)
    assert line.startswith("mlflow:httpsProxy: [secret]; accepted: an encrypted value, by ")
    assert loaded("httpsProxy", **proxy).https_proxy == proxy["httpsProxy"]
    assert HIDDEN not in repr(loaded("httpsProxy", **proxy))
