"""The paper on the web: front page, articles, its own colour."""

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

from newsletter.models import Article
from subscribers import colours
from subscribers.forms import SignupForm
from subscribers.models import Publication

# Pages with a form are private: its token is good for one sign-up, and caches would share it.

# A lead, two beside it, and three rows of three.
_A_PAGE = 12


@require_safe
@cache_control(private=True)
def front(request: HttpRequest) -> HttpResponse:
    """The newest story leads; older pages are the archive."""
    publication = Publication.objects.order_by("id").first()
    if publication is None:
        return render(request, "newsletter/no_paper.html", status=404)
    articles = publication.articles.published()
    page = Paginator(articles, _A_PAGE).get_page(request.GET.get("page"))
    stories = list(page)
    context = {
        "publication": publication,
        "page": page,
        "lead": stories[:1],
        "beside": stories[1:3],
        "others": stories[3:],
        "address": publication.url("/"),
        "signup_form": SignupForm(publication=publication, page=request.path),
    }
    name = "front" if page.number == 1 else "archive"
    return render(request, f"newsletter/{name}.html", context)


@require_safe
@cache_control(private=True)
def article(request: HttpRequest, slug: str) -> HttpResponse:
    """A published article with the sign-up form at its end; a draft is nowhere to be found."""
    published = Article.objects.published().select_related("publication")
    found = get_object_or_404(published, slug=slug)
    context = {
        "publication": found.publication,
        "article": found,
        "address": found.publication.url(found.get_absolute_url()),
        "signup_form": SignupForm(publication=found.publication, page=request.path),
    }
    return render(request, "newsletter/article.html", context)


@require_safe
@cache_control(public=True, immutable=True, max_age=365 * 24 * 60 * 60)
def accent(request: HttpRequest, colour: str) -> HttpResponse:
    """A paper's own colour. The address says it all, so a browser asks once and for ever."""
    context = {"accent": colours.accent(f"#{colour}")}
    return render(request, "newsletter/accent.css", context, content_type="text/css; charset=utf-8")
