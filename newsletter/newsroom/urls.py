"""Addresses of this room."""

from django.urls import URLPattern

app_name = "newsroom"
urlpatterns: list[URLPattern] = []
