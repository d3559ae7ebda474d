"""End-to-end tests on a cluster: on one shared stack, on stacks of their own, and what both use."""
