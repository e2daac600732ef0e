"""The API of Qlik tasks: which there are, start them now, stop them."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from schedules.allow_list import read_allow_list
from schedules.known_tasks import last_read_at
from schedules.models import QlikTask, Schedule
from schedules.operator_views import OperatorView, origin_of
from schedules.start_bodies import (
    describe_report,
    describe_stops,
    describe_tasks,
    describe_warnings,
    read_start_request,
)
from schedules.start_requests import start_tasks
from schedules.stopping import stop_tasks
from schedules.task_warnings import list_warnings


class TasksView(OperatorView):
    """The tasks that Qlik Sense has, as it last told of them."""

    def get(self, request: Request) -> Response:
        """Answer with all that are known, without asking Qlik Sense."""
        return Response(describe_tasks(QlikTask.objects.all(), read_at=last_read_at()))


class TaskWarningsView(OperatorView):
    """What looks wrong with the tasks of schedules."""

    def get(self, request: Request) -> Response:
        """Answer with the schedules of which there is something to say."""
        schedules = list(Schedule.objects.all())
        return Response(describe_warnings(schedules, list_warnings(schedules)))


class StartTaskView(OperatorView):
    """Tasks that somebody wants started now."""

    def put(self, request: Request, task_id: str) -> Response:
        """Start the tasks that the path and the body name, and answer with what was started."""
        asked = read_start_request(task_id, request.data, request.query_params)
        return Response(describe_report(start_tasks(asked, origin=origin_of(request))))

    post = put


class StopTaskView(OperatorView):
    """A task that somebody wants stopped."""

    def put(self, request: Request, task_id: str) -> Response:
        """Stop what runs of the task; the body does not matter."""
        return Response(describe_stops(stop_tasks([task_id], origin=origin_of(request), allow_list=read_allow_list())))

    post = put
