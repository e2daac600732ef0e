"""Paths of the v4 API."""

from __future__ import annotations

from django.urls import path
from rest_framework.routers import SimpleRouter

from schedules.operator_views import BackfillView, ForecastView, HealthView
from schedules.task_views import StartTaskView, StopTaskView, TasksView, TaskWarningsView
from schedules.views import MaintenanceView, ScheduleViewSet


class ScheduleRouter(SimpleRouter):
    """Paths without a slash at the end, and ids that may have slashes in them.

    Such an id matches whatever follows it, so /{id}/start has to be tried before /{id}.
    """

    _for_all, _for_all_actions, _for_one, _for_one_actions = SimpleRouter.routes
    routes = [_for_all, _for_all_actions, _for_one_actions, _for_one]


router = ScheduleRouter(trailing_slash=False, use_regex_path=False)
router.register("schedules", ScheduleViewSet)

urlpatterns = [
    path("schedules/<path:public_id>/backfill", BackfillView.as_view()),
    path("reloadtask", TasksView.as_view()),
    path("reloadtask/warnings", TaskWarningsView.as_view()),
    path("reloadtask/<str:task_id>/start", StartTaskView.as_view()),
    path("reloadtask/<str:task_id>/stop", StopTaskView.as_view()),
    path("maintenance", MaintenanceView.as_view()),
    path("forecast", ForecastView.as_view()),
    path("health", HealthView.as_view()),
    *router.urls,
]
