"""Settings of the stack: declared in ``schema`` and artifact_stores/, read by ``load``.

This file imports nothing: the modules of artifact_stores/ import some modules of this package, and
are imported by others.
"""
