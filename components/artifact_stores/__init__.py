"""Artifact stores: where MLflow keeps files."""
