"""Addresses of the reader's pages, and of a laptop's mailbox."""

from django.urls import path, re_path

from newsletter.web.views import mailbox, paper

app_name = "web"
urlpatterns = [
    path("", paper.front, name="front"),
    path("articles/<slug:slug>/", paper.article, name="article"),
    re_path(r"^accent/(?P<colour>[0-9a-f]{6})\.css$", paper.accent, name="accent"),
    path("mailbox/", mailbox.index, name="mailbox"),
    path("mailbox/<str:key>/", mailbox.message, name="mailbox-message"),
    path("mailbox/<str:key>/html/", mailbox.html, name="mailbox-html"),
    path("mailbox/<str:key>/text/", mailbox.text, name="mailbox-text"),
    path("mailbox/<str:key>/source/", mailbox.source, name="mailbox-source"),
]
