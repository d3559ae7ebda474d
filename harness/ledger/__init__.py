"""A ledger of acknowledged writes, and the faults under which nothing in it may be lost.

Clients write everything that MLflow stores and append each acknowledged call to a file, the ledger
(client_scripts/write_ledger.py). Meanwhile faults are injected (faults.py). At the end, everything
in the ledger is read back and compared (client_scripts/read_ledger.py).

- entries.py follows the ledger, and computes recovery and the answers that clients got.
- faults.py has the faults, each a function with a name.
- trials.py starts the clients, injects one fault after the other, and measures.
- report.py writes the report. `python -m harness.ledger` (`make soak`) runs many faults.
"""
