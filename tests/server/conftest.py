"""The tests inside run where MLflow is installed, by test_server.py and test_point_in_time.py."""

collect_ignore = ["inside", "point_in_time"]
