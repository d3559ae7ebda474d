"""Tests without a cluster: the folders inside are named after the folders that they test."""
