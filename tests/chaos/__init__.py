"""What kills, outages and clock steps do to a running service: real processes, compared with what was due.

`python -m tests.chaos` runs every scenario many times; the tests in this folder run each of them for some seconds.
Nothing here knows how the service plans: it sees the ledger's table, the simulator's journal and an oracle.
"""
