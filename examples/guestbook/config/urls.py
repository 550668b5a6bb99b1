from __future__ import annotations

from django.conf import settings
from django.conf.urls.static import static
from django.contrib import admin
from django.contrib.staticfiles.urls import staticfiles_urlpatterns
from django.urls import path

from guestbook import views

urlpatterns = [
    path("", views.index, name="index"),
    path("visits/", views.visits, name="visits"),
    path("database/", views.database, name="database"),
    path("live/", views.live, name="live"),
    path("stream/", views.stream, name="stream"),
    path("whoami/", views.whoami, name="whoami"),
    path("healthz", views.healthz, name="healthz"),
    path("admin/", admin.site.urls),
    # For development alone: both are empty unless DEBUG. In production the web server answers for files.
    *staticfiles_urlpatterns(),
    *static(settings.MEDIA_URL, document_root=settings.MEDIA_ROOT),
]
