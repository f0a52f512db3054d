"""The reader's addresses: signing up, confirming, leaving."""

from django.urls import path, re_path

from subscribers import views

app_name = "subscribers"


def _token(letter: str, ending: str = "") -> str:
    """Short, so that no mail program breaks it; with or without a last slash, never redirected."""
    return rf"^{letter}/(?P<token>[^/]{{1,200}}){ending}/?$"


urlpatterns = [
    path("sign-up/", views.sign_up, name="sign-up"),
    path("sign-up/check-your-inbox/", views.check_inbox, name="check-inbox"),
    path("sign-up/challenge/", views.challenge, name="challenge"),
    path("sign-up/write-to-me-again/", views.lifting, name="lifting"),
    path("terms/", views.terms, name="terms"),
    path("terms/<int:number>/", views.terms_version, name="terms-version"),
    re_path(_token("c"), views.confirm, name="confirm"),
    re_path(_token("c", "/new-link"), views.new_link, name="new-link"),
    re_path(_token("a"), views.agree, name="agree"),
    re_path(_token("b"), views.block, name="block"),
    re_path(_token("l"), views.lift, name="lift"),
    re_path(_token("u"), views.unsubscribe, name="unsubscribe"),
    re_path(_token("r"), views.undo, name="undo"),
]
