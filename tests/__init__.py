"""Tests: `unit` in seconds without a cluster, `plugins` against the protocol, `e2e` on a cluster."""
