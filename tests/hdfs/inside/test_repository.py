"""What MLflow asks of an artifact repository, and what ours promises beyond it."""

import asyncio
import io
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from cluster import MOST_SECONDS, Hdfs, wait_until
from conftest import Look
from mlflow.exceptions import MlflowException
from mlflow_kubernetes.artifacts import hdfs as module
from mlflow_kubernetes.artifacts.hdfs import UNFINISHED, HdfsArtifactRepository

# What a file can be called in a run, and what URLs, globs and shells would trip over.
NAMES = ["two words", "ünï-çødé 模型", "100%", "%20", "a#b", "a?b&c=d", 'it\'s "q"', "*", "[x]{y}"]
BIG = 20 * 1024 * 1024 + 7


def put(repository: HdfsArtifactRepository, path: str, content: bytes = b"content") -> None:
    folder, _, name = path.rpartition("/")
    repository.log_artifact_from_stream(io.BytesIO(content), name, folder or None)


def listed(
    repository: HdfsArtifactRepository, path: str | None = None
) -> list[tuple[str, bool, int | None]]:
    return [(file.path, file.is_dir, file.file_size) for file in repository.list_artifacts(path)]


def refused(what: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(MlflowException) as failed:
        what()
    message = str(failed.value)
    assert len(message.splitlines()) == 1, message
    return failed.value.error_code, message


def content_of(repository: HdfsArtifactRepository, path: str) -> bytes:
    _, chunks = repository.open_artifact(path)
    return b"".join(chunks)


def tree(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }


def test_a_repository_that_holds_nothing_lists_nothing(repository: HdfsArtifactRepository) -> None:
    assert repository.list_artifacts() == []
    assert repository.list_artifacts("missing") == []


def test_a_file_is_stored_and_read_back(repository: HdfsArtifactRepository, tmp_path: Path) -> None:
    local = tmp_path / "model.bin"
    local.write_bytes(os.urandom(BIG))
    repository.log_artifact(str(local))
    repository.log_artifact(str(local), "deep/down")
    assert listed(repository) == [("deep", True, None), ("model.bin", False, BIG)]
    got = Path(repository.download_artifacts("deep/down/model.bin", str(tmp_path)))
    assert got == tmp_path / "deep/down/model.bin"
    assert got.read_bytes() == local.read_bytes()


def test_a_folder_is_stored_and_read_back_with_its_empty_folders(
    repository: HdfsArtifactRepository, tmp_path: Path
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    for folder in (source / "a" / "b", source / "nothing" / "in it", target):
        folder.mkdir(parents=True)
    for number, file in enumerate(("one", "a/two", "a/b/three", "a/b/empty")):
        (source / file).write_bytes(b"x" * number * 1000)
    repository.log_artifacts(str(source), "kept/here")
    repository.download_artifacts("kept/here", str(target))
    assert tree(target / "kept/here") == tree(source)
    repository.log_artifacts(str(source))
    everything = tmp_path / "everything"
    everything.mkdir()
    assert repository.download_artifacts("", str(everything)) == str(everything)
    assert tree(everything) == {
        **tree(source),
        "kept": None,
        "kept/here": None,
        **{f"kept/here/{name}": content for name, content in tree(source).items()},
    }


def test_a_listing_is_what_is_directly_there_by_name_and_relative_to_the_root(
    repository: HdfsArtifactRepository,
) -> None:
    for path in ("b", "a/z", "a/y/x", "c"):
        put(repository, path, path.encode())
    assert listed(repository) == [("a", True, None), ("b", False, 1), ("c", False, 1)]
    assert listed(repository, "a") == [("a/y", True, None), ("a/z", False, 3)]
    assert listed(repository, "a/y/") == [("a/y/x", False, 5)]
    assert listed(repository, "b") == []
    assert listed(repository, "b/below a file") == []


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_kept_as_it_is(
    name: str, repository: HdfsArtifactRepository, look: Look, tmp_path: Path
) -> None:
    local = tmp_path / name
    local.write_bytes(b"content")
    repository.log_artifact(str(local), name)
    assert (look.names(), look.names(name)) == ([name], [name])
    assert listed(repository, name) == [(f"{name}/{name}", False, 7)]
    assert content_of(repository, f"{name}/{name}") == b"content"
    below = HdfsArtifactRepository(f"{repository.artifact_uri}/{name}")
    assert listed(below) == [(name, False, 7)]
    below.delete_artifacts(name)
    assert listed(below) == []


def test_a_name_that_hdfs_does_not_take_is_refused(repository: HdfsArtifactRepository) -> None:
    code, message = refused(lambda: put(repository, "a:b"))
    assert code == "INVALID_PARAMETER_VALUE"
    assert message.startswith(f"Cannot store {repository.artifact_uri}/a:b: Invalid path name")


def test_an_empty_file_is_a_file(repository: HdfsArtifactRepository, tmp_path: Path) -> None:
    put(repository, "empty", b"")
    assert listed(repository) == [("empty", False, 0)]
    assert Path(repository.download_artifacts("empty", str(tmp_path))).read_bytes() == b""


def test_the_last_of_two_writes_is_kept(repository: HdfsArtifactRepository, look: Look) -> None:
    put(repository, "file", b"a longer first content")
    put(repository, "file", b"second")
    assert content_of(repository, "file") == b"second"
    assert look.names() == ["file"]


def test_a_folder_and_a_file_do_not_replace_each_other(
    repository: HdfsArtifactRepository, look: Look
) -> None:
    put(repository, "folder/file")
    uri = repository.artifact_uri
    assert refused(lambda: put(repository, "folder")) == (
        "INVALID_PARAMETER_VALUE",
        f"Cannot store {uri}/folder: there is a folder of this name",
    )
    code, message = refused(lambda: put(repository, "folder/file/below"))
    assert code == "INVALID_PARAMETER_VALUE"
    assert message.startswith(f"Cannot store {uri}/folder/file/below: ")
    assert (look.names(), look.names("folder")) == (["folder"], ["file"])


def test_two_thousand_files_in_one_folder(
    repository: HdfsArtifactRepository, tmp_path: Path
) -> None:
    source = tmp_path / "many"
    source.mkdir()
    names = [f"{number:04}" for number in range(2000)]
    for name in names:
        (source / name).touch()  # content would take each half a second of hdfs-native's patience
    repository.log_artifacts(str(source))
    assert listed(repository) == [(name, False, 0) for name in names]
    repository.delete_artifacts()
    assert repository.list_artifacts() == []


def test_what_is_missing_cannot_be_read(repository: HdfsArtifactRepository, tmp_path: Path) -> None:
    put(repository, "folder/file")
    uri = repository.artifact_uri
    for path, why in (("missing", "File does not exist"), ("folder", "Path is not a file")):
        code, message = refused(lambda path=path: repository.open_artifact(path))
        assert code == "RESOURCE_DOES_NOT_EXIST"
        assert message.startswith(f"Cannot read {uri}/{path}: {why}")
    with pytest.raises(MlflowException, match="File does not exist") as failed:
        repository.download_artifacts("missing", str(tmp_path))
    assert failed.value.error_code == "RESOURCE_DOES_NOT_EXIST"


@pytest.mark.parametrize("name", [".snapshot", "x:y", "x" * 256])
def test_a_name_that_hdfs_cannot_hold_is_refused_once_and_for_all(
    name: str, repository: HdfsArtifactRepository
) -> None:
    code, _ = refused(lambda: put(repository, name))
    assert code == "INVALID_PARAMETER_VALUE", "else a client asks again for minutes"


def test_a_part_of_a_file_is_read_and_of_no_other_one(repository: HdfsArtifactRepository) -> None:
    put(repository, "file", b"0123456789" * 1024 * 1024)
    artifact = repository.find_artifact("file")
    assert artifact.size == 10 * 1024 * 1024
    assert b"".join(repository.open_part("file", artifact, 7, 12)) == b"78901"
    put(repository, "file", b"new")
    assert repository.find_artifact("file").tag != artifact.tag
    code, message = refused(lambda: repository.open_part("file", artifact, 7, 12))
    assert code == "TEMPORARILY_UNAVAILABLE"
    assert message.endswith("/file: it has just been replaced")


def test_a_local_file_that_is_missing_is_not_blamed_on_hdfs(
    repository: HdfsArtifactRepository, look: Look
) -> None:
    with pytest.raises(FileNotFoundError, match="'/no/such/file'"):
        repository.log_artifact("/no/such/file")
    assert look.names() == []


def test_files_and_folders_are_deleted(repository: HdfsArtifactRepository, look: Look) -> None:
    for path in ("file", "folder/one", "folder/below/two", "other/three"):
        put(repository, path)
    repository.delete_artifacts("file")
    repository.delete_artifacts("folder")
    repository.delete_artifacts("missing")
    assert look.names() == ["other"]
    repository.delete_artifacts()
    root = HdfsArtifactRepository(repository.artifact_uri.rpartition("/")[0])
    own = repository.artifact_uri.rpartition("/")[2]
    assert own not in [file.path for file in root.list_artifacts()]


@pytest.mark.parametrize("path", ["..", "../other", "/etc", "a/../../other"])
def test_no_path_leads_out_of_the_root(path: str, repository: HdfsArtifactRepository) -> None:
    for what in (
        repository.list_artifacts,
        repository.open_artifact,
        repository.delete_artifacts,
        lambda path: repository.log_artifact_from_stream(io.BytesIO(b""), "file", path),
        lambda path: repository.log_artifacts("/nothing", path),
    ):
        with pytest.raises(MlflowException, match=r"^Invalid artifact path: "):
            what(path)


@pytest.mark.parametrize("name", ["", f"{UNFINISHED}1"])
def test_a_name_for_what_is_unfinished_is_refused(
    name: str, repository: HdfsArtifactRepository
) -> None:
    code, message = refused(lambda: put(repository, name))
    assert (code, message) == (
        "INVALID_PARAMETER_VALUE",
        f"Invalid artifact file name: {name!r}",
    )


@pytest.mark.parametrize("uri", ["s3://bucket/x", "hdfs", "hdfs:relative", "/folder"])
def test_anything_but_a_uri_of_hdfs_is_refused(uri: str) -> None:
    code, message = refused(lambda: HdfsArtifactRepository(uri))
    assert code == "INVALID_PARAMETER_VALUE"
    assert message == f"{uri!r}: expected hdfs://<host>:<port>/<folder>"


class Breaking(io.RawIOBase):
    """A client that goes away after some megabytes."""

    def __init__(self, during: Callable[[], None] = lambda: None) -> None:
        self._left, self._during = 3, during

    def read(self, size: int = -1) -> bytes:
        if not self._left:
            self._during()
            raise ConnectionResetError("the client is gone")
        self._left -= 1
        return os.urandom(size)


def blocking(repository: HdfsArtifactRepository, breaking: Breaking, name: str) -> None:
    repository.log_artifact_from_stream(breaking, name, "folder")


def streaming(repository: HdfsArtifactRepository, breaking: Breaking, name: str) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        while chunk := breaking.read(1_500_000):
            yield chunk

    asyncio.run(repository.log_artifact_from_async_stream(chunks(), name, "folder"))


@pytest.mark.parametrize("upload", [blocking, streaming])
def test_an_upload_that_breaks_off_leaves_what_was_there(
    upload: Callable[[HdfsArtifactRepository, Breaking, str], None],
    repository: HdfsArtifactRepository,
    look: Look,
) -> None:
    put(repository, "folder/old", b"old")
    seen = []
    for name in ("old", "new"):
        during = Breaking(lambda: seen.append((listed(repository, "folder"), look.names("folder"))))
        with pytest.raises(ConnectionResetError):
            upload(repository, during, name)
    for shown, there in seen:
        assert shown == [("folder/old", False, 3)]
        assert [name.startswith(UNFINISHED) for name in there] == [True, False]
    assert len(seen) == 2
    assert look.names("folder") == ["old"]
    assert look.content("folder/old") == b"old"


async def pieces(content: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


@pytest.mark.parametrize("size", [0, 1, module.CHUNK_SIZE, module.CHUNK_SIZE + 1, BIG])
def test_an_async_stream_is_stored_whole(
    size: int, repository: HdfsArtifactRepository, look: Look
) -> None:
    content = os.urandom(size)
    asyncio.run(repository.log_artifact_from_async_stream(pieces(content, 65536), "f", "a"))
    assert look.names("a") == ["f"]
    assert look.content("a/f") == content


def test_an_upload_that_is_killed_shows_nothing(
    repository: HdfsArtifactRepository, look: Look
) -> None:
    put(repository, "old", b"old")
    code = f"""
import mlflow, sys
from mlflow_kubernetes.artifacts.hdfs import HdfsArtifactRepository
class Slow:
    def read(self, size):
        print("asked", flush=True)
        sys.stdin.read(1)
        return b"x" * size
HdfsArtifactRepository({repository.artifact_uri!r}).log_artifact_from_stream(Slow(), "old")
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as uploading:
        assert uploading.stdout
        assert uploading.stdin
        for _ in range(3):
            assert uploading.stdout.readline() == b"asked\n"
            uploading.stdin.write(b".")
            uploading.stdin.flush()
        uploading.kill()
    assert listed(repository) == [("old", False, 3)]
    assert look.content("old") == b"old"
    put(repository, "old", b"new")
    assert look.content("old") == b"new"
    repository.delete_artifacts()
    assert look.names() == []


def run_as(user: str, code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", f"import mlflow\n{code}"],
        env={**os.environ, "HADOOP_USER_NAME": user},
        capture_output=True,
        text=True,
        timeout=MOST_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("action", "call"),
    [
        ("store", "log_artifact_from_stream(io.BytesIO(b'x'), 'file')"),
        ("make", "log_artifacts('/etc/apt', 'folder')"),
        ("delete", "delete_artifacts('file')"),
    ],
)
def test_a_user_without_rights_is_told_so(
    action: str, call: str, repository: HdfsArtifactRepository, look: Look
) -> None:
    put(repository, "file", b"mine")
    said = run_as(
        "nobody",
        f"""
import io
from mlflow.exceptions import MlflowException
from mlflow_kubernetes.artifacts.hdfs import HdfsArtifactRepository
try:
    HdfsArtifactRepository({repository.artifact_uri!r}).{call}
except MlflowException as error:
    print(error.error_code, error)
""",
    )
    assert said.startswith(f"PERMISSION_DENIED Cannot {action} {repository.artifact_uri}/f")
    assert "Permission denied: user=nobody, access=WRITE" in said
    assert said.count("\n") == 1
    assert look.content("file") == b"mine"


def test_a_name_node_that_is_not_there_is_told_soon() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        server = f"hdfs://127.0.0.1:{unused.getsockname()[1]}"
        began = time.monotonic()
        code, message = refused(HdfsArtifactRepository(f"{server}/x").list_artifacts)
    assert (code, message) == (
        "TEMPORARILY_UNAVAILABLE",
        f"Cannot list {server}/x: Connection refused (os error 111)",
    )
    # What bounds it is the refusal; one that waited for an answer would do so for all this time.
    assert time.monotonic() - began < module.PATIENCE


def test_a_name_node_that_is_silent_is_told_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = f"hdfs://127.0.0.1:{silent.getsockname()[1]}"
        repository = HdfsArtifactRepository(f"{server}/x")
        for action, what in (
            ("list", repository.list_artifacts),
            ("store", lambda: put(repository, "file")),
            ("store", lambda: streaming(repository, Breaking(), "file")),
        ):
            code, message = refused(what)
            assert code == "TEMPORARILY_UNAVAILABLE"
            assert message.startswith(f"Cannot {action} {server}/x")
            assert message.endswith(": no answer within 1 s")


def test_a_name_node_that_nobody_can_find_is_named() -> None:
    code, message = refused(HdfsArtifactRepository("hdfs://nowhere.invalid:8020/x").list_artifacts)
    assert code == "TEMPORARILY_UNAVAILABLE"
    assert message.startswith("Cannot list hdfs://nowhere.invalid:8020/x: failed to lookup address")


def test_the_hdfs_of_hadoops_settings_is_found(
    hdfs: Hdfs, repository: HdfsArtifactRepository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By default file system, and through a table of mounts."""
    folder = repository.artifact_uri.removeprefix(hdfs.url)
    properties = {
        "fs.defaultFS": hdfs.url,
        "fs.viewfs.mounttable.all.link./models": f"{hdfs.url}{folder}",
        "fs.viewfs.mounttable.all.linkFallback": f"{hdfs.url}/",
    }
    lines = (
        f"<property><name>{n}</name><value>{v}</value></property>" for n, v in properties.items()
    )
    (tmp_path / "core-site.xml").write_text(f"<configuration>{''.join(lines)}</configuration>")
    monkeypatch.setenv("HADOOP_CONF_DIR", str(tmp_path))
    put(repository, "a/b", b"found")
    module._client.cache_clear()
    try:
        for uri in (f"hdfs://{folder}", f"hdfs:{folder}", "viewfs://all/models"):
            found = HdfsArtifactRepository(uri)
            assert listed(found, "a") == [("a/b", False, 5)]
            put(found, "a/c", b"more")
            assert content_of(found, "a/c") == b"more"
            found.delete_artifacts("a/c")
    finally:
        module._client.cache_clear()


def test_forked_processes_do_not_share_a_client(repository: HdfsArtifactRepository) -> None:
    put(repository, "parent")
    children = []
    for number in range(3):
        child = os.fork()
        if not child:
            try:
                put(repository, f"child{number}")
                repository.list_artifacts()
            finally:
                os._exit(0)
        children.append(child)
    deadline = time.monotonic() + MOST_SECONDS
    for child in children:
        while os.waitpid(child, os.WNOHANG) == (0, 0):
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
            time.sleep(0.05)
    names = [file.path for file in repository.list_artifacts()]
    assert names == ["child0", "child1", "child2", "parent"]


def test_a_restarted_name_node_is_found_again(
    hdfs: Hdfs, repository: HdfsArtifactRepository
) -> None:
    put(repository, "before")
    hdfs.signal("namenode", signal.SIGKILL)
    try:
        code, message = refused(repository.list_artifacts)
        assert (code, message.split(": ")[0]) == (
            "TEMPORARILY_UNAVAILABLE",
            f"Cannot list {repository.artifact_uri}",
        )
    finally:
        hdfs.start_one("namenode")
        hdfs.wait_until_ready()
    put(repository, "after")
    assert [file.path for file in repository.list_artifacts()] == ["after", "before"]


def test_a_read_that_breaks_off_is_not_taken_for_a_whole_one(
    hdfs: Hdfs,
    repository: HdfsArtifactRepository,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put(repository, "big", b"x" * BIG)
    artifact, chunks = repository.open_artifact("big")
    assert (artifact.size, len(next(chunks))) == (BIG, module.CHUNK_SIZE)
    monkeypatch.setattr(module, "PATIENCE", 10.0)
    hdfs.signal("datanode", signal.SIGKILL)
    try:
        _code, message = refused(lambda: list(chunks))
        assert message.startswith(f"Cannot read {repository.artifact_uri}/big: ")
    finally:
        hdfs.start_one("datanode")
        hdfs.wait_until_ready()
    wait_until(lambda: content_of_or_none(repository, "big") == b"x" * BIG)


def content_of_or_none(repository: HdfsArtifactRepository, path: str) -> bytes | None:
    try:
        return content_of(repository, path)
    except MlflowException:
        return None


@pytest.mark.parametrize("direction", ["up", "down"])
def test_memory_does_not_grow_with_the_size(
    direction: str, repository: HdfsArtifactRepository, tmp_path: Path
) -> None:
    """A gibibyte takes no more than 64 MiB, in a process of its own."""
    code = f"""
import asyncio, os
from mlflow_kubernetes.artifacts.hdfs import HdfsArtifactRepository
repository = HdfsArtifactRepository({repository.artifact_uri!r})
block = os.urandom(65536)
async def chunks(count):
    for _ in range(count):
        yield block
def upload(count):
    asyncio.run(repository.log_artifact_from_async_stream(chunks(count), "big"))
def now(key):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) // 1024
upload(1)
before = now("VmRSS")
if "{direction}" == "up":
    upload(16384)
else:
    repository._download_file("big", "/dev/null")
print(now("VmHWM") - before)
"""
    if direction == "down":
        local = tmp_path / "big"
        with local.open("wb") as file:
            file.truncate(2**30)
        repository.log_artifact(str(local))
        code = code.replace("upload(1)\n", "repository.list_artifacts()\n")
    assert int(run_as("mlflow", code)) <= 64
