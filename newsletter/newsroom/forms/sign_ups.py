"""Which of the sign-ups that are held."""

from django import forms

from subscribers.models.sign_ups import SignUpQuerySet


class HeldForm(forms.Form):
    # One of them, or all up to one: who came later has been seen by nobody.
    only = forms.IntegerField(required=False)
    until = forms.IntegerField(required=False)
    # Where the page before ended.
    last = forms.IntegerField(required=False)

    def after(self, sign_ups: SignUpQuerySet) -> SignUpQuerySet:
        last = self.cleaned_data.get("last") if self.is_valid() else None
        return sign_ups.filter(pk__gt=last or 0).order_by("pk")

    def chosen(self, sign_ups: SignUpQuerySet) -> SignUpQuerySet:
        if not self.is_valid():
            return sign_ups.none()
        if only := self.cleaned_data["only"]:
            return sign_ups.filter(pk=only)
        return sign_ups.filter(pk__lte=self.cleaned_data["until"] or 0)
