"""Every part of MLflow, and of the libraries below it, that this package replaces."""
