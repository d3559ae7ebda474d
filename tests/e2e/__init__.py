"""The whole system on a real cluster: one file for each claim, in the order in which they run."""
