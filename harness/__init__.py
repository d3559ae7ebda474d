"""A stack under test and what asks it: Pulumi, kubectl, MLflow's clients, the pods' processes.

The tests that take a cluster and the measurements in bench/ use these modules.
"""
