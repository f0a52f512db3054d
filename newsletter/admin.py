"""Records for operators: what was sent, and the ledger of it. Looked at here, made elsewhere."""

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.views.decorators import staff_member_required
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy
from django.utils.translation import ngettext

from newsletter.models import (
    Article,
    Batch,
    Bounce,
    Campaign,
    DayCount,
    Deferral,
    Event,
    Parking,
    RateLimit,
    Version,
    WarmUp,
)
from newsletter.models.bounces import BounceQuerySet
from newsletter.models.limits import day_of
from subscribers.admin import ReadOnlyAdmin

# One door for both: the newsroom's counts the attempts, the admin's own does not.
admin.site.login = staff_member_required(  # type: ignore[method-assign]  # Django's own advice.
    admin.site.login, login_url=settings.LOGIN_URL
)


@admin.register(Article)
class ArticleAdmin(ReadOnlyAdmin):
    list_display = ["headline", "slug", "published_at", "changed_at"]
    search_fields = ["headline"]
    ordering = ["-pk"]


@admin.register(Campaign)
class CampaignAdmin(ReadOnlyAdmin):
    list_display = ["title", "status", "due_at", "started_at", "finished_at", "audience", "trouble"]
    list_filter = ["status"]
    ordering = ["-pk"]


@admin.register(Version)
class VersionAdmin(ReadOnlyAdmin):
    list_display = ["campaign", "mailing_list", "subject", "created_at", "replaced_at"]
    list_select_related = ["campaign", "mailing_list"]
    # The compiled bytes are for mail servers, not for a page.
    exclude = ["message"]
    ordering = ["-pk"]


@admin.register(Batch)
class BatchAdmin(ReadOnlyAdmin):
    list_display = ["campaign", "first", "last", "position", "attempts", "lease_until", "due_at"]
    list_select_related = ["campaign"]
    list_filter = [("finished_at", admin.EmptyFieldListFilter)]
    ordering = ["-pk"]


@admin.register(Deferral)
class DeferralAdmin(ReadOnlyAdmin):
    list_display = ["campaign", "subscriber", "attempts", "due_at", "code", "text"]
    list_select_related = ["campaign", "subscriber"]
    ordering = ["-pk"]


# Deliveries have a key of two columns, which the admin cannot show: the newsroom does.


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    list_display = [
        "received_at",
        "source",
        "kind",
        "campaign_id",
        "subscriber_id",
        "house",
        "text",
    ]
    list_filter = ["kind", "source"]
    ordering = ["-pk"]


@admin.register(Bounce)
class BounceAdmin(ReadOnlyAdmin):
    """Filter them by provider, answer, time and campaign, choose all, and lift."""

    list_display = ["at", "house", "code", "text", "verdict", "campaign", "subscriber_id"]
    list_select_related = ["campaign"]
    list_filter = ["verdict", "is_hard", "at", "house", "code"]
    search_fields = ["=key", "=house", "^code"]
    ordering = ["-pk"]
    actions = ["lift"]

    @admin.action(description=_lazy("Mail these addresses again"), permissions=["lift"])
    def lift(self, request: HttpRequest, bounces: BounceQuerySet) -> None:
        count = bounces.undo()
        words = ngettext(
            "%(count)d address may be mailed again.",
            "%(count)d addresses may be mailed again.",
            count,
        )
        messages.success(request, words % {"count": count})

    def has_lift_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("newsletter.change_bounce")


@admin.register(Parking)
class ParkingAdmin(ReadOnlyAdmin):
    list_display = ["house", "mailer", "until", "attempts", "code", "text", "parked_at"]
    list_filter = ["mailer"]
    ordering = ["until"]
    actions = ["release"]

    @admin.action(description=_lazy("Try again now"), permissions=["release"])
    def release(self, request: HttpRequest, parkings: QuerySet[Parking]) -> None:
        for parking in parkings:
            Parking.objects.release(parking.pk)
        messages.success(request, _("A few readers there are tried with the next mail."))

    def has_release_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("newsletter.change_parking")


@admin.register(RateLimit)
class RateLimitAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # Generic in its stubs only.
    """Holds from the next second on, in every worker."""

    list_display = ["mailer", "mailbox_provider", "per_second", "per_day"]
    list_display_links = ["mailer", "mailbox_provider"]


@admin.register(DayCount)
class DayCountAdmin(ReadOnlyAdmin):
    list_display = ["day", "mailer", "mailbox_provider", "taken"]
    list_filter = ["mailer"]


@admin.register(WarmUp)
class WarmUpAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # Generic in its stubs only.
    list_display = ["mailer", "started_on", "first_day", "growth", "held_on", "today"]
    readonly_fields = ["plan"]

    @admin.display(description=_lazy("messages today"))
    def today(self, warm_up: WarmUp) -> str:
        allowance = warm_up.allowance(day_of(timezone.now()))
        return _("over") if allowance is None else str(allowance)

    @admin.display(description=_lazy("plan, if it is not held"))
    def plan(self, warm_up: WarmUp) -> SafeString | str:
        if warm_up._state.adding:
            return _("Day by day, once it is saved.")
        days = [(date_format(day, "j F Y"), number) for day, number in warm_up.plan()]
        rows = format_html_join("", "<tr><th scope=row>{}</th><td>{}</td></tr>", days)
        over = date_format(warm_up.over_on, "j F Y")
        return format_html(
            "<table><thead><tr><th>{}</th><th>{}</th></tr></thead>{}</table><p>{}</p>",
            _("day"),
            _("messages"),
            rows,
            _("No limit from %(day)s on.") % {"day": over},
        )
