"""What several end-to-end tests use: no test."""
