"""In the server's pod: let a user do anything, as the admin may."""

import os
import sys

from mlflow.server.auth import store

store.init_db(os.environ["MLFLOW_AUTH_DATABASE_URI"])
store.update_user(sys.argv[1], is_admin=True)
