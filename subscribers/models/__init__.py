"""The rows that say who may be mailed, and why."""

from subscribers.models.attacks import Attack
from subscribers.models.breakers import Breaker, Failure
from subscribers.models.buckets import Bucket, Spent
from subscribers.models.consents import Consent, Evidence
from subscribers.models.domains import MailDomain
from subscribers.models.imprints import Imprint
from subscribers.models.letters import Letter
from subscribers.models.publications import MailingList, Publication, Sender
from subscribers.models.receipts import Receipt
from subscribers.models.removals import Removal
from subscribers.models.seals import Seal
from subscribers.models.sign_ups import SignUp
from subscribers.models.subscribers import Subscriber
from subscribers.models.subscriptions import Subscription
from subscribers.models.suppressions import Suppression
from subscribers.models.terms import Renewal, Terms

__all__ = [
    "Attack",
    "Breaker",
    "Bucket",
    "Consent",
    "Evidence",
    "Failure",
    "Imprint",
    "Letter",
    "MailDomain",
    "MailingList",
    "Publication",
    "Receipt",
    "Removal",
    "Renewal",
    "Seal",
    "Sender",
    "SignUp",
    "Spent",
    "Subscriber",
    "Subscription",
    "Suppression",
    "Terms",
]
