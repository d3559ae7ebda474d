"""Tests that bring up a stack of their own, and leave nothing of it."""
