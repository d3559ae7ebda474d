"""The components and the server's package use the same names: those in contract.py."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "images" / "mlflow"))

from mlflow_kubernetes import contract

CLONE = Path(__file__).parents[3]
PACKAGE = CLONE / "images" / "mlflow" / "mlflow_kubernetes"
NAMES = {
    name: value
    for name, value in vars(contract).items()
    if name.isupper() and isinstance(value, str)
}
# A variable of a pod that is neither MLflow's own nor of a library below it.
OWN = re.compile(r"(?!MLFLOW_(?!KUBERNETES|AUTH_)|AWS_|HADOOP_|KRB5_|MINIO_)[A-Z]+(_[A-Z]+)*")


def texts(folder: Path) -> Iterator[tuple[Path, str]]:
    """Return every text in the modules of a folder, but for docstrings."""
    for path in sorted(folder.rglob("*.py")):
        for text in texts_of(path):
            yield path, text


def texts_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        for child in ast.iter_child_nodes(node):
            if (
                isinstance(child, ast.Constant)
                and isinstance(child.value, str)
                and not isinstance(node, ast.Expr)
            ):
                yield child.value


def test_components_run_the_programs_of_the_image_and_no_others() -> None:
    run = {
        found
        for _, text in texts(CLONE / "components")
        for found in re.findall(r"\bmlflow_kubernetes\.([\w.]*\w)", text)
    }
    assert run == contract.PROGRAMS
    programs = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "contract"}
    programs |= {
        f"backup.{path.stem}"
        for path in (PACKAGE / "backup").glob("*.py")
        if "__main__" in path.read_text()
    }
    assert programs == contract.PROGRAMS


def test_components_set_every_variable_that_the_image_reads() -> None:
    program = [path for path in (CLONE / "settings", CLONE / "components") if path.exists()]
    written = {text for folder in program for _, text in texts(folder)}
    written |= {text for path in CLONE.glob("*.py") for text in texts_of(path)}
    assert {name for name, value in NAMES.items() if value not in written} == set()


def test_the_image_takes_shared_names_from_one_place() -> None:
    shared = {value for name, value in NAMES.items() if value == value.upper()}
    repeated = [
        (path.name, text)
        for path, text in texts(PACKAGE)
        if text in shared and path.name != "contract.py"
    ]
    assert repeated == []


def test_the_image_reads_no_variable_of_its_own_that_is_not_shared() -> None:
    read = {
        ast.unparse(node.args[0])
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("required", "os.environ.get", "database.engine")
    }
    literal = {text.strip("'") for text in read if text.startswith("'")}
    assert {name for name in literal if OWN.fullmatch(name)} <= {"SSL_CERT_FILE"}
    assert {text.removeprefix("contract.") for text in read if "contract." in text} <= NAMES.keys()
