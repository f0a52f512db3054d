"""What editors type, checked."""

from newsletter.newsroom.forms.articles import ArticleForm
from newsletter.newsroom.forms.campaigns import CampaignForm, TestForm
from newsletter.newsroom.forms.corrections import ReplacementForm, SubjectForm, TextForm
from newsletter.newsroom.forms.publication import (
    MailingListForm,
    PublicationForm,
    TermsForm,
)
from newsletter.newsroom.forms.readers import ReaderSearchForm
from newsletter.newsroom.forms.schedule import ConfirmedForm, ScheduleForm
from newsletter.newsroom.forms.senders import SenderForm
from newsletter.newsroom.forms.sign_in import SignInForm
from newsletter.newsroom.forms.sign_ups import HeldForm

__all__ = [
    "ArticleForm",
    "CampaignForm",
    "ConfirmedForm",
    "HeldForm",
    "MailingListForm",
    "PublicationForm",
    "ReaderSearchForm",
    "ReplacementForm",
    "ScheduleForm",
    "SenderForm",
    "SignInForm",
    "SubjectForm",
    "TermsForm",
    "TestForm",
    "TextForm",
]
