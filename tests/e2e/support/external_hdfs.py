"""An HDFS outside the cluster, whose nodes have names that no DNS knows, as the lab's neighbour."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from commands.support import stack as stacks
from components.artifact_stores._hadoop import configuration_xml
from harness.waiting import wait_until
from tests.e2e.support.external_servers import (
    ADDRESS,
    apart,
    free_port,
    image_files,
    listens,
    program,
)

NAME_NODE, DATA_NODE = "nn.outside", "dn1.outside"
OWNER = "ml"
FOLDER = "/ml/flow"
_HADOOP_USER = 1000
_SETTINGS = "/etc/outside"
_HDFS = ["/opt/hadoop/bin/hdfs", "--config", _SETTINGS]
_VARIABLES = {
    "HADOOP_HEAPSIZE_MAX": "256",
    "HADOOP_HOME": "/opt/hadoop",
    "HADOOP_LOG_DIR": "/tmp",  # noqa: S108 (in the image's files)
    "JAVA_HOME": "/opt/java",
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
}


@dataclass(frozen=True)
class OutsideHdfs:
    """A NameNode and a DataNode; the folder belongs to `ml`."""

    port: int

    @property
    def uri(self) -> str:
        """The folder's address."""
        return f"hdfs://{NAME_NODE}:{self.port}{FOLDER}"


@contextmanager
def running(folder: Path) -> Iterator[OutsideHdfs]:
    """Have the HDFS running while the block runs."""
    hdfs = OutsideHdfs(free_port())
    image = stacks.settings("minikube").images["hdfsImage"]
    with ExitStack() as stack:
        roots = [
            stack.enter_context(image_files(image, folder / daemon))
            for daemon in ("namenode", "datanode")
        ]
        for root in roots:
            _configure(root, hdfs)
        names, blocks = roots
        _run(names, "namenode", "-format", "-nonInteractive")
        stack.enter_context(program(names, _HADOOP_USER, [*_HDFS, "namenode"], _VARIABLES))
        stack.enter_context(program(blocks, _HADOOP_USER, [*_HDFS, "datanode"], _VARIABLES))
        wait_until(partial(listens, hdfs.port), 90, "the NameNode listens")
        _run(blocks, "dfsadmin", "-safemode", "wait")
        _run(blocks, "dfs", "-mkdir", "-p", FOLDER)
        _run(blocks, "dfs", "-chown", OWNER, FOLDER)
        yield hdfs


def _configure(root: Path, hdfs: OutsideHdfs) -> None:
    hosts = f"127.0.0.1 localhost {_host_name()}\n{ADDRESS} {NAME_NODE} {DATA_NODE}\n"
    (root / "etc/hosts").write_text(hosts)
    for made in (root / "dev", root / "proc", root / "data", root / _SETTINGS[1:]):
        made.mkdir(parents=True, exist_ok=True)
    (root / "data").chmod(0o777)
    site = {
        "dfs.datanode.data.dir": "file:///data/blocks",
        "dfs.datanode.hostname": DATA_NODE,
        "dfs.namenode.name.dir": "file:///data/names",
        "dfs.namenode.safemode.extension": "0",
        "dfs.namenode.safemode.min.datanodes": "1",
        "dfs.replication": "1",
        **{
            f"dfs.{what}address": f"{ADDRESS}:{free_port()}"
            for what in ("datanode.", "datanode.http.", "datanode.ipc.", "namenode.http-")
        },
    }
    core = {"fs.defaultFS": f"hdfs://{NAME_NODE}:{hdfs.port}"}
    for name, properties in (("core", core), ("hdfs", site)):
        file = root / _SETTINGS[1:] / f"{name}-site.xml"
        file.write_text(configuration_xml(properties))


def _host_name() -> str:
    return Path("/proc/sys/kernel/hostname").read_text().strip()


def _run(root: Path, *arguments: str) -> None:
    """Run one of HDFS's own commands, as its superuser."""
    command = apart(root, _HADOOP_USER, [*_HDFS, *arguments])
    subprocess.run(command, env=_VARIABLES, check=True, capture_output=True, timeout=120)
