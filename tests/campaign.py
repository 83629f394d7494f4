"""A campaign's values as a link has them, and as the upstream gets them: blanks, signs, accents, other scripts."""

from __future__ import annotations

UTM = {
    "utm_source": "News Letter", "utm_medium": "e-mail & more", "utm_campaign": "été 2026 – «50 %»",
    "utm_content": "a+b=c", "utm_term": "账户 開戶", "utm_id": "17",
}  # fmt: skip
SENT = {
    "utmSource": UTM["utm_source"], "utmMedium": UTM["utm_medium"], "utmCampaign": UTM["utm_campaign"],
    "utmContent": UTM["utm_content"], "utmTerm": UTM["utm_term"],
}  # fmt: skip
