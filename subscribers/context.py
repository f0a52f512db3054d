"""What every template may ask: the paper's name and look."""

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from subscribers.models import Publication


def publication(request: HttpRequest) -> dict[str, object]:
    return {"publication": SimpleLazyObject(Publication.objects.current)}
