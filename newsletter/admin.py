"""Records for operators: what was sent, and the ledger of it. Looked at here, made elsewhere."""

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.views.decorators import staff_member_required

from newsletter.models import Article, Batch, Campaign, Deferral, Event, Version
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
    list_display = ["received_at", "provider", "kind", "campaign", "subscriber_id"]
    list_select_related = ["campaign"]
    list_filter = ["kind", "provider"]
    ordering = ["-pk"]
