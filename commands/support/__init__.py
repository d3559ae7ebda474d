"""What several targets use: the cluster, the stack, its images, and how a command speaks."""
