"""The rows that come in: touches, conversions, sightings; one pyarrow schema each."""

from __future__ import annotations

import pyarrow as pa

INSTANT = pa.timestamp("us", tz="UTC")

TOUCH_KINDS = ("view", "engaged_view", "click", "eligible")
CONVERSION_SOURCES = ("pixel", "sdk", "server", "offline")
CONSENTS = ("granted", "denied", "unknown")

LINK_KEYS = ("email_hash", "external_id", "phone_hash", "device_id", "cookie_id")
"""Identifiers that name a person or a thing a person holds, strongest first."""

LOGIN_KEYS = ("email_hash", "external_id", "phone_hash")
"""Identifiers that only a log-in or a form gives."""


def column(name: str, kind: pa.DataType, doc: str, *, required: bool = False) -> pa.Field:
    """One documented column; `required` means that a row without it breaks the contract."""
    return pa.field(name, kind, nullable=not required, metadata={"doc": doc})


TIMES = [
    column("event_id", pa.string(), "The delivery's id: the same event delivered twice carries it twice.", required=True),
    column("happened_at", INSTANT, "When it happened in the world.", required=True),
    column("seen_at", INSTANT, "When we could first know it; every as-of question uses this.", required=True),
]

IDENTIFIERS = [
    column("click_id", pa.string(), "The id that an ad click put on the landing page's address."),
    column("cookie_id", pa.string(), "A first-party browser cookie."),
    column("device_id", pa.string(), "An app's advertising id."),
    column("email_hash", pa.string(), "SHA-256 of the normalised e-mail address, lower-case hex."),
    column("phone_hash", pa.string(), "SHA-256 of the phone number in E.164, lower-case hex."),
    column("external_id", pa.string(), "The advertiser's own customer id, hashed."),
    column("ip_key", pa.string(), "A keyed hash of the IP address (v4) or its /64 (v6)."),
    column("user_agent", pa.string(), "The browser or app, reduced to family, version and platform."),
    column("locale", pa.string(), "Language and region, as en-GB."),
    column("country", pa.string(), "ISO 3166 country of the event, two letters."),
    column("consent", pa.string(), f"Consent to ad use that came with the event: {', '.join(CONSENTS)}.", required=True),
]

TOUCHES = pa.schema(
    [
        *TIMES,
        column("touch_id", pa.string(), "The touch's own id.", required=True),
        column("kind", pa.string(), f"{', '.join(TOUCH_KINDS)}; `eligible` is a ghost: held out, never shown.", required=True),
        column("campaign_id", pa.string(), "The campaign that paid for it.", required=True),
        column("ad_id", pa.string(), "The ad within the campaign."),
        column("creative_id", pa.string(), "The picture or text shown."),
        column("channel", pa.string(), "Search, social, display, video, affiliate, …", required=True),
        column("placement", pa.string(), "Where it was shown."),
        column("product", pa.string(), "The product advertised, by the shop's own id."),
        column("bid_micros", pa.int64(), "Our bid, in millionths of the currency."),
        column("price_micros", pa.int64(), "What was paid, in millionths of the currency."),
        column("currency", pa.string(), "ISO 4217 code of bid and price."),
        column("holdout", pa.bool_(), "True when an experiment kept the ad from being shown."),
        column("experiment", pa.string(), "The experiment that the person was in."),
        column("arm", pa.string(), "The arm of that experiment."),
        *IDENTIFIERS,
    ]
)

CONVERSIONS = pa.schema(
    [
        *TIMES,
        column("conversion_id", pa.string(), "The conversion's own id.", required=True),
        column("kind", pa.string(), "Purchase, sign-up, install, refund, …", required=True),
        column("value_micros", pa.int64(), "Its value in millionths of the currency; negative for a refund.", required=True),
        column("currency", pa.string(), "ISO 4217 code of the value.", required=True),
        column("order_id", pa.string(), "The shop's order, the same from pixel and server."),
        column(
            "product", pa.string(), "The product bought, by the shop's own id: the one of most value where there are several."
        ),
        column("refund_of", pa.string(), "The conversion_id that this one takes back."),
        column("source", pa.string(), f"Who told us: {', '.join(CONVERSION_SOURCES)}.", required=True),
        *IDENTIFIERS,
    ]
)

SIGHTINGS = pa.schema(
    [
        *TIMES,
        column("kind", pa.string(), "What brought the identifiers together: login, form, visit.", required=True),
        *IDENTIFIERS,
    ]
)

EVENTS = {"touches": TOUCHES, "conversions": CONVERSIONS, "sightings": SIGHTINGS}
