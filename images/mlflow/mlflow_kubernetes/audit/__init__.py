"""The audit log: one line of JSON for each request that changes anything, or is refused to."""
