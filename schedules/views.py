"""The v4 API of schedules. Each action fetches what it needs, calls a service and answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from rest_framework.decorators import action
from rest_framework.exceptions import ParseError
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from schedules import maintenance, services
from schedules.changes import Origin
from schedules.models import Maintenance, Schedule, ScheduleChange
from schedules.renderers import StatusTextRenderer, WillingNegotiation
from schedules.serializers import (
    MaintenanceSerializer,
    PauseSerializer,
    ScheduleSerializer,
    StatusSerializer,
    refusing_by_words,
)


class ScheduleViewSet(GenericViewSet[Schedule]):
    """Schedules under the paths, and with the answers, of Butler."""

    queryset = Schedule.objects.all()
    serializer_class = ScheduleSerializer
    content_negotiation_class = WillingNegotiation
    lookup_url_kwarg = "public_id"
    # An id is free text and may have slashes in it
    lookup_value_converter = "path"

    def list(self, request: Request) -> Response:
        """Answer with all schedules, or with the one that `?id=` names."""
        public_id = _id_asked_for(request)
        if public_id is None:
            return self._answer(self.get_queryset())
        schedule = services.get_schedule(public_id)
        return self._answer([schedule]) if settings.BUTLER_DIALECT == 16 else self._answer(schedule)

    def create(self, request: Request) -> Response:
        """Create the schedule that the body describes."""
        values = _read(self.get_serializer(data=request.data))
        with refusing_by_words():
            schedule = services.create_schedule(Schedule(**values), origin=_origin(request))
        return self._answer(schedule, status=201)

    def partial_update(self, request: Request, public_id: str) -> Response:
        """Give one schedule the values that the body has, and leave the others as they are."""
        values = _read(self.get_serializer(data=request.data, partial=True))
        with refusing_by_words():
            return self._answer(services.change_schedule(public_id, values=values, origin=_origin(request)))

    def destroy(self, request: Request, public_id: str) -> Response:
        """Delete one schedule."""
        services.delete_schedules([public_id], origin=_origin(request))
        return Response(status=204)

    @action(detail=True, methods=["put"])
    def start(self, request: Request, public_id: str) -> Response:
        """Start one schedule; the body does not matter."""
        return self._answer(services.start_schedules([public_id], origin=_origin(request)))

    @action(detail=True, methods=["put"])
    def stop(self, request: Request, public_id: str) -> Response:
        """Stop one schedule; the body does not matter."""
        return self._answer(services.stop_schedules([public_id], origin=_origin(request)))

    @action(detail=True, methods=["put"])
    def pause(self, request: Request, public_id: str) -> Response:
        """Pause one schedule until the moment that the body gives."""
        values = _read(PauseSerializer(data=request.data))
        with refusing_by_words():
            return self._answer(services.pause_schedules([public_id], **values, origin=_origin(request)))

    @action(detail=True, methods=["put"])
    def resume(self, request: Request, public_id: str) -> Response:
        """End the pause of one schedule; the body does not matter."""
        return self._answer(services.resume_schedules([public_id], origin=_origin(request)))

    @action(detail=False, methods=["put"], url_path="start")
    def start_all(self, request: Request) -> Response:
        """Start all schedules."""
        return self._change_all(services.start_schedules, request)

    @action(detail=False, methods=["put"], url_path="stop")
    def stop_all(self, request: Request) -> Response:
        """Stop all schedules."""
        return self._change_all(services.stop_schedules, request)

    @action(detail=False, methods=["put"])
    def startall(self, request: Request) -> Response:
        """Start all schedules, by the path that today's Butler has for it."""
        return self._change_all(services.start_schedules, request)

    @action(detail=False, methods=["put"])
    def stopall(self, request: Request) -> Response:
        """Stop all schedules, by the path that today's Butler has for it."""
        return self._change_all(services.stop_schedules, request)

    @action(detail=False, serializer_class=StatusSerializer, renderer_classes=[StatusTextRenderer, JSONRenderer])
    def status(self, request: Request) -> Response:
        """Answer with the state of all schedules, as text for people or as JSON."""
        return self._answer(self.get_queryset())

    def options(self, request: HttpRequest, *args: object, **kwargs: object) -> Response:
        """Answer with the methods that are possible, in the Allow header that every answer has."""
        return Response(status=204)

    def _change_all(self, change: Callable[..., Iterable[Schedule]], request: Request) -> Response:
        if "id" in request.query_params:
            raise ParseError(f"{request.path} is for all schedules. For one, put its id before the last slash.")
        return self._answer(change(None, origin=_origin(request)))

    def _answer(self, found: Schedule | Iterable[Schedule], *, status: int = 200) -> Response:
        many = not isinstance(found, Schedule)
        return Response(self.get_serializer(found, many=many).data, status=status)


class MaintenanceView(APIView):
    """Maintenance of the whole site."""

    content_negotiation_class = WillingNegotiation

    def get(self, request: Request) -> Response:
        """Answer whether the site is in maintenance."""
        # The framework shows a body's fields in place of an instance that is None
        return Response(MaintenanceSerializer().to_representation(Maintenance.current_at(timezone.now())))

    def put(self, request: Request) -> Response:
        """Begin a maintenance."""
        values = _read(MaintenanceSerializer(data=request.data))
        with refusing_by_words():
            begun = maintenance.begin_maintenance(**values, origin=_origin(request))
        return Response(MaintenanceSerializer(begun).data)

    def delete(self, request: Request) -> Response:
        """End the maintenance, if there is one."""
        maintenance.end_maintenance(origin=_origin(request))
        return Response(status=204)

    def options(self, request: HttpRequest, *args: object, **kwargs: object) -> Response:
        """Answer with the methods that are possible, in the Allow header that every answer has."""
        return Response(status=204)


def _read(serializer: BaseSerializer[Any]) -> dict[str, Any]:
    """Return the values of a body; raises ValidationError."""
    serializer.is_valid(raise_exception=True)
    values: dict[str, Any] = serializer.validated_data
    return values


def _origin(request: Request) -> Origin:
    return Origin(ScheduleChange.Source.API, request.META.get("REMOTE_ADDR", ""))


def _id_asked_for(request: Request) -> str | None:
    """Return the id in the query string; None where there is none, for one that is empty names nothing."""
    asked = request.query_params.getlist("id")
    if not asked:
        return None
    if len(asked) > 1 or not asked[0]:
        problem = "is there more than once" if len(asked) > 1 else "is empty"
        raise ParseError(f"The parameter id {problem}. Give one id, or leave it out to list all schedules.")
    return asked[0]
