"""Writing articles, and putting them on the web."""

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from newsletter.models import Article
from newsletter.newsroom.access import editors_only
from newsletter.newsroom.forms import ArticleForm
from subscribers.models import Publication

_A_PAGE = 30


@editors_only
@require_GET
def index(request: HttpRequest) -> HttpResponse:
    articles = Article.objects.order_by("-changed_at", "-id").defer("body")
    page = Paginator(articles, _A_PAGE).get_page(request.GET.get("page"))
    return render(request, "newsroom/articles.html", {"page": page})


@editors_only
def new(request: HttpRequest) -> HttpResponse:
    article = Article(publication=Publication.objects.current(), author_id=request.user.pk)
    return _write(request, article)


@editors_only
def page(request: HttpRequest, pk: int) -> HttpResponse:
    return _write(request, get_object_or_404(Article, pk=pk))


@editors_only
@require_GET
def preview(request: HttpRequest, pk: int) -> HttpResponse:
    """The page as readers will see it, for articles that are not on the web yet."""
    article = get_object_or_404(Article, pk=pk)
    return render(request, "newsroom/article_preview.html", {"article": article})


@editors_only
@require_POST
def publication(request: HttpRequest, pk: int) -> HttpResponse:
    """Publish; what stands in the form beside the button is saved first."""
    article = get_object_or_404(Article, pk=pk)
    if "headline" in request.POST:
        form = ArticleForm(request.POST, instance=article)
        if not (form.is_valid() and form.save_unless_changed()):
            return _sheet(request, form)
    if article.publish():
        messages.success(request, _("Published. Readers can see it now."))
    return redirect("newsroom:article", pk)


@editors_only
@require_POST
def withdrawal(request: HttpRequest, pk: int) -> HttpResponse:
    if get_object_or_404(Article, pk=pk).withdraw():
        messages.success(request, _("Withdrawn. Its page is gone; what was mailed stays mailed."))
    return redirect("newsroom:article", pk)


def _write(request: HttpRequest, article: Article) -> HttpResponse:
    form = ArticleForm(request.POST or None, instance=article)
    if not (form.is_valid() and form.save_unless_changed()):
        return _sheet(request, form)
    messages.success(request, _("Saved."))
    return redirect("newsroom:article", article.pk)


def _sheet(request: HttpRequest, form: ArticleForm) -> HttpResponse:
    context = {"form": form, "article": form.instance, "theirs": form.theirs}
    status = 409 if form.theirs else 422 if form.errors else 200
    return render(request, "newsroom/article.html", context, status=status)
