"""Tests on one stack, in the order that tests/e2e/conftest.py lists."""
