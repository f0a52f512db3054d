"""Who mail is from, and by which mailers it leaves."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.exceptions import ValidationError
from django.forms import BoundField
from django.utils import formats
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from newsletter.newsroom.access import may_answer_for_standby
from subscribers.addresses import is_free_mail
from subscribers.models import Sender

_MAILERS = ["mailer", "letter_mailer", "standby"]


class SenderForm(forms.ModelForm):  # type: ignore[type-arg]
    """Of mailers nothing is asked where there is one only."""

    is_warm = forms.BooleanField(
        required=False, label=gettext_lazy("It is warmed up: it may take over")
    )

    class Meta:
        model = Sender
        fields = ["name", "email", "reply_to", *_MAILERS]
        labels = {
            "name": gettext_lazy("From, name"),
            "email": gettext_lazy("From, address"),
            "mailer": gettext_lazy("Campaigns leave by"),
            "letter_mailer": gettext_lazy("Letters leave by"),
            "standby": gettext_lazy("Standby, if one of them is down"),
        }
        help_texts = {
            "email": gettext_lazy("At your own domain: mailbox providers refuse others."),
            "reply_to": gettext_lazy("Blank: answers go to the address above."),
            "letter_mailer": gettext_lazy(
                "Confirmations and welcomes. By a mailer of their own they wait for no campaign, "
                "and bear no campaign’s reputation."
            ),
            "standby": gettext_lazy(
                "Readers who were not handed over yet go by it, within its own limits, until the "
                "first is back; but only if it is marked as warmed up."
            ),
        }

    def __init__(self, *args: Any, user: AbstractBaseUser | AnonymousUser, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._user = user
        self._before = (self.instance.standby, self.instance.domain)
        if len(settings.MAILERS) == 1 and not self.instance.unknown_mailers:
            for name in [*_MAILERS, "is_warm"]:
                del self.fields[name]
        else:
            self._offer_mailers()

    def clean_email(self) -> str:
        email = str(self.cleaned_data["email"])
        if is_free_mail(email):
            raise ValidationError(_("Mailbox providers refuse mail in their name from others."))
        return email

    def clean_standby(self) -> str:
        standby = str(self.cleaned_data["standby"])
        if standby and standby == self.cleaned_data.get("mailer"):
            raise ValidationError(_("Choose another than the one that campaigns leave by."))
        return standby

    def save(self, commit: bool = True) -> Sender:
        sender: Sender = super().save(commit)
        if "is_warm" in self.fields and not self.fields["is_warm"].disabled:
            self._mark(sender)
        elif self.must_be_marked_again:
            sender.unmark_standby()
        return sender

    @property
    def must_be_marked_again(self) -> bool:
        """It was marked for another standby, or another domain: that says nothing of this one."""
        now = (self.instance.standby, self.instance.domain)
        return bool(self.instance.warmed_at) and now != self._before

    @property
    def own_fields(self) -> list[BoundField]:
        return [field for field in self if field.name not in [*_MAILERS, "is_warm"]]

    @property
    def mailer_fields(self) -> list[BoundField]:
        return [field for field in self if field.name in [*_MAILERS, "is_warm"]]

    def _mark(self, sender: Sender) -> None:
        if self.must_be_marked_again or not (self.cleaned_data["is_warm"] and sender.standby):
            sender.unmark_standby()
        elif not sender.has_warm_standby:
            sender.mark_standby(self._user.pk)

    def _offer_mailers(self) -> None:
        names = {"mailer": "", "letter_mailer": _("The same"), "standby": _("Nobody takes over")}
        for field, blank in names.items():
            choices = [("", blank)] if blank else []
            self.fields[field].widget = forms.Select(choices=[*choices, *self._known(field)])
        warm = self.fields["is_warm"]
        warm.initial = self.instance.has_warm_standby
        warm.disabled = not may_answer_for_standby(self._user)
        warm.help_text = self._about_the_mark()

    def _known(self, field: str) -> list[tuple[str, str]]:
        mailers = [(name, name) for name in settings.MAILERS]
        if (now := getattr(self.instance, field)) in self.instance.unknown_mailers:
            mailers.append((now, _("%(name)s (not set up on this server)") % {"name": now}))
        return mailers

    def _about_the_mark(self) -> str:
        words = [
            _(
                "Only if mailbox providers know its mail from your domain: what they do not know "
                "they put into spam."
            )
        ]
        if self.fields["is_warm"].disabled:
            words.append(_("You may not decide this: ask somebody who may change senders."))
        if self.instance.has_warm_standby and self.instance.warmed_at:
            day = formats.date_format(self.instance.warmed_at, "j F Y")
            who = self.instance.warmed_by or _("somebody who is gone")
            words.append(_("Marked by %(who)s on %(day)s.") % {"who": who, "day": day})
        return " ".join(words)
