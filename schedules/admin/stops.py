"""The button on the page of a run that stops its reload."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.views.decorators.http import require_POST

from schedules.admin.addresses import AddressedAdmin
from schedules.admin.operations import origin_of
from schedules.models import Run
from schedules.stopping import stop_tasks
from schedules.task_lookup import CallFailedError


class StopButton(AddressedAdmin):
    """Adds the button and its address to the admin of runs; who may change schedules may press it."""

    change_form_outer_before_template = "schedules/run_panel.html"

    def get_urls(self) -> list[URLPattern]:
        """Add the address of the button, which takes POST only."""
        stop = self.admin_site.admin_view(require_POST(self.stop_view))
        return [path("<path:object_id>/stop/", stop, name="schedules_run_stop"), *super().get_urls()]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Tell the template whether there is something to stop, and somebody who may."""
        run: Run | None = kwargs.get("obj")
        context["may_stop"] = run is not None and run.may_be_running and self._may_stop(request)
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response

    def stop_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Stop the reload, then show the run again."""
        run: Run | None = self.get_object(request, unquote(object_id))
        if run is None:
            gone: HttpResponseBase = self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
            return gone
        if not self._may_stop(request):
            raise PermissionDenied
        try:
            report = stop_tasks([run.qlik_task_id], origin=origin_of(request))
        except CallFailedError as error:
            messages.error(request, str(error))
        else:
            if report.stopped:
                messages.success(request, "Qlik Sense was told to stop the task; that takes it a while.")
            else:
                messages.info(request, "The task was not running any more.")
        return redirect("admin:schedules_run_change", object_id)

    def _may_stop(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("schedules.change_schedule"))
