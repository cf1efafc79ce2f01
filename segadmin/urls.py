"""Every address of segadmin. The names in the README's list are a contract."""

from django.urls import URLPattern, URLResolver, include, path

from segadmin.views import audit, errors, health, jobs, organizations, people, requests, shell

SANDBOX = "orgs/<slug:slug>/<str:sandbox_name>/"
ORGANIZATION = "organizations/<slug:slug>/"

urlpatterns: list[URLPattern | URLResolver] = [
    path("", shell.home, name="home"),
    path("accounts/", include("allauth.urls")),
    path("zone/", shell.set_zone, name="set_zone"),
    path("stay/", shell.stay, name="stay"),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("jobs/", jobs.job_list, name="jobs"),
    path("jobs/check/", jobs.check_list, name="jobs_check"),
    path("jobs/ask/", jobs.ask_adobe, name="jobs_ask"),
    path(f"{SANDBOX}jobs/new/", requests.new, name="new_export"),
    path(f"{SANDBOX}requests/<uuid:request_uuid>/", requests.review, name="request"),
    path(f"{SANDBOX}requests/<uuid:request_uuid>/edit/", requests.edit, name="request_edit"),
    path(f"{SANDBOX}requests/<uuid:request_uuid>/discard/", requests.discard, name="request_discard"),
    path(f"{SANDBOX}requests/<uuid:request_uuid>/settle/", requests.settle, name="request_settle"),
    path(f"{SANDBOX}jobs/<path:job_id>/cancel/", jobs.cancel, name="job_cancel"),
    path(f"{SANDBOX}jobs/<path:job_id>/check/", jobs.check_job, name="job_check"),
    path(f"{SANDBOX}jobs/<path:job_id>/batches/", jobs.batch_checked, name="job_batch_checked"),
    path(f"{SANDBOX}jobs/<path:job_id>/", jobs.job_page, name="job"),
    path("drafts/", requests.drafts, name="drafts"),
    path("audit/", audit.event_list, name="audit"),
    path("audit/<int:seq>/", audit.event_page, name="event"),
    path("organizations/", organizations.organization_list, name="organizations"),
    path("organizations/new/", organizations.add, name="organization_add"),
    path(ORGANIZATION, organizations.page, name="organization"),
    path(f"{ORGANIZATION}edit/", organizations.edit, name="organization_edit"),
    path(f"{ORGANIZATION}credential/", organizations.credential, name="credential"),
    path(f"{ORGANIZATION}test/", organizations.test_connection, name="connection_test"),
    path(f"{ORGANIZATION}sandboxes/", organizations.find_sandboxes, name="sandboxes_find"),
    path(f"{ORGANIZATION}sandboxes/<str:sandbox_name>/", organizations.sandbox, name="sandbox"),
    path(f"{ORGANIZATION}remove/", organizations.remove, name="organization_remove"),
    path("people/", people.person_list, name="people"),
    path("people/new/", people.add, name="person_add"),
    path("people/<int:pk>/", people.page, name="person"),
    path("people/<int:pk>/roles/", people.roles, name="person_roles"),
    path("people/<int:pk>/close/", people.close, name="person_close"),
    path("people/<int:pk>/reopen/", people.reopen, name="person_reopen"),
    path("people/<int:pk>/password/", people.password, name="person_password"),
]

handler400 = errors.bad_request
handler403 = errors.forbidden
handler404 = errors.not_found
handler500 = errors.server_error
