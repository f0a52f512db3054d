"""What editors type, checked."""

from newsletter.newsroom.forms.articles import ArticleForm
from newsletter.newsroom.forms.campaigns import CampaignForm, TestForm
from newsletter.newsroom.forms.corrections import ReplacementForm, SubjectForm, TextForm
from newsletter.newsroom.forms.publication import (
    MailingListForm,
    PublicationForm,
)
from newsletter.newsroom.forms.readers import ReaderSearchForm, ReceiptForm
from newsletter.newsroom.forms.schedule import ConfirmedForm, ScheduleForm
from newsletter.newsroom.forms.senders import SenderForm
from newsletter.newsroom.forms.sign_in import SignInForm
from newsletter.newsroom.forms.sign_ups import HeldForm
from newsletter.newsroom.forms.terms import RenewalForm, TermsForm

__all__ = [
    "ArticleForm",
    "CampaignForm",
    "ConfirmedForm",
    "HeldForm",
    "MailingListForm",
    "PublicationForm",
    "ReaderSearchForm",
    "ReceiptForm",
    "RenewalForm",
    "ReplacementForm",
    "ScheduleForm",
    "SenderForm",
    "SignInForm",
    "SubjectForm",
    "TermsForm",
    "TestForm",
    "TextForm",
]
