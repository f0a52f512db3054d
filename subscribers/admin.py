"""Records for operators: who reads, and the evidence of it. Looked at here, made elsewhere."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from subscribers.models import (
    Attack,
    Breaker,
    Consent,
    Letter,
    MailDomain,
    MailingList,
    Publication,
    Receipt,
    Removal,
    Renewal,
    Seal,
    Sender,
    Subscriber,
    Subscription,
    Suppression,
    Terms,
)
from subscribers.models.domains import MailDomainQuerySet


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # Generic in its stubs only.
    """Rows that nobody adds, changes or removes by hand."""

    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class UndeletableAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # Generic in its stubs only.
    """Rows that others hang from."""

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Publication)
class PublicationAdmin(UndeletableAdmin):
    list_display = ["name", "legal_name", "site", "time_zone"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return not Publication.objects.exists()


@admin.register(Sender)
class SenderAdmin(UndeletableAdmin):
    list_display = ["name", "email", "bounce_domain", "mailer", "letter_mailer", "standby", "warm"]
    readonly_fields = ["warmed_at", "warmed_by"]
    actions = ["mark_standby", "unmark_standby"]

    @admin.display(boolean=True, description=_("warmed up"))
    def warm(self, sender: Sender) -> bool:
        return sender.has_warm_standby

    @admin.action(description=_("Their standby is warmed up"), permissions=["change"])
    def mark_standby(self, request: HttpRequest, senders: QuerySet[Sender]) -> None:
        for sender in senders.exclude(standby=""):
            sender.mark_standby(request.user.pk)

    @admin.action(description=_("Their standby is not warmed up"), permissions=["change"])
    def unmark_standby(self, request: HttpRequest, senders: QuerySet[Sender]) -> None:
        for sender in senders:
            sender.unmark_standby()


@admin.register(Breaker)
class BreakerAdmin(ReadOnlyAdmin):
    """Mailers that did not take mail lately; without "down since", only now and then."""

    list_display = ["mailer", "down_since", "kind", "said", "failures", "tries", "try_at"]
    actions = ["try_now"]

    @admin.action(description=_("Try again now"), permissions=["try_now"])
    def try_now(self, request: HttpRequest, breakers: QuerySet[Breaker]) -> None:
        Breaker.objects.try_now(breakers.values_list("mailer", flat=True))
        messages.success(request, gettext("A few readers are tried with the next mail."))

    def has_try_now_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("subscribers.change_breaker")


@admin.register(MailingList)
class MailingListAdmin(UndeletableAdmin):
    list_display = ["name", "slug", "list_id", "rhythm", "is_public"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["list_id", "slug"] if obj else ["list_id"]


@admin.register(Terms)
class TermsAdmin(ReadOnlyAdmin):
    list_display = ["publication", "number", "wording", "published_at", "actor"]


@admin.register(Subscriber)
class SubscriberAdmin(ReadOnlyAdmin):
    list_display = ["address", "kind", "domain", "created_at"]
    list_filter = ["kind"]
    search_fields = ["^identity"]
    ordering = ["-pk"]


@admin.register(Subscription)
class SubscriptionAdmin(ReadOnlyAdmin):
    list_display = ["subscriber", "mailing_list", "requested_at", "confirmed_at", "ended_at"]
    list_select_related = ["subscriber", "mailing_list"]
    list_filter = ["mailing_list", "end_reason"]
    search_fields = ["^subscriber__identity"]
    ordering = ["-pk"]


@admin.register(Consent)
class ConsentAdmin(ReadOnlyAdmin):
    list_display = ["at", "action", "purpose", "address", "mailing_list", "method", "source"]
    list_select_related = ["mailing_list"]
    list_filter = ["action", "method"]
    search_fields = ["^subscriber__identity", "=source"]
    ordering = ["-pk"]


@admin.register(Seal)
class SealAdmin(ReadOnlyAdmin):
    list_display = ["number", "sealed_at", "first", "last", "rows", "hash"]
    ordering = ["-number"]


@admin.register(Removal)
class RemovalAdmin(ReadOnlyAdmin):
    """What went from the evidence by the rules: the report of the jobs that see to it."""

    list_display = ["closed_at", "kind", "reason", "rows", "sealed"]
    list_filter = ["kind", "reason"]
    ordering = ["-pk"]


@admin.register(Receipt)
class ReceiptAdmin(ReadOnlyAdmin):
    list_display = ["at", "actor", "subscriber", "reason"]
    list_select_related = ["subscriber"]
    search_fields = ["^subscriber__identity", "=actor"]
    ordering = ["-pk"]


@admin.register(Renewal)
class RenewalAdmin(ReadOnlyAdmin):
    list_display = ["terms", "started_at", "agree_by", "summary"]
    list_select_related = ["terms__publication"]


@admin.register(Suppression)
class SuppressionAdmin(ReadOnlyAdmin):
    """Lifted by the person's own fresh confirmation, not by hand."""

    list_display = ["key", "reason", "scope", "mailing_list", "created_at", "ends_at", "lifted_at"]
    list_select_related = ["mailing_list", "publication"]
    list_filter = ["reason", "scope"]
    search_fields = ["=key"]
    ordering = ["-pk"]


@admin.register(Letter)
class LetterAdmin(ReadOnlyAdmin):
    list_display = ["asked_at", "kind", "subscriber", "attempts", "sent_at", "error"]
    list_select_related = ["subscriber"]
    list_filter = ["kind"]
    search_fields = ["^subscriber__identity", "=message_id"]
    ordering = ["-pk"]


@admin.register(Attack)
class AttackAdmin(ReadOnlyAdmin):
    list_display = ["began_at", "began_by", "ended_at", "ended_by"]
    ordering = ["-pk"]


@admin.register(MailDomain)
class MailDomainAdmin(ReadOnlyAdmin):
    list_display = ["name", "mailbox_provider", "looked_up_at", "attempts", "due_at"]
    list_filter = ["mailbox_provider"]
    search_fields = ["^name"]
    actions = ["look_up_again"]

    @admin.action(description=_("Look up again"), permissions=["look_up"])
    def look_up_again(self, request: HttpRequest, domains: MailDomainQuerySet) -> None:
        domains.update(due_at=timezone.now())
        messages.success(request, gettext("The name servers will be asked in a moment."))

    def has_look_up_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("subscribers.change_maildomain")
