"""`mlflow server` of the release, as its package starts it."""

import os
import sys

from mlflow import cli
from mlflow_kubernetes import released

arguments = sys.argv[1:]
if "--app-name=basic-auth" in arguments:
    os.environ["MLFLOW_AUTH_CONFIG_PATH"] = released.login_file()
    arguments = [
        "--app-name=released-basic-auth" if one.startswith("--app-name=") else one
        for one in arguments
    ]
cli.cli(["server", *arguments], prog_name="mlflow")
