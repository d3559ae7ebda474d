"""A stack under test, and the programs that ask it: Pulumi, kubectl, MLflow's clients, faults.

The tests that need a cluster and the measurements in bench/ use these modules.
"""
