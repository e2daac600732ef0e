"""Faults put into the code one by one, to see whether a test notices: `python -m tests.mutants`."""
