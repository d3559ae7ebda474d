"""Upgrades of MLflow's tables in a stack that holds data: writers are stopped, and come back."""
