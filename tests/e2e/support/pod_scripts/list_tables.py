"""In the server's pod: print the names of the database's tables."""

import os

import sqlalchemy

print(
    sqlalchemy.inspect(
        sqlalchemy.create_engine(os.environ["MLFLOW_BACKEND_STORE_URI"])
    ).get_table_names()
)
