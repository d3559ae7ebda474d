"""Tests: `unit` needs no cluster, `plugins` speaks the protocol, `lab` and `e2e` are real."""
