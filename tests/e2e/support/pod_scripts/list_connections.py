"""Print the TLS version of each connection to the server's PostgreSQL; none is null.

Runs in the server's pod.
"""

import json
import os

import sqlalchemy

engine = sqlalchemy.create_engine(os.environ["MLFLOW_BACKEND_STORE_URI"])
with engine.connect() as connection:
    found = connection.exec_driver_sql(
        "SELECT version FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
        " WHERE usename = current_user"
    )
    print(json.dumps([version for (version,) in found]))
