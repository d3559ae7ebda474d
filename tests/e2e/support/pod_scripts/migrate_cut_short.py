"""In the server's pod: kill a first migration of a MySQL database half-way, then migrate again.

First with an experiment in it, then without. Prints what was seen as JSON.
"""

import json
import os
import subprocess
import sys
from typing import Any

import sqlalchemy as sa

MIGRATE = "mlflow_kubernetes.migrate"
# Killed between the tables and the trigger of one step, it left what no later start got past
# (mlflow/mlflow#23721).
KILLED = f"""
import os, runpy, signal, sqlalchemy
@sqlalchemy.event.listens_for(sqlalchemy.engine.Engine, "before_cursor_execute")
def kill(connection, cursor, statement, *_):
    if "CREATE TRIGGER" in statement:
        os.kill(os.getpid(), signal.SIGKILL)
runpy.run_module("{MIGRATE}", run_name="__main__")
"""

current = sa.make_url(os.environ["MLFLOW_BACKEND_STORE_URI"])
half = current.set(database="half")
database = sa.create_engine(half, poolclass=sa.pool.NullPool)


def python(*arguments: str) -> dict[str, Any]:
    """Run Python on the other database; return how it ended."""
    environment = os.environ | {
        "MLFLOW_BACKEND_STORE_URI": half.render_as_string(hide_password=False)
    }
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    return {
        "code": done.returncode,
        "said": [line for line in said.splitlines() if " INFO " not in line],
        "password": str(current.password) in said,
    }


def change(statement: str) -> int:
    """Change the other database; return how many rows it was."""
    with database.begin() as connection:
        changed: int = connection.exec_driver_sql(statement).rowcount
        return changed


def schema(url: sa.URL) -> dict[str, list[str]]:
    """Return how every table was made, and every trigger."""
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with engine.connect() as connection:

        def ask(question: str) -> list[Any]:
            return list(connection.exec_driver_sql(question))

        tables = {
            name: sorted(line.rstrip(",") for line in made.splitlines()[1:-1])
            for (table,) in ask("SHOW TABLES")
            for name, made in ask(f"SHOW CREATE TABLE `{table}`")
        }
        return tables | {"triggers": [row[0] for row in ask("SHOW TRIGGERS")]}


killed = python("-c", KILLED)
left = schema(half)
change("INSERT INTO experiments (experiment_id, name) VALUES (7, 'kept')")
refused = python("-m", MIGRATE)
untouched = schema(half) == left
kept = change("DELETE FROM experiments WHERE experiment_id = 7")
recovered = python("-m", MIGRATE)
print(
    json.dumps(
        {
            "killed": killed,
            "left": sorted(left.keys() - {"triggers"}),
            "triggers": left["triggers"],
            "refused": refused,
            "untouched": untouched,
            "kept": kept,
            "recovered": recovered,
            "equal": schema(half) == schema(current),
        }
    )
)
