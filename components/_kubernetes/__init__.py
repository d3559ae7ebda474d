"""Kubernetes objects that several components make; not part of the public API."""
