"""Writing and publishing, as an editor does it."""

import re
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from newsletter import prose
from newsletter.models import Article


@pytest.fixture
def desk(client, editor):
    client.force_login(editor)
    return client


def typed(answer) -> dict[str, str]:
    """What the form on this page holds, as a browser would send it."""
    form = answer.context["form"]
    return {name: form[name].value() or "" for name in form.fields}


def test_an_article_is_written_and_found_in_the_list(desk, publication, editor):
    answer = desk.post(
        reverse("newsroom:new-article"),
        {"headline": "The ferry\n returns", "body": "<p>At <strong>six</strong>.</p>"},
    )

    article = Article.objects.get()
    assert answer.url == reverse("newsroom:article", args=[article.pk])
    assert article.headline == "The ferry returns"
    assert article.body == "<p>At <strong>six</strong>.</p>"
    assert article.author == editor
    assert not article.is_published
    assert "The ferry returns" in desk.get(reverse("newsroom:articles")).text


def test_what_must_not_stand_in_a_text_is_not_stored(desk, publication):
    body = '<p onclick="x()">Hi<script>alert(1)</script><a href="javascript:x()">a</a></p>'

    desk.post(reverse("newsroom:new-article"), {"headline": "Hi", "body": body})

    assert Article.objects.get().body == "<p>Hi<a>a</a></p>"


def test_an_empty_headline_is_asked_for_and_nothing_typed_is_lost(desk, publication):
    answer = desk.post(
        reverse("newsroom:new-article"), {"headline": "  ", "body": "<p>A long text.</p>"}
    )

    assert answer.status_code == 422
    assert "An article needs a headline. Write one." in answer.text
    assert "&lt;p&gt;A long text.&lt;/p&gt;" in answer.text
    assert not Article.objects.exists()


def test_markup_in_a_headline_is_shown_as_written(desk, article):
    Article.objects.filter(pk=article.pk).update(headline="<img src=x onerror=alert(1)>")

    pages = ["newsroom:articles", "newsroom:new-campaign"]
    texts = [desk.get(reverse(name)).text for name in pages]
    texts.append(desk.get(reverse("newsroom:article", args=[article.pk])).text)
    texts.append(desk.get(reverse("newsroom:article-preview", args=[article.pk])).text)

    for text in texts:
        assert "<img src=x" not in text
        assert "&lt;img src=x" in text


def test_of_two_editors_at_once_neither_loses_text(desk, article):
    page = reverse("newsroom:article", args=[article.pk])
    mine = typed(desk.get(page)) | {"body": "<p>Mine.</p>"}
    theirs = typed(desk.get(page)) | {"body": "<p>Theirs.</p>"}

    desk.post(page, theirs)
    answer = desk.post(page, mine)

    article.refresh_from_db()
    assert answer.status_code == 409
    assert article.body == "<p>Theirs.</p>"
    assert "&lt;p&gt;Mine.&lt;/p&gt;" in answer.text
    assert "&lt;p&gt;Theirs.&lt;/p&gt;" in answer.text


def test_after_a_conflict_saving_once_more_is_meant(desk, article):
    page = reverse("newsroom:article", args=[article.pk])
    mine = typed(desk.get(page)) | {"body": "<p>Mine.</p>"}
    desk.post(page, typed(desk.get(page)) | {"body": "<p>Theirs.</p>"})

    answer = desk.post(page, typed(desk.post(page, mine)))

    article.refresh_from_db()
    assert answer.status_code == 302
    assert article.body == "<p>Mine.</p>"


def test_a_form_that_says_not_what_it_saw_overwrites_nothing(desk, article):
    page = reverse("newsroom:article", args=[article.pk])

    answer = desk.post(page, {"headline": "Blind", "body": ""})

    article.refresh_from_db()
    assert answer.status_code == 409
    assert article.headline == "The ferry returns"


def test_saving_does_not_take_back_a_publication(desk, article):
    Article.objects.filter(pk=article.pk).update(published_at=None)
    stale = Article.objects.get(pk=article.pk)
    article.publish()

    stale.headline = "Another"
    saved = stale.revise(stale.changed_at, ["headline"])

    article.refresh_from_db()
    assert saved
    assert article.is_published
    assert article.headline == "Another"


def test_publishing_saves_what_stands_in_the_form(desk, article):
    Article.objects.filter(pk=article.pk).update(published_at=None)
    written = typed(desk.get(reverse("newsroom:article", args=[article.pk])))

    desk.post(
        reverse("newsroom:article-publication", args=[article.pk]),
        written | {"headline": "The ferry is back"},
    )

    article.refresh_from_db()
    assert article.is_published
    assert article.headline == "The ferry is back"


def test_publishing_twice_keeps_the_first_date(desk, article):
    published_at = article.published_at

    desk.post(reverse("newsroom:article-publication", args=[article.pk]))

    article.refresh_from_db()
    assert article.published_at == published_at


def test_a_withdrawn_article_is_off_the_web_and_still_previewed(desk, article):
    desk.post(reverse("newsroom:article-withdrawal", args=[article.pk]))

    assert desk.get(article.get_absolute_url()).status_code == 404
    preview = desk.get(reverse("newsroom:article-preview", args=[article.pk]))
    assert "Nobody was seasick." in preview.text


def test_an_address_that_is_out_in_the_world_stays(desk, article):
    page = reverse("newsroom:article", args=[article.pk])

    desk.post(page, typed(desk.get(page)) | {"slug": "elsewhere"})

    article.refresh_from_db()
    assert article.slug == "the-ferry-returns"


def test_the_editor_comes_with_the_nonce_of_the_page(desk, publication):
    answer = desk.get(reverse("newsroom:new-article"))

    nonce = re.search(r"'nonce-([^']+)'", answer.headers["Content-Security-Policy"])[1]
    scripts = re.findall(r"<script[^>]*>", answer.text)
    assert scripts
    assert all(nonce in script for script in scripts)
    assert "unsafe-inline" not in answer.headers["Content-Security-Policy"]


def test_what_the_buttons_write_is_let_in():
    written = (
        "<h2>a</h2><h3>b</h3><p><strong>c</strong> <em>d</em><br>"
        '<a href="https://example.com" title="t">e</a></p><ul><li><p>f</p></li></ul>'
        '<ol start="3"><li><p>g</p></li></ol><blockquote><p>h</p></blockquote><hr>'
        "<table><tbody><tr><th><p>i</p></th><td><p>j</p></td></tr></tbody></table>"
        '<figure><img src="https://example.com/a.png" alt="k"><figcaption>l</figcaption></figure>'
    )

    assert prose.sanitised(written) == written


def test_the_list_takes_as_many_queries_for_many_as_for_one(
    desk, publication, article, django_assert_num_queries
):
    old = timezone.now() - timedelta(days=2)
    Article.objects.bulk_create(
        Article(publication=publication, headline=f"H{n}", slug=f"h{n}", published_at=old)
        for n in range(25)
    )

    desk.get(reverse("newsroom:articles"))

    # Session, editor, count, articles, paper.
    with django_assert_num_queries(6):
        desk.get(reverse("newsroom:articles"))
