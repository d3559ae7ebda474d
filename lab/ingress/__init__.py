"""The lab's ingress controller: serves the cluster's Ingress objects with Debian's nginx."""

PACKAGES = ("nginx-light", "openssl")
