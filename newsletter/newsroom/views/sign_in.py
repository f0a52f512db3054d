"""Coming in and going out."""

from django.contrib.auth import views
from django.views.decorators.cache import never_cache

from newsletter.newsroom.forms import SignInForm

# Django's own: checks `next` against our host, rotates the session, refuses GET for going out.
sign_in = never_cache(
    views.LoginView.as_view(template_name="newsroom/sign_in.html", authentication_form=SignInForm)
)
sign_out = views.LogoutView.as_view()
