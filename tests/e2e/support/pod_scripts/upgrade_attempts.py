"""In the server's pod: upgrade older databases beside an API server of our own, in many ways.

The databases are real, and belong to the stack's server. The Kubernetes API is a server on
loopback that keeps what it is told, and asks for a token over TLS. Prints what was seen, as JSON.
"""

import datetime
import ipaddress
import json
import os
import signal
import ssl
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from mlflow.server import auth  # noqa: F401 (imported once, before the attempts are forked)
from mlflow.store.db.utils import _get_alembic_config
from mlflow.store.tracking.dbmodels.initial_models import Base
from mlflow_kubernetes import migrate
from mlflow_kubernetes.support import schemas
from mlflow_kubernetes.upgrade import flow, sessions

# The newest revision of MLflow 2.0 to 2.2, and the first one of the users.
OLD = {"runs": "97727af70f4d", "users": "8606fa83a998"}
TOKEN = "the-token-of-the-job"  # noqa: S105 (of the server below)

current = sa.make_url(os.environ["MLFLOW_BACKEND_STORE_URI"])
urls = {key: current.set(database=f"older_{key}") for key in OLD}
text = {key: url.render_as_string(hide_password=False) for key, url in urls.items()}
folder = Path(tempfile.mkdtemp())
scale: dict[str, Any] = {"replicas": 2}
record: dict[str, Any] = {}
asked: list[str] = []
held: list[sa.Connection] = []
when_noted: dict[str, Callable[[], object]] = {}


class Kubernetes(BaseHTTPRequestHandler):
    """The part of the Kubernetes API that the Job asks."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer with the scale, or with the pods that it asks for."""
        if "/pods?" in self.path:
            pod = {
                "metadata": {"name": "mlflow-1"},
                "status": {"phase": "Running"},
                "spec": {"containers": [{"image": "server:old"}]},
            }
            self._answer({"items": [pod] * scale["replicas"]})
        else:
            self._answer({"spec": scale})

    def do_PATCH(self) -> None:
        """Take a scale or a record."""
        change = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if "/configmaps/" in self.path:
            record.update(json.loads(change["data"]["upgrade.json"]))
            (folder / "upgrade.json").write_text(change["data"]["upgrade.json"])
            when_noted.pop(record["state"], lambda: None)()
        else:
            scale.update(change["spec"])
        self._answer({})

    def _answer(self, content: object) -> None:
        asked.append(f"{self.command} {self.path.partition('?')[0].rpartition('/')[2]}")
        right = self.headers["Authorization"] == f"Bearer {TOKEN}"
        self.send_response(200 if right else 401)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())


def serve() -> int:
    """Start the API server; return its port."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "kubernetes")])
    today = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(hours=1))
        .not_valid_after(today + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (folder / "ca.crt").write_bytes(pem)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / "server.pem").write_bytes(private + pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Kubernetes)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


def attempt(job: str, during: Callable[[int], object] = lambda _: None) -> dict[str, Any]:
    """Run the Job's program once in a process of its own; return how it ended.

    Args:
        job: the uid of the Job.
        during: is called with the pid while the program runs.
    """
    (folder / "job").write_text(job)
    asked.clear()
    said = folder / "said"
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            with said.open("w") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            # A forked process shares no connection with its parent.
            held.clear()
            flow.SESSION_SECONDS = 4
            sessions.IDLE_SECONDS = 1
            migrate.main()
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    during(pid)
    ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return {
        "status": ended,
        "said": [line for line in said.read_text().splitlines() if " INFO " not in line],
        "asked": list(asked),
        "replicas": scale["replicas"],
        "record": dict(record),
        "revisions": {key: revision(key) for key in OLD},
        "password": str(current.password) in said.read_text(),
    }


def connect(key: str, application: str = "") -> sa.Connection:
    """Return a connection of another client, which is no part of a pool."""
    options = {"application_name": application} if application else {}
    return sa.create_engine(urls[key], poolclass=sa.NullPool, connect_args=options).connect()


def revision(key: str) -> str:
    """Return the revision of the tables in a database."""
    table = {"runs": "alembic_version", "users": "alembic_version_auth"}[key]
    with connect(key) as connection:
        return str(
            connection.scalar(sa.select(sa.text("version_num")).select_from(sa.table(table)))
        )


def prepare() -> None:
    """Make the older databases, with an experiment and a user in them."""
    with connect("runs") as connection:
        Base.metadata.create_all(connection)
        connection.commit()
    command.upgrade(_get_alembic_config(text["runs"]), OLD["runs"])
    command.upgrade(schemas.users().config(text["users"]), OLD["users"])
    for key, statement in (
        (
            "runs",
            "INSERT INTO experiments (experiment_id, name, lifecycle_stage)"
            " VALUES (7, 'kept', 'active')",
        ),
        ("users", "INSERT INTO users (username, password_hash) VALUES ('kept', 'x')"),
    ):
        with connect(key) as connection:
            connection.exec_driver_sql(statement)
            connection.commit()


def change(key: str, statement: str) -> None:
    """Change one of the databases."""
    with connect(key) as connection:
        connection.exec_driver_sql(statement)
        connection.commit()


def hold() -> None:
    """Lock a table that the upgrade changes."""
    held.append(connect("runs"))
    held[0].exec_driver_sql("LOCK TABLE experiments, runs IN ACCESS EXCLUSIVE MODE")


def signalled(number: int) -> Callable[[int], None]:
    """Return what sends a signal to the program while it waits for the lock."""

    def send(pid: int) -> None:
        while not held:
            time.sleep(0.1)
        time.sleep(1)
        os.kill(pid, number)
        time.sleep(0.5)
        held.pop().close()

    return send


def main() -> None:
    """Print what each attempt did."""
    os.environ.update(
        MLFLOW_BACKEND_STORE_URI=text["runs"],
        MLFLOW_AUTH_DATABASE_URI=text["users"],
        USERS=json.dumps({"admin": "the-password-of-admin"}),
        KUBERNETES_SERVICE_HOST="127.0.0.1",
        KUBERNETES_SERVICE_PORT=str(serve()),
        UPGRADE_API_FOLDER=str(folder),
        UPGRADE_RECORD_FOLDER=str(folder),
        UPGRADE_RECORD="mlflow-upgrade",
        UPGRADE_DEPLOYMENT="mlflow",
        UPGRADE_IMAGE="server:new",
        TIMEOUT_SECONDS="20",
    )
    for name, content in (("token", TOKEN), ("namespace", "some")):
        (folder / name).write_text(content)
    prepare()
    seen: dict[str, Any] = {}

    busy = connect("users", "a-notebook")
    busy.exec_driver_sql("SELECT 1")
    seen["busy"] = attempt("1")
    seen["the next pod"] = attempt("1")
    busy.close()

    # The tables of the runs have changed by then, in a transaction.
    change("users", "CREATE TABLE role_permissions (id int)")
    seen["broken"] = attempt("2")
    change("users", "DROP TABLE role_permissions")

    when_noted["migrating"] = hold
    seen["killed"] = attempt("3", signalled(signal.SIGKILL))
    seen["after the kill"] = attempt("3")

    when_noted["migrating"] = hold
    seen["stopped"] = attempt("4", signalled(signal.SIGTERM))

    # A connection pool in front of the database keeps such a session.
    idle = connect("runs")
    idle.exec_driver_sql("SELECT 1")
    idle.commit()
    seen["upgraded"] = attempt("4")
    seen["again"] = attempt("5")
    with connect("runs") as connection:
        seen["experiments"] = connection.exec_driver_sql(
            "SELECT name FROM experiments WHERE experiment_id = 7"
        ).scalar()
    with connect("users") as connection:
        rows = connection.exec_driver_sql("SELECT username FROM users ORDER BY username")
        seen["users"] = [row[0] for row in rows]
    print(json.dumps(seen))


main()
