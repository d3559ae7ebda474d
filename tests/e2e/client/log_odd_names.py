"""Log artifacts whose names need escaping in a URL; print which came back equal as JSON."""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow


def main() -> None:
    names = json.load(sys.stdin)
    mlflow.set_experiment("odd names")
    with TemporaryDirectory() as scratch, mlflow.start_run() as run:
        for name in names:
            file = Path(scratch) / name
            file.write_text(name)
            mlflow.log_artifact(str(file), "odd")
        listed = {
            one.path.removeprefix("odd/")
            for one in mlflow.MlflowClient().list_artifacts(run.info.run_id, "odd")
        }
        back = {}
        for name in names:
            got = mlflow.artifacts.download_artifacts(
                run_id=run.info.run_id, artifact_path=f"odd/{name}", dst_path=f"{scratch}/back"
            )
            back[name] = name in listed and Path(got).read_text() == name
    print(json.dumps(back))


if __name__ == "__main__":
    main()
