"""Pulumi plugins for machines that reach only package registries; the official ones have no registry.

They match what the official plugins show for what this repository's program uses, and no more.
"""
