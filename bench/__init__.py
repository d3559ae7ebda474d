"""Measures time, memory and throughput of a stack; see `python -m bench --help`."""
