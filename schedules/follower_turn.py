"""The turn to follow: one worker at a time asks QRS how the runs go, and writes what it has learnt.

As the planner's lease is, it is fenced: a worker that was slow or frozen finds another number and writes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q

from schedules.lease import is_gone, name_this_process
from schedules.models import QrsSite
from schedules.qrs import longest_call

#: The least time that one worker may follow before another takes over, where nobody sees that it is gone
MIN_TURN = timedelta(seconds=120)
#: A look makes three calls, or four where a clock seems to have been set
_MOST_CALLS = 4


class TurnLostError(Exception):
    """Another worker follows since."""


@dataclass(frozen=True, slots=True)
class FollowerTurn:
    """The turn of one worker; `token` is the fence."""

    token: int

    def prove(self) -> bool:
        """Return whether it is still this worker's turn; within a transaction nobody can take it until the end."""
        return bool(QrsSite.objects.filter(pk=1, follower_token=self.token).update(follower_token=self.token))

    def end(self, **values: object) -> None:
        """Give it back, and note what was learnt of QRS itself; it does nothing to the turn of another."""
        QrsSite.objects.filter(pk=1, follower_token=self.token).update(follower_until=None, **values)


def turn_length() -> timedelta:
    """Return how long a look may take."""
    return max(MIN_TURN, _MOST_CALLS * longest_call())


def take_turn(*, now: datetime) -> FollowerTurn | None:
    """Return the turn where it is free, or its worker is gone or silent for too long."""
    site, _ = QrsSite.objects.get_or_create(pk=1)
    me = name_this_process()
    # Further ahead than a turn it only is where the clock was set back
    free = Q(follower_until=None) | Q(follower_until__lte=now) | Q(follower_until__gt=now + turn_length())
    if site.follower != me and is_gone(site.follower):
        free |= Q(follower=site.follower)
    token = site.follower_token + 1
    rivals = QrsSite.objects.filter(free, pk=1, follower_token=site.follower_token)
    taken = rivals.update(follower_until=now + turn_length(), follower=me, follower_token=token)
    return FollowerTurn(token) if taken else None
