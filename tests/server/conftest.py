"""The tests inside run where MLflow is installed, by test_server.py, test_on_postgres.py
and test_on_mysql.py."""

collect_ignore = ["inside", "on_postgres", "on_mysql"]
