"""Attacks on MLflow that were made public, as requests to a server of ours.

Sources: MLflow's advisories (github.com/mlflow/mlflow/security), the CVE list, and the classes of
attack that they are of.
"""

from dataclasses import dataclass, field
from typing import Any

CANARY = 5099
"""Port on the server's own pod where a listener counts the calls that nobody should make."""
INNER = f"127.0.0.1:{CANARY}"
METADATA = "169.254.169.254"
OPEN = frozenset({"/health", "/health/ready"})
"""What may be asked without a login."""
_API = "/api/2.0/mlflow"
_ARTIFACTS = "/api/2.0/mlflow-artifacts"
_INVALID = "Invalid path"


@dataclass(frozen=True)
class Attack:
    """One request, and those that have to come before it for it to do harm."""

    name: str
    verb: str
    path: str
    body: Any = None
    by: str = "admin"
    """Who sends it: the admin, where an attack takes a login, is the worst case; or nobody."""
    login: str | None = None
    """A name and password that are tried."""
    headers: dict[str, str] = field(default_factory=dict)
    refusal: str = ""
    """What a server that looked at it says."""
    harmless: str = ""
    """What may be answered all the same; no refusal, but of no use to anybody."""
    twin: str = ""
    """A path of the same kind that is served: without one a 404 may be a route that is gone."""


def traversals(run: str, model: str) -> list[Attack]:
    """Return attacks on files of the server's own, by paths that lead out of the store."""
    ways = {
        "plain": "../../../../../../etc/passwd",
        "encoded": "..%2f..%2f..%2f..%2fetc%2fpasswd",
        "encoded twice (CVE-2024-3848)": "%252e%252e%252f%252e%252e%252fetc%252fpasswd",
        "absolute (CVE-2023-6909)": "/etc/passwd",
        "as a URI (CVE-2023-1177)": "file:///etc/passwd",
        "backslashes (CVE-2023-30172)": "..%5c..%5c..%5cetc%5cpasswd",
        "environment (CVE-2023-6977)": "..%2f..%2f..%2fproc%2fself%2fenviron",
    }
    # A backslash separates nothing here. It is MinIO that will have none of it.
    harmless = {"backslashes (CVE-2023-30172)": "Resource name contains bad components"}
    found = [
        Attack(
            f"{name}, {way}",
            "GET",
            f"{read}{path}",
            refusal="" if way in harmless else _INVALID,
            harmless=harmless.get(way, ""),
        )
        for way, path in ways.items()
        for name, read in (
            ("read, proxy", f"{_ARTIFACTS}/artifacts/"),
            ("read, run", f"/get-artifact?run_uuid={run}&path="),
            ("read, model", f"/model-versions/get-artifact?name={model}&version=1&path="),
        )
    ]
    out = "..%2f..%2f..%2ftmp%2fleft"
    upload = f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run}&path={out}"
    found += [
        Attack(name, verb, path, body, refusal=_INVALID)
        for name, verb, path, body in (
            ("write, proxy", "PUT", f"{_ARTIFACTS}/artifacts/{out}", "x"),
            ("delete, proxy (CVE-2024-1560)", "DELETE", f"{_ARTIFACTS}/artifacts/{out}", None),
            ("list, proxy", "GET", f"{_ARTIFACTS}/artifacts?path=..%2f..%2f", None),
            ("list, run", "GET", f"{_API}/artifacts/list?run_id={run}&path=..%2f..%2f", None),
            ("presigned, proxy", "GET", f"{_ARTIFACTS}/presigned/{out}", None),
            ("upload in parts", "POST", f"{_ARTIFACTS}/mpu/create/{out}", {"num_parts": 1}),
            ("upload, page", "POST", upload, "x"),
        )
    ]
    pages = "/static-files/index.html"
    etc = "..%2f..%2f..%2f..%2fetc%2fpasswd"
    return [
        *found,
        Attack("pages' own files", "GET", f"/static-files/{etc}", twin=pages),
        Attack(
            "pages' own files, plain", "GET", "/static-files/../../../../etc/passwd", twin=pages
        ),
        Attack("Flask's own files", "GET", f"/build/{etc}", twin="/build/index.html"),
        Attack(
            "trace",
            "GET",
            "/ajax-api/2.0/mlflow/get-trace-artifact?request_id=..%2f..%2fetc%2fpasswd",
            harmless="Trace with ID '../../etc/passwd' not found",
        ),
    ]


LOCATIONS = [
    *("file:///etc", "/etc"),  # CVE-2023-1177
    *("file:///tmp/here", "/tmp/here"),  # noqa: S108 (where the server may write)
    "file:///tmp#/../../../etc",  # CVE-2024-2928
    *("http:///#/../../../../etc", "http:///?/../../../../etc", "http:///;/../../../../etc"),
    *("mlflow-artifacts:/../../../etc", "mlflow-artifacts:/%2e%2e/%2e%2e/etc"),
    *(f"http://{INNER}/x", f"https://{INNER}/x"),  # mlflow/mlflow#24767
    f"mlflow-artifacts://{INNER}/x",  # GHSA-mr9f-g8qf-4w4j
    *(f"ftp://a:b@{INNER}/x", f"sftp://a:b@{INNER}/x", f"hdfs://{INNER}/x"),
    *(f"abfss://x@{INNER}/x", f"http://{METADATA}/latest/meta-data"),
    "s3://another-bucket/x",
]
"""Where artifacts could be kept, if one asked for it: the server would read and write there."""


def requests_elsewhere() -> list[Attack]:
    """Return attempts to have the server call an address that only it reaches (SSRF)."""
    targets = [
        f"http://{INNER}/",
        f"https://{INNER}/",
        f"https://localhost:{CANARY}/",
        f"https://[::1]:{CANARY}/",
        f"https://{METADATA}/latest/meta-data",
        "https://2130706433/",
        "https://0x7f000001/",
        "file:///etc/passwd",
    ]
    hooks = [
        Attack(
            f"webhook to {target} (CVE-2026-2393)",
            "POST",
            f"{_API}/webhooks",
            {
                "name": f"hook-{number}",
                "url": target,
                "events": [{"entity": "REGISTERED_MODEL", "action": "CREATED"}],
            },
        )
        for number, target in enumerate(targets)
    ]
    secrets = [
        Attack(
            f"provider at {target}",
            "POST",
            "/api/3.0/mlflow/gateway/secrets/create",
            {
                "secret_name": f"provider-{number}",
                "provider": "openai",
                "secret_value": {"api_key": "x"},
                "auth_config": {"api_base": target},
            },
        )
        for number, target in enumerate(targets)
    ]
    return [
        *hooks,
        *secrets,
        Attack(
            "gateway proxy (GHSA-wxj7-3fx5-pp9m)",
            "POST",
            "/ajax-api/2.0/mlflow/gateway-proxy",
            {"gateway_path": f"http://{INNER}/x", "request_type": "GET"},
            harmless='{"endpoints":[]}',
        ),
        Attack(
            "gateway proxy, userinfo",
            "GET",
            f"/ajax-api/2.0/mlflow/gateway-proxy?gateway_path=@{INNER}/x",
            harmless='{"endpoints":[]}',
        ),
    ]


def logins() -> list[Attack]:
    """Return attempts to get in: with passwords that were defaults once, and past the login."""
    search = f"{_API}/experiments/search?max_results=1"
    tried = {
        "password1234 (CVE-2026-2635)": "admin:password1234",
        "password": "admin:password",
        "admin": "admin:admin",
        "no password": "admin:",
        "nobody": ":",
        "mlflow": "mlflow:mlflow",
        "SQL in the name": "' OR '1'='1:x",
        "SQL as the admin": "admin'--:x",
        "another spelling": "ADMIN:password1234",
    }
    ways = {
        "slashes": "//api/2.0/mlflow/experiments/search?max_results=1",
        "health and back": "/health/../api/2.0/mlflow/experiments/search?max_results=1",
        "health and back, encoded": "/health%2f..%2fapi/2.0/mlflow/experiments/search",
        "files and back": "/static-files/../api/2.0/mlflow/experiments/search?max_results=1",
        "icon and back": "/favicon.ico/../api/2.0/mlflow/experiments/search?max_results=1",
        "slash at the end": f"{_API}/experiments/search/?max_results=1",
        "semicolon": f"{_API}/experiments/search;/health?max_results=1",
        "capitals": "/API/2.0/mlflow/experiments/search?max_results=1",
    }
    named = {
        "X-Original-URL": "/health",
        "X-Rewrite-URL": "/health",
        "X-HTTP-Method-Override": "OPTIONS",
        "X-Forwarded-User": "admin",
        "Remote-User": "admin",
        "X-Forwarded-For": "127.0.0.1",
        "X-Forwarded-Prefix": "/health",
        "Cookie": "session=eyJ1c2VybmFtZSI6ImFkbWluIn0.x.x",
    }
    jobs = "/ajax-api/3.0/jobs"
    job = {"job_name": "os.system", "params": {"command": "true"}}
    return [
        *(Attack(f"password: {way}", "GET", search, login=one) for way, one in tried.items()),
        *(Attack(f"past it: {way}", "GET", one, by="nobody") for way, one in ways.items()),
        *(
            Attack(f"past it: {key}", "GET", search, by="nobody", headers={key: value})
            for key, value in named.items()
        ),
        Attack(
            "past it: Authorization",
            "GET",
            search,
            by="nobody",
            headers={"Authorization": "Bearer admin"},
            # MLflow looks for a name in it, and fails.
            harmless="<title>500 Internal Server Error</title>",
        ),
        Attack("jobs (CVE-2026-2652)", "POST", f"{jobs}/", job, by="nobody"),
        Attack("jobs, search (CVE-2026-2652)", "POST", f"{jobs}/search", {}, by="nobody"),
        Attack("traces (CVE-2026-2652)", "POST", "/v1/traces", "x", by="nobody"),
        Attack("a job of one's own (CVE-2026-0545)", "POST", f"{jobs}/", job),
        Attack("self-service", "POST", f"{_API}/users/create", _user("eve", "x" * 20), by="nobody"),
        Attack("sign-up page", "GET", "/signup", by="nobody"),
        Attack(
            "sign-up from another page (CVE-2025-1473)",
            "POST",
            f"{_API}/users/create-ui",
            "username=eve&password=xxxxxxxxxxxxxxxx",
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        ),
        Attack("empty password (CVE-2025-11200)", "POST", f"{_API}/users/create", _user("eve", "")),
        Attack("weak password (CVE-2025-1474)", "POST", f"{_API}/users/create", _user("eve", "a1")),
        Attack(
            "assistant, from elsewhere (CVE-2026-2611)",
            "POST",
            "/ajax-api/3.0/mlflow/assistant/message",
            {"message": "x"},
            headers={"Origin": "http://evil.example", "X-Forwarded-For": "127.0.0.1"},
        ),
        Attack(
            "assistant, as if from here",
            "PUT",
            "/ajax-api/3.0/mlflow/assistant/config",
            {"providers": {}},
            headers={"X-Forwarded-For": "127.0.0.1"},
        ),
        Attack(
            "GraphQL by the hundred (CVE-2025-0453)",
            "POST",
            "/graphql",
            {
                "query": "query {"
                + " ".join(
                    f'a{one}: mlflowGetExperiment(input: {{experimentId: "0"}}) {{ __typename }}'
                    for one in range(200)
                )
                + "}"
            },
            harmless="at most 10 root fields",
        ),
    ]


def _user(name: str, password: str) -> dict[str, str]:
    return {"username": name, "password": password}
