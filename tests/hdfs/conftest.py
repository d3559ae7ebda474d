"""The tests inside run where MLflow is installed, by test_repository.py."""

collect_ignore = ["inside"]
