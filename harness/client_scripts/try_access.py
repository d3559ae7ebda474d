"""Try what a user may do with the things that make_data.py names: prints JSON.

Arguments: the JSON of the things; with `--write`, runs are made in the experiments as well.
"""

import json
import sys
from collections.abc import Callable

import mlflow
import mlflow.genai
from mlflow.exceptions import MlflowException

client = mlflow.MlflowClient()


def tried(action: Callable[[], object]) -> str:
    try:
        return "done" if action() else "nothing"
    except MlflowException as error:
        return str(error.error_code)


def main() -> None:
    made = json.loads(sys.argv[1])
    experiments = [made["experiment"], made["other experiment"]]
    actions: dict[str, Callable[[], object]] = {}
    for which in ("", "other "):
        experiment, model = made[f"{which}experiment"], made[f"{which}registered_model"]
        actions[f"{which}experiment"] = lambda at=experiment: client.search_runs([at])
        actions[f"{which}registered model"] = lambda at=model: client.get_registered_model(at)
        actions[f"{which}version"] = lambda at=model: client.get_model_version(at, "1")
        actions[f"{which}alias"] = lambda at=model: client.get_model_version_by_alias(at, "first")
    for number, prompt in enumerate((made["prompt"], made["other prompt"])):
        which = "other " if number else ""
        actions[f"{which}prompt"] = lambda at=prompt: mlflow.genai.load_prompt(f"prompts:/{at}/1")
    told = {what: tried(action) for what, action in actions.items()}
    if "--write" in sys.argv:
        told["write"] = tried(lambda: client.create_run(experiments[0]))
        told["other write"] = tried(lambda: client.create_run(experiments[1]))
    print(json.dumps(told))


if __name__ == "__main__":
    main()
