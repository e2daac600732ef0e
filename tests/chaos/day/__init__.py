"""The replay of a day: 500 schedules against real processes and a failing QRS, then an account of every run.

`python -m tests.chaos.day` replays 24 hours; a test replays a quarter of an hour. A minute of the day is a second here.
The account is made from the ledger's table and from what the simulator knows, by rules that are written down anew.
"""
