"""Unit tests of components/, with a mock of the engine."""
