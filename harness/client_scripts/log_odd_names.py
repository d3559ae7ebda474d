"""Log artifacts whose names need escaping in a URL; print which came back equal as JSON.

Of a name that is refused, it prints the reason.
"""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
from mlflow.exceptions import MlflowException
from requests import HTTPError


def main() -> None:
    names = json.load(sys.stdin)
    mlflow.set_experiment("odd names")
    refused: dict[str, str] = {}
    with TemporaryDirectory() as scratch, mlflow.start_run() as run:
        for name in names:
            file = Path(scratch) / name
            file.write_text(name)
            try:
                mlflow.log_artifact(str(file), "odd")
            except (HTTPError, MlflowException) as error:
                refused[name] = str(error)
        listed = {
            one.path.removeprefix("odd/")
            for one in mlflow.MlflowClient().list_artifacts(run.info.run_id, "odd")
        }
        back: dict[str, bool | str] = dict(refused)
        for name in [name for name in names if name not in refused]:
            got = mlflow.artifacts.download_artifacts(
                run_id=run.info.run_id, artifact_path=f"odd/{name}", dst_path=f"{scratch}/back"
            )
            back[name] = name in listed and Path(got).read_text() == name
    print(json.dumps(back))


if __name__ == "__main__":
    main()
