"""Images in which a released MLflow answers to the programs that the pods of a stack run."""

import shutil
from pathlib import Path

from commands.support.cluster import Cluster
from harness import clients
from harness.programs import CLONE
from tests.e2e.support import third_party

_FOLDER = Path(__file__).parent / "old_server"
_PACKAGE = CLONE / "images" / "mlflow" / "mlflow_kubernetes"


def image(release: str) -> str:
    """Return the name of the image of a release, such as 3.10.1."""
    return f"mlflow-kubernetes/test-old-server:{release}"


def provide(cluster: Cluster, release: str, scratch: Path) -> str:
    """Put the image of a release into the cluster, and return its name.

    Not every builder takes arguments or several contexts, so one folder in ``scratch`` gets all
    that the image is built from. It has the server image's package, and of it other modules where
    the package relies on its own MLflow.
    """
    folder = scratch / f"old-server-{release}"
    shutil.copytree(_FOLDER, folder, ignore=shutil.ignore_patterns("overlay"))
    package = folder / "mlflow_kubernetes"
    shutil.copytree(_PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "users.py").rename(package / "current_users.py")
    shutil.copytree(_FOLDER / "overlay", package, dirs_exist_ok=True)
    shutil.copy(clients.RELEASED / "requirements.txt", folder)
    shutil.copy(clients.RELEASED / f"{release}.txt", folder / "constraints.txt")
    third_party.provide(cluster, image(release), folder)
    return image(release)
