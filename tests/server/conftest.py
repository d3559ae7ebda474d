"""The tests inside run where MLflow is installed, by test_server.py."""

collect_ignore = ["inside"]
