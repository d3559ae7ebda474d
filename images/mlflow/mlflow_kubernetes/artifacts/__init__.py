"""Artifact stores, and artifacts that pass through the server in pieces."""
