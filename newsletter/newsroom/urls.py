"""Addresses of the newsroom."""

from django.urls import path

from newsletter.newsroom.views import (
    articles,
    campaigns,
    corrections,
    letters,
    lists,
    publication,
    readers,
    sending,
    sign_in,
)

app_name = "newsroom"
urlpatterns = [
    path("", campaigns.index, name="campaigns"),
    path("sign-in/", sign_in.sign_in, name="sign-in"),
    path("sign-out/", sign_in.sign_out, name="sign-out"),
    path("campaigns/new/", campaigns.new, name="new-campaign"),
    path("campaigns/<int:pk>/", campaigns.page, name="campaign"),
    path("campaigns/<int:pk>/content/", campaigns.content, name="campaign-content"),
    path("campaigns/<int:pk>/progress/", campaigns.progress, name="campaign-progress"),
    path("campaigns/<int:pk>/outcomes/", campaigns.outcomes, name="campaign-outcomes"),
    path("campaigns/<int:pk>/schedule/", sending.schedule, name="campaign-schedule"),
    path("campaigns/<int:pk>/review/", sending.review, name="campaign-review"),
    path("campaigns/<int:pk>/cancel/", sending.cancel, name="campaign-cancel"),
    path("campaigns/<int:pk>/correction/", corrections.correction, name="campaign-correction"),
    path("campaigns/<int:pk>/corrected/", corrections.corrected, name="campaign-corrected"),
    path("campaigns/<int:pk>/replacement/", corrections.replacement, name="campaign-replacement"),
    path("campaigns/<int:pk>/pause/", sending.pause, name="campaign-pause"),
    path("campaigns/<int:pk>/resumption/", sending.resumption, name="campaign-resumption"),
    path("campaigns/<int:pk>/parkings/<int:parking>/", sending.parking, name="campaign-parking"),
    path("campaigns/<int:pk>/draft/", sending.draft, name="campaign-draft"),
    path("campaigns/<int:pk>/test/", letters.test, name="campaign-test"),
    path("campaigns/<int:pk>/mail/<slug:slug>/", letters.mail, name="campaign-mail"),
    path("campaigns/<int:pk>/mail/<slug:slug>/html/", letters.html, name="campaign-mail-html"),
    path(
        "campaigns/<int:pk>/corrected/<slug:slug>/",
        letters.corrected_mail,
        name="campaign-corrected-mail",
    ),
    path(
        "campaigns/<int:pk>/corrected/<slug:slug>/html/",
        letters.corrected_html,
        name="campaign-corrected-mail-html",
    ),
    path("articles/", articles.index, name="articles"),
    path("articles/new/", articles.new, name="new-article"),
    path("articles/<int:pk>/", articles.page, name="article"),
    path("articles/<int:pk>/preview/", articles.preview, name="article-preview"),
    path("articles/<int:pk>/publication/", articles.publication, name="article-publication"),
    path("articles/<int:pk>/withdrawal/", articles.withdrawal, name="article-withdrawal"),
    path("readers/", readers.index, name="readers"),
    path("readers/<int:pk>/", readers.page, name="reader"),
    path("lists/", lists.index, name="lists"),
    path("lists/new/", lists.new, name="new-list"),
    path("lists/<int:pk>/", lists.page, name="list"),
    path("settings/", publication.settings, name="settings"),
    path("terms/", publication.terms, name="terms"),
]
