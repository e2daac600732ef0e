"""Paths of the service: the API under /v4/, the admin, and what is said where there is nothing."""

from __future__ import annotations

from django.contrib import admin
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.views import defaults
from django.views.generic import RedirectView

from butler.celery import TASK_MODULES, app
from schedules.exceptions import error_response

admin.autodiscover()
for _name in TASK_MODULES:
    # Imported when the page of a periodic task asks Celery which tasks there are, and not before
    app.autodiscover_tasks(related_name=_name)

urlpatterns = [
    path("", RedirectView.as_view(url="/admin/")),
    path("admin/", admin.site.urls),
    path("v4/", include("schedules.urls")),
]

handler400 = "butler.urls.answer_bad_request"
handler404 = "butler.urls.answer_not_found"
handler500 = "butler.urls.answer_server_error"


def answer_bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request that did not get as far as a view."""
    if _is_for_people(request):
        return defaults.bad_request(request, exception)
    if isinstance(exception, DisallowedHost):
        host = request.META.get("HTTP_HOST", "")
        return error_response(
            400, f"The host {host[:100]!r} is not this service's. Use the address that it listens on, BUTLER_HOST."
        )
    return error_response(400, f"The request cannot be read: {exception}")


def answer_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request for a path that does not exist."""
    if _is_for_people(request):
        return defaults.page_not_found(request, exception)
    advice = "Paths of the API have no slash at the end. " if request.path.endswith("/") else ""
    return error_response(404, f"There is nothing at {request.path}. {advice}Schedules are at /v4/schedules.")


def answer_server_error(request: HttpRequest) -> HttpResponse:
    """Answer a request that ran into an error of ours; Django has logged its traceback."""
    if _is_for_people(request):
        return defaults.server_error(request)
    return error_response(500, "The service failed, through no fault of the request. Its log has the reason.")


def _is_for_people(request: HttpRequest) -> bool:
    return request.path_info.startswith("/admin/")
