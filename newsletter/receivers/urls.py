"""Addresses that providers call, each with its own."""

from django.urls import path

from newsletter.receivers.webhooks import views

app_name = "receivers"
urlpatterns = [path("<slug:provider>/", views.receive, name="webhook")]
