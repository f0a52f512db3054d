"""What tests of delivery have in common: scheduling for now, and a worker's round."""

from datetime import timedelta

from django.utils import timezone

from newsletter import delivery, stopping, tasks
from newsletter.content import compile_versions
from newsletter.models import Batch, Campaign, Delivery
from newsletter.reports import progress
from subscribers.models import Subscriber, Subscription


def schedule(campaign, due_at=None):
    """Scheduled, and due since a moment ago."""
    due_at = due_at or timezone.now() - timedelta(seconds=1)
    assert campaign.schedule(compile_versions(campaign), timezone.now())
    Campaign.objects.filter(pk=campaign.pk).update(
        due_at=due_at, send_until=due_at + timedelta(hours=12)
    )
    campaign.refresh_from_db()
    return campaign


def start(campaign, due_at=None):
    schedule(campaign, due_at)
    assert campaign.start()
    campaign.plan()
    return campaign


def another(campaign, mailing_list, **fields):
    """A draft of the same article to this list."""
    draft = Campaign.objects.create(publication=campaign.publication, subject="Another", **fields)
    draft.entries.create(article=campaign.entries.get().article)
    draft.mailing_lists.add(mailing_list)
    return draft


def work():
    """What a worker does when it is called."""
    with delivery.Worker() as worker:
        while not stopping.is_stopping() and (batch := Batch.objects.claim()):
            worker.send(batch)


def send_one_batch():
    with delivery.Worker() as worker:
        worker.send(Batch.objects.claim())


def die(batch):
    """The worker is gone; a lease later nobody has heard of it."""
    Batch.objects.filter(pk=batch.pk).update(lease_until=timezone.now() - timedelta(seconds=1))


def bring_forward(campaign):
    """Time passes: what was to be visited later is due now."""
    past = timezone.now() - timedelta(seconds=1)
    campaign.batches.filter(finished_at__isnull=True).update(due_at=past)
    campaign.deferrals.update(due_at=past)


def finish_with_time(campaign):
    """Time passes, visit after visit, until everybody is accounted for."""
    for _ in range(20):
        bring_forward(campaign)
        work()
        if campaign.finish():
            return
    raise AssertionError(f"It never ended: {progress(campaign)}")


def closed(campaign):
    """The books as the heartbeat closed them: the totals, which are the ledger's."""
    campaign.refresh_from_db()
    assert campaign.finished_at
    live = dict.fromkeys(Delivery.Status.values, 0)
    for status in campaign.deliveries.values_list("status", flat=True):
        live[status] += 1
    assert live == {name: getattr(campaign, name) for name in live}
    assert sum(live.values()) == campaign.audience
    return progress(campaign)


def statuses(campaign):
    """What became of each reader, by address."""
    return {
        delivery.subscriber.address: (delivery.status, delivery.code)
        for delivery in Delivery.objects.filter(campaign=campaign).select_related("subscriber")
    }


def confirmed_readers(count, mailing_list, domain="example.org"):
    """So many readers at once, without evidence."""
    people = Subscriber.objects.bulk_create(
        Subscriber(
            identity=f"reader{number}@{domain}",
            address=f"reader{number}@{domain}",
            domain=domain,
            suppression_key=f"1:{number:032x}",
        )
        for number in range(count)
    )
    Subscription.objects.bulk_create(
        Subscription(subscriber=person, mailing_list=mailing_list, confirmed_at=timezone.now())
        for person in people
    )
    return people


def stop_calls(monkeypatch):
    """Nobody hears the heartbeat's calls; the list that is returned remembers them."""
    calls = []
    monkeypatch.setattr(tasks.send_batches, "delay", lambda: calls.append(1))
    monkeypatch.setattr(tasks, "_is_call_waiting", lambda: False)
    return calls
