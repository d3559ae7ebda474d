"""Pulumi plugins for machines that reach package registries only: none has the official ones.

They match what the official plugins show for what this repository's program uses, and no more.
"""
