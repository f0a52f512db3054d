"""Every address of the site."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("newsroom/", include("newsletter.newsroom.urls")),
    path("records/", admin.site.urls),
    path("reports/", include("newsletter.receivers.urls")),
    path("", include("subscribers.urls")),
    path("", include("newsletter.web.urls")),
]
