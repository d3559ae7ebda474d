"""Tests of the project. CONTRIBUTING.md names every folder and says what a folder needs."""
