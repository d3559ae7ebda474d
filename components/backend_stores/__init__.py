"""Backend stores: the database that MLflow keeps its records in."""
