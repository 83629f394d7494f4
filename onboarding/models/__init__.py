"""What is stored, with constraints that make duplicates impossible. Knows nothing of HTTP or the upstream's calls."""

from onboarding.models.fenced import Stale
from onboarding.models.fields import SealedField
from onboarding.models.flow import Flow, Seen, Submission, SubmissionKind, new_reference, release_connection
from onboarding.models.funnel import Funnel, FunnelRound
from onboarding.models.milestone import Delivery, Milestone, MilestoneKind
from onboarding.models.once import Once
from onboarding.models.partner import Partner
from onboarding.models.quota import Quota
from onboarding.models.sms import SmsCount, SmsStop

__all__ = [
    "Delivery",
    "Flow",
    "Funnel",
    "FunnelRound",
    "Milestone",
    "MilestoneKind",
    "Once",
    "Partner",
    "Quota",
    "SealedField",
    "Seen",
    "SmsCount",
    "SmsStop",
    "Stale",
    "Submission",
    "SubmissionKind",
    "new_reference",
    "release_connection",
]
