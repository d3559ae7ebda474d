"""Pulumi plugins that package registries do not have: the Python language host, and random.

They match what the official plugins show for what this repository's program uses, and no more.
"""
