"""What the harness computes, without a cluster."""
