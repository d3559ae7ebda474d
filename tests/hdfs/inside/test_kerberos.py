"""An HDFS that asks for Kerberos, with a real key distribution center and keytabs."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import MOST_SECONDS, Hdfs, free_port

_REALM = "EXAMPLE.TEST"
# As a server may have to write them: everything else is left to Kerberos.
_SECURED = {
    "hadoop.security.authentication": "kerberos",
    "hadoop.security.authorization": "true",
    "dfs.block.access.token.enable": "true",
    "dfs.datanode.kerberos.principal": f"hdfs/localhost@{_REALM}",
    "dfs.datanode.keytab.file": "/data/hdfs.keytab",
    "dfs.namenode.kerberos.principal": f"hdfs/localhost@{_REALM}",
    "dfs.namenode.keytab.file": "/data/hdfs.keytab",
    "dfs.web.authentication.kerberos.keytab": "/data/hdfs.keytab",
    "dfs.web.authentication.kerberos.principal": f"HTTP/localhost@{_REALM}",
    # Secured DataNodes ask for ports below 1024, or for certificates, which are not looked at here.
    "ignore.secure.ports.for.testing": "true",
}


class Center:
    """A key distribution center on loopback."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.conf = folder / "krb5.conf"
        port = free_port()
        self.conf.write_text(
            f"[libdefaults]\ndefault_realm = {_REALM}\ndns_lookup_kdc = false\nrdns = false\n"
            f"udp_preference_limit = 1\n[realms]\n{_REALM} = {{\n  kdc = 127.0.0.1:{port}\n}}\n"
        )
        (folder / "kdc.conf").write_text(
            f"[kdcdefaults]\nkdc_listen = 127.0.0.1:{port}\nkdc_tcp_listen = 127.0.0.1:{port}\n"
            f"[realms]\n{_REALM} = {{\n  database_name = {folder}/principals\n"
            f"  key_stash_file = {folder}/stash\n}}\n"
        )
        self.environment = {
            **os.environ,
            "KRB5_CONFIG": str(self.conf),
            "KRB5_KDC_PROFILE": str(folder / "kdc.conf"),
        }
        self._run("kdb5_util", "create", "-s", "-P", "for the tests", "-r", _REALM)
        with (folder / "kdc.log").open("wb") as log:
            self._process = subprocess.Popen(
                ["krb5kdc", "-n"], env=self.environment, stdout=log, stderr=log
            )

    def keytab(self, name: str, *principals: str) -> Path:
        path = self.folder / f"{name}.keytab"
        for principal in principals:
            self._run("kadmin.local", "-q", f"addprinc -randkey {principal}")
            self._run("kadmin.local", "-q", f"ktadd -k {path} {principal}")
        return path

    def stop(self) -> None:
        self._process.kill()
        self._process.wait(10)

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            command,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=MOST_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def center(tmp_path: Path) -> Iterator[Center]:
    (tmp_path / "kdc").mkdir()
    started = Center(tmp_path / "kdc")
    try:
        yield started
    finally:
        started.stop()


@pytest.fixture
def secured(center: Center, tmp_path: Path) -> Iterator[Hdfs]:
    (tmp_path / "hdfs").mkdir()
    started = Hdfs(Path(os.environ["HADOOP_ROOT"]), tmp_path / "hdfs", _SECURED)
    keytab = center.keytab("hdfs", f"hdfs/localhost@{_REALM}", f"HTTP/localhost@{_REALM}")
    started.add_file("hdfs.keytab", keytab.read_bytes())
    started.add_file("krb5.conf", center.conf.read_bytes())
    try:
        started.start()
        yield started
    finally:
        started.stop()


def run(center: Center, keytab: Path, hdfs: Hdfs, code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", f"import mlflow\n{code}"],
        env={
            **center.environment,
            "HADOOP_CONF_DIR": str(hdfs.conf),
            "HADOOP_USER_NAME": "somebody",
            "KRB5_CLIENT_KTNAME": str(keytab),
            "KRB5CCNAME": "MEMORY:test",
        },
        capture_output=True,
        text=True,
        timeout=MOST_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


_USE = """
import io
from mlflow.exceptions import MlflowException
from mlflow_kubernetes.artifacts.hdfs import HdfsArtifactRepository
repository = HdfsArtifactRepository("{url}/artifacts")
try:
    repository.log_artifact_from_stream(io.BytesIO(b"secured"), "file")
    _, chunks = repository.open_artifact("file")
    print(b"".join(chunks), [file.path for file in repository.list_artifacts()])
except MlflowException as error:
    print(error.error_code, error)
"""


def test_a_keytab_lets_its_principal_in_and_nobody_else(center: Center, secured: Hdfs) -> None:
    mlflow = center.keytab("mlflow", f"mlflow@{_REALM}")
    run(
        center,
        center.folder / "hdfs.keytab",
        secured,
        f"""
from hdfs_native import Client
client = Client("{secured.url}")
client.mkdirs("/artifacts")
client.set_owner("/artifacts", "mlflow")
""",
    )
    use = _USE.format(url=secured.url)
    assert run(center, mlflow, secured, use) == "b'secured' ['file']"
    told = run(center, center.folder / "no.keytab", secured, use)
    assert told.startswith(f"TEMPORARILY_UNAVAILABLE Cannot store {secured.url}/artifacts/file: ")
    assert "No Kerberos credentials available" in told
    assert len(told.splitlines()) == 1
    other = center.keytab("other", f"other@{_REALM}")
    told = run(center, other, secured, use)
    assert told.startswith("PERMISSION_DENIED ")
    assert "user=other" in told
