"""What `make` runs: one file per target, and the few parts that they share."""
