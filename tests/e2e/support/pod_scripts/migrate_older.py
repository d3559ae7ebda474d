"""In the server's pod: make a database as MLflow 2.0 left it, with content; migrate it as we do."""

import json
import os
import runpy

import sqlalchemy as sa
from alembic import command
from mlflow.store.db.utils import _get_alembic_config
from mlflow.store.tracking.dbmodels.initial_models import Base

# The newest revision of MLflow 2.0 to 2.2 (mlflow/store/db_migrations/versions).
OLD = "97727af70f4d"


def revision(uri: str) -> str:
    """Return the revision of a database's schema."""
    with sa.create_engine(uri).connect() as connection:
        return str(connection.execute(sa.text("select version_num from alembic_version")).scalar())


current = os.environ["MLFLOW_BACKEND_STORE_URI"]
older = sa.make_url(current).set(database="older").render_as_string(hide_password=False)
engine = sa.create_engine(older)
Base.metadata.create_all(engine)
command.upgrade(_get_alembic_config(older), OLD)
with engine.begin() as connection:
    connection.execute(
        sa.text(
            "insert into experiments (experiment_id, name, artifact_location, lifecycle_stage)"
            " values (7, 'kept', 's3://somewhere', 'active')"
        )
    )
was = revision(older)

os.environ |= {"MLFLOW_BACKEND_STORE_URI": older, "TIMEOUT_SECONDS": "60"}
try:
    runpy.run_module("mlflow_kubernetes.migrate", run_name="__main__")
except SystemExit as end:
    if end.code:
        raise

with engine.connect() as connection:
    kept = connection.execute(
        sa.text("select name from experiments where experiment_id = 7")
    ).scalar()
print(json.dumps({"was": was, "equal": revision(older) == revision(current), "kept": kept}))
