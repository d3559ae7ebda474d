"""The numbers: how long the stack takes, and how much memory; see `python -m bench --help`."""
