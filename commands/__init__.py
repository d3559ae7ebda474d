"""What `make` runs: one module for each target; what several targets use is in `support`."""
