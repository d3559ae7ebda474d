"""A single-node Kubernetes and a Pulumi engine out of package registries alone."""
