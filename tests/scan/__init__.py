"""Scanners of the objects and of the packages."""
