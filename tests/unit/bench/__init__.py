"""What `bench` computes, without a cluster."""
