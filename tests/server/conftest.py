"""The tests inside run where MLflow is installed, by test_server.py and test_on_postgres.py."""

collect_ignore = ["inside", "on_postgres"]
