"""What the columns of a source nobody has mapped yet seem to be, by their names and their values; and which table its words mean."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from functools import cached_property

from whence.contracts.events import CONSENTS, CONVERSION_SOURCES
from whence.ingest.currencies import CURRENCIES

TOUCHES, CONVERSIONS, SIGHTINGS = "touches", "conversions", "sightings"
MOST = 0.9
"""Of a column's values, which have to look so."""
MOST_KINDS = 200
"""A column with more different words says no kinds."""

NAMES: Mapping[str, tuple[str, ...]] = {
    "event_id": ("event_id", "eventid", "message_id", "messageid", "insert_id", "event_uuid", "uuid", "id"),
    "happened_at": (
        *("happened_at", "timestamp", "event_timestamp", "event_time", "event_date_time", "click_time", "touch_time"),
        *("occurred_at", "attributed_touch_time", "conversion_time", "derived_tstamp", "original_timestamp", "time", "ts"),
        *("created_at", "created", "order_date", "purchase_date", "install_time", "datetime", "date_time", "date"),
        *("zeitpunkt", "datum", "uhrzeit", "fecha", "fecha_hora", "date_heure", "horodatage"),
    ),
    "seen_at": (
        *("seen_at", "received_at", "ingested_at", "loaded_at", "stored_at", "server_time", "server_received_time"),
        *("collector_tstamp", "processed_at", "inserted_at", "arrival_time", "upload_time"),
    ),
    "kind": (
        *("kind", "type", "event", "event_type", "event_name", "action", "activity_kind", "interaction_type", "hit_type"),
        *("attributed_touch_type", "conversion_type", "conversion_name"),
    ),
    "campaign_id": (
        *("campaign_id", "campaignid", "campaign", "utm_campaign", "campaign_name", "mkt_campaign", "kampagne", "campagne"),
        *("campana",),
    ),
    "ad_id": ("ad_id", "ad", "ad_name", "adgroup", "ad_group", "ad_group_id", "adset", "adset_id", "anzeigengruppe", "anzeige"),
    "creative_id": ("creative_id", "creative", "utm_content", "banner", "mkt_content"),
    "source": ("source", "event_source", "data_source", "action_source"),
    "channel": (
        *("channel", "marketing_channel", "channel_grouping", "default_channel_group", "medium", "utm_medium", "mkt_medium"),
        *("media_source", "traffic_source", "utm_source", "source", "network", "network_name", "partner", "kanal", "canal"),
    ),
    "placement": ("placement", "position", "site", "publisher", "site_id"),
    "product": ("product", "product_id", "sku", "item_id", "asin", "content_id"),
    "bid_micros": ("bid", "bid_micros", "bid_price"),
    "price_micros": ("price", "cost", "spend", "price_micros", "cost_micros", "cpm", "cost_value", "kosten", "coste", "cout"),
    "value_micros": (
        *("value", "value_micros", "revenue", "amount", "total", "order_value", "conversion_value", "purchase_revenue"),
        *("event_revenue", "event_value", "order_total", "total_price", "purchase_value", "sales", "tr_total", "betrag"),
        *("umsatz", "bestellwert", "summe", "montant", "importe", "ventes", "ingresos"),
    ),
    "currency": (
        *("currency", "currency_code", "cur", "ccy", "iso_currency", "event_revenue_currency", "wahrung", "waehrung"),
        *("devise", "moneda"),
    ),
    "order_id": (
        *("order_id", "orderid", "transaction_id", "order", "order_number", "order_no", "order_name", "invoice"),
        *("bestellnummer", "auftragsnummer", "bestellung", "commande", "numero_de_commande", "pedido", "numero_de_pedido"),
    ),
    "refund_of": ("refund_of",),
    "click_id": ("click_id", "clickid", "gclid", "fbclid", "msclkid", "ttclid", "dclid"),
    "cookie_id": (
        *("cookie_id", "cookie", "user_pseudo_id", "anonymous_id", "visitor_id", "full_visitor_id", "client_id", "uid"),
        *("ga_client_id", "domain_userid", "browser_id", "distinct_id"),
    ),
    "device_id": (
        *("device_id", "idfa", "gaid", "aaid", "gps_adid", "advertising_id", "google_advertising_id", "maid", "rdid", "idfv"),
        *("android_id", "appsflyer_id", "apps_flyer_id", "adid"),
    ),
    "email_hash": (
        *("email_hash", "email", "mail", "e_mail", "email_address", "hashed_email", "email_sha256", "sha256_email"),
        *("hashed_email_address", "customer_email", "user_email", "em", "e_mail_adresse", "adresse_e_mail", "courriel"),
        *("correo", "correo_electronico"),
    ),
    "phone_hash": (
        *("phone_hash", "phone", "phone_number", "mobile", "telephone", "phone_sha256", "hashed_phone_number", "ph"),
        *("telefon", "telefonnummer", "telefono"),
    ),
    "external_id": (
        *("external_id", "customer_id", "customer_user_id", "user_id", "userid", "customer", "account_id", "member_id"),
        *("crm_id", "loyalty_id", "subscriber_id", "kundennummer", "kunden_id", "numero_client", "id_cliente"),
    ),
    "ip_key": ("ip_key", "ip", "ip_address", "remote_addr", "client_ip", "user_ip", "user_ipaddress"),
    "user_agent": ("user_agent", "useragent", "ua", "browser", "user_agent_string", "http_user_agent"),
    "locale": ("locale", "language", "lang", "sprache", "langue", "idioma"),
    "country": ("country", "country_code", "geo", "geo_country", "country_iso_code", "land", "pays", "pais"),
    "consent": ("consent", "gdpr_consent", "ad_storage", "ad_user_data", "consent_status", "marketing_consent"),
}
"""For each field the column names that usually hold it, the surest first."""

TOUCH_NAMES: Mapping[str, tuple[str, ...]] = {
    "happened_at": ("attributed_touch_time", "touch_time", "click_time", "clicked_at"),
    "kind": ("attributed_touch_type", "touch_type"),
}
"""Columns in which a conversion's row tells of its own touch."""

VISITS = ("session_id", "ga_session_id", "sessionid", "visit_id", "session")
"""Columns that say which rows are of one visit."""

TOKENS: Mapping[str, tuple[frozenset[str], ...]] = {
    "value_micros": tuple(frozenset({each}) for each in ("revenue", "turnover", "amount", "value")),
    "currency": (frozenset({"currency"}),),
    "order_id": (frozenset({"order", "id"}), frozenset({"transaction", "id"}), frozenset({"order", "number"})),
    "campaign_id": (frozenset({"campaign", "id"}), frozenset({"campaign", "name"}), frozenset({"campaign"})),
    "channel": (frozenset({"medium"}), frozenset({"channel"})),
    "cookie_id": tuple(frozenset({each}) for each in ("cookie", "pseudo", "anonymous", "visitor")),
    "device_id": tuple(frozenset({each}) for each in ("idfa", "gaid", "idfv", "advertising")),
    "email_hash": (frozenset({"email"}), frozenset({"mail"})),
    "phone_hash": (frozenset({"phone"}), frozenset({"mobile"})),
    "external_id": tuple(frozenset({each, "id"}) for each in ("customer", "user", "member", "account", "crm")),
    "user_agent": (frozenset({"user", "agent"}),),
    "click_id": (frozenset({"gclid"}), frozenset({"click", "id"})),
    "consent": (frozenset({"consent"}), frozenset({"accepts", "marketing"})),
    "price_micros": (frozenset({"cost"}), frozenset({"spend"}), frozenset({"cpm"}), frozenset({"ecpm"})),
}
"""Words within a name that tell a field where no name is a usual one."""

EMAIL, SHA = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+"), re.compile(r"[0-9a-fA-F]{64}")
ADDRESS = re.compile(r"\d{1,3}(\.\d{1,3}){3}|[0-9a-fA-F]*:[0-9a-fA-F:.]+")
COUNTED = re.compile(r"\d{9,16}(\.\d+)?")
"""Seconds, milliseconds or microseconds since 1970."""
COMMAS = re.compile(r"[+-]?(\d+|\d{1,3}([.' \u00a0\u202f]\d{3})+)(,\d+)?")
"""A number with a comma before the parts of one, and another mark between thousands, if any."""
THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})*")
GROUPED = re.compile(r"[+-]?\d{1,3}(,\d{3})+\.\d*|[+-]?\d{1,3}(,\d{3}){2,}")
"""A number whose commas can only stand between thousands; of 1,070 alone nobody knows."""
FORMS = (
    *("%Y-%m-%d %H:%M:%S UTC", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d.%m.%Y"),
    *("%d/%m/%Y %H:%M:%S", "%m/%d/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M", "%d/%m/%Y", "%m/%d/%Y"),
    *("%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %I:%M %p", "%d %b %Y %H:%M:%S", "%b %d, %Y %H:%M:%S", "%Y%m%d %H:%M:%S"),
)
"""How times are written that are not ISO 8601, as strptime has it."""
OF_TIME = frozenset({"time", "timestamp", "tstamp", "ts", "at", "date", "datetime", "created", "when", "day"})
OF_ARRIVAL = frozenset(
    {"received", "ingested", "loaded", "stored", "server", "processed", "inserted", "arrival", "upload", "etl"}
)
AGENT = re.compile(r"(Mozilla|Opera|Dalvik|okhttp|CFNetwork|[A-Za-z]+/\d+\.\d+ \()")

VIEWS, CLICKS = frozenset({"imp", "impression", "impressions", "served"}), frozenset({"click", "clicks", "clk", "clicked", "tap"})
ADS = frozenset({"ad", "ads", "banner", "creative", "video"})
EARNS: Mapping[str, str] = {
    **dict.fromkeys(
        ("purchase", "purchases", "purchased", "order", "ordered", "sale", "transaction", "paid", "payment", "bought"), "purchase"
    ),
    **dict.fromkeys(
        ("signup", "sign_up", "signed_up", "register", "registered", "registration", "complete_registration"), "sign_up"
    ),
    **dict.fromkeys(("install", "installed", "first_open", "app_install"), "install"),
    **dict.fromkeys(("subscribe", "subscribed", "subscription", "trial", "start_trial"), "subscribe"),
    "conv": "conversion",
    **dict.fromkeys(("lead", "generate_lead", "booking", "booked", "donate", "conversion"), ""),
    **dict.fromkeys(("refund", "refunded", "chargeback"), "refund"),
}
"""Words of conversions and our kind for them; empty where theirs is as good."""
BEFORE = frozenset(
    {"begin", "start", "started", "initiate", "initiated", "view", "viewed", "add", "added", "cancel", "cancelled", "failed"}
)
"""With these words an order is not made."""
PAID_BACK = frozenset({"refund", "refunded", "refunds", "returned"})
NO_VALUE = PAID_BACK | {"discount", "discounts", "tax", "taxes", "shipping", "fee", "fees", "tip", "vat"}
"""In the names of amounts that are not what an order was worth."""
UNPAID = frozenset(
    {"voided", "void", "cancelled", "canceled", "failed", "declined", "expired", "abandoned", "unpaid", "rejected", "storniert"}
)
"""What a status says of an order that brought nothing."""
TESTS = frozenset({"test", "sandbox"})
"""In the name of a column that says, with true or false, what is nobody's money."""
LOGINS = frozenset({"login", "log_in", "logged_in", "signin", "sign_in", "signed_in", "identify"})
NO_CAMPAIGN = frozenset({"(direct)", "(organic)", "(referral)", "(none)", "(not set)", "(not provided)"})
"""What analytics write where no campaign brought a visit."""
FORMS_FILLED = frozenset({"form", "submit", "submitted"})


@dataclass(frozen=True)
class Column:
    """A column's name and those of its values that are not empty."""

    name: str
    values: Sequence[object]
    filled: float = 1.0
    """The share of rows in which it says something."""
    others: tuple[str, ...] = ()
    """Columns that stand in where its cell is empty."""
    is_joined: bool = False
    """All of them together count instead."""

    @cached_property
    def key(self) -> str:
        """The name in small letters, its words joined by underscores."""
        return key(self.name)

    @cached_property
    def ends(self) -> tuple[str, ...]:
        """What the name of a value within others ends with, the longest first: `context.campaign.name` with campaign_name and name."""
        parts = re.split(r"[.?]", self.name)
        return tuple(key(".".join(parts[place:])) for place in range(1, len(parts)))

    @cached_property
    def tokens(self) -> frozenset[str]:
        """The words of the name."""
        return frozenset(self.key.split("_"))

    def mostly(self, claim: Callable[[str], bool]) -> bool:
        """Whether nearly all values are so; false where there is none."""
        return bool(self.values) and sum(claim(str(value)) for value in self.values) >= MOST * len(self.values)

    @cached_property
    def is_of_times(self) -> bool:
        """Whether the values are instants or days, in whichever form."""
        if self.values and isinstance(self.values[0], date):
            return True
        is_named = bool(self.tokens & OF_TIME)
        return (
            self.mostly(lambda text: _is_iso(text) and (is_named or "-" in text))
            or bool(self.forms)
            or (is_named and self.is_counted)
        )

    @cached_property
    def is_counted(self) -> bool:
        """Whether the values count from 1970."""
        return self.mostly(lambda text: COUNTED.fullmatch(text) is not None)

    @cached_property
    def has_commas(self) -> bool:
        """Whether the values are numbers with a comma before the parts of one; not so where it may stand between thousands."""
        texts = [str(value).strip() for value in self.values]
        is_so = any("," in text for text in texts) and not all(THOUSANDS.fullmatch(text) for text in texts)
        return is_so and self.mostly(lambda text: COMMAS.fullmatch(text.strip()) is not None)

    @cached_property
    def forms(self) -> tuple[str, ...]:
        """The forms other than ISO 8601 in which all values could be written; two where day and month cannot be told apart."""
        if self.is_counted or not self.mostly(lambda text: any(mark in text for mark in "/., ") and text[:1].isalnum()):
            return ()
        texts = [str(value) for value in self.values]
        return tuple(form for form in FORMS if all(_is_in(text, form) for text in texts))


def key(name: str) -> str:
    """A name as it is looked up.

    >>> key("Customer User ID"), key("eventType"), key("Währung")
    ('customer_user_id', 'event_type', 'wahrung')
    """
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", unicodedata.normalize("NFKD", name))
    return re.sub(r"[^a-z0-9]+", "_", re.sub("[\u0300-\u036f]", "", parted).lower()).strip("_")


def fields(columns: Sequence[Column]) -> dict[str, Column]:
    """Fields and the columns for them: by what the values look like where that is certain, else by name; each column once."""
    found: dict[str, Column] = {}

    def take(field: str, column: Column | None) -> None:
        if column is not None and field not in found and column not in found.values():
            found[field] = column

    for column in columns:
        if shape := _by_shape(column):
            take(shape, column)
    times = [each for each in columns if each.is_of_times and each not in found.values()]
    late = [each for each in times if each.tokens & OF_ARRIVAL]
    for field, among in (("happened_at", [each for each in times if each not in late]), ("seen_at", late), ("happened_at", late)):
        fullest = max((each.filled for each in among), default=0.0)
        among = [each for each in among if each.filled >= MOST * fullest]
        take(field, _named(NAMES[field], among) or next(iter(among), None))
    for field in NAMES:
        take(field, _named(NAMES[field], [each for each in columns if each not in found.values() and _may_be(field, each)]))
    for field, wanted in TOKENS.items():
        free = [each for each in columns if each not in found.values() and _may_be(field, each)]
        take(field, next((each for tokens in wanted for each in free if tokens <= each.tokens), None))
    return found


def alike(field: str, columns: Sequence[Column]) -> list[Column]:
    """The columns that are called as a field usually is and look like it, the surest first."""
    usual = [each for each in columns if each.values and _may_be(field, each)]
    named = [each for name in NAMES[field] for each in usual if each.key == name]
    named += [each for name in NAMES[field] for each in usual if name in each.ends]
    return list({each.name: each for each in named}.values())


def currency_of(money: Column, columns: Sequence[Column]) -> Column | None:
    """The column of an amount's currency: of several the one whose name has most in common with the amount's."""
    named = [each for each in columns if each.values and "currency" in each.tokens and _may_be("currency", each)]
    return max(named, key=lambda each: len(each.tokens & money.tokens), default=None)


def tests(columns: Sequence[Column]) -> tuple[Column, list[str]] | None:
    """The column that tells tests from what is real, and its words for tests."""
    for column in columns:
        words = sorted({str(value) for value in column.values})
        if column.tokens & TESTS and words and {word.lower() for word in words} <= {"true", "false"}:
            return column, [word for word in words if word.lower() == "true"] or ["true"]
    return None


def unpaid(columns: Sequence[Column]) -> tuple[Column, list[str]] | None:
    """The column of a status, and its words for orders that brought nothing."""
    for column in columns:
        words = sorted({str(value) for value in column.values})
        if "status" in column.tokens and (none := [word for word in words if key(word) in UNPAID]) and len(words) <= MOST_KINDS:
            return column, none
    return None


def paid_back(columns: Sequence[Column]) -> list[Column]:
    """The columns of amounts that were paid back, beside what was paid."""
    return [each for each in columns if each.tokens & PAID_BACK and each.mostly(_is_number)]


def event_ids(columns: Sequence[Column]) -> Column | None:
    """The first column that could tell one event from another, whatever it is called."""
    named = [each for each in columns if each.tokens & {"id", "uuid", "guid"} and each.filled >= MOST]
    return next((each for each in named if len({*map(str, each.values)}) >= MOST * len(each.values) > 0), None)


def visit(columns: Sequence[Column]) -> Column | None:
    """The column that says which rows are of one visit."""
    found = _named(VISITS, columns)
    return found if found is not None and found.values else None


def own_touch(columns: Sequence[Column]) -> dict[str, Column]:
    """When, and as what, a conversion's row tells of its own touch; empty unless it says when."""
    found = {
        field: column for field, usual in TOUCH_NAMES.items() if (column := _named(usual, columns)) and _may_be(field, column)
    }
    return found if "happened_at" in found else {}


def meaning(word: str) -> tuple[str, str] | None:
    """The table that a source's word belongs to, and our kind for it; None for a word that says neither ad nor conversion.

    >>> meaning("ad_impression"), meaning("purchase"), meaning("page_view"), meaning("begin_checkout")
    (('touches', 'view'), ('conversions', 'purchase'), None, None)
    """
    words = key(word)
    tokens = frozenset(words.split("_"))
    if words == "engaged_view":
        return TOUCHES, "engaged_view"
    if words in ("eligible", "ghost"):
        return TOUCHES, "eligible"
    if tokens & CLICKS:
        return TOUCHES, "click"
    if tokens & VIEWS or words in ("view", "viewthrough", "view_through") or ("view" in tokens and tokens & ADS):
        return TOUCHES, "view"
    if tokens & BEFORE and words not in EARNS:
        return None
    for known, kind in EARNS.items():
        if frozenset(known.split("_")) <= tokens:
            return CONVERSIONS, kind or words
    return None


def sighting(word: str) -> str:
    """Our kind for a word of a sighting.

    >>> sighting("Logged In"), sighting("form_submit"), sighting("page_view")
    ('login', 'form', 'visit')
    """
    words = key(word)
    if words in LOGINS or frozenset(words.split("_")) & LOGINS:
        return "login"
    return "form" if frozenset(words.split("_")) & FORMS_FILLED else "visit"


def consent(word: str) -> str:
    """Our word for a source's consent."""
    said = word.strip().lower()
    if said in CONSENTS:
        return said
    if said in ("true", "1", "yes", "y", "t", "opt_in", "opted_in", "accepted"):
        return "granted"
    return "denied" if said in ("false", "0", "no", "n", "f", "opt_out", "opted_out", "rejected") else "unknown"


def _named(usual: Sequence[str], columns: Sequence[Column]) -> Column | None:
    """The column of the surest name, its own rather than the end of it; one whose cells are all empty only where there is no other."""
    named = [each for name in usual for each in columns if each.key == name]
    named += [each for name in usual for each in columns if name in each.ends]
    return next((each for each in named if each.values), next(iter(named), None))


def _by_shape(column: Column) -> str | None:
    if column.mostly(lambda text: EMAIL.fullmatch(text) is not None):
        return "email_hash"
    if column.mostly(lambda text: ADDRESS.fullmatch(text) is not None and ("." in text or text.count(":") > 2)):
        return "ip_key"
    return "user_agent" if column.mostly(lambda text: AGENT.match(text) is not None) else None


def _may_be(field: str, column: Column) -> bool:
    """Whether the values do not speak against it; a column of empty cells may be anything."""
    if not column.values:
        return True
    if field in ("happened_at", "seen_at"):
        return column.is_of_times
    if field == "value_micros" and column.tokens & NO_VALUE:
        return False
    if field in ("value_micros", "price_micros", "bid_micros"):
        return column.mostly(_is_number) or column.has_commas
    if field == "currency":
        return column.mostly(lambda text: text in CURRENCIES)
    if field == "source":
        return column.mostly(lambda text: text in CONVERSION_SOURCES)
    if field == "kind":
        return len({str(value) for value in column.values}) <= MOST_KINDS and not column.mostly(_is_number)
    if field == "event_id":
        return len({str(value) for value in column.values}) >= MOST * len(column.values)  # some events come twice
    return not column.is_of_times


def _is_number(text: str) -> bool:
    if GROUPED.fullmatch(text.strip()):
        return True
    try:
        return Decimal(text.strip()).is_finite()
    except InvalidOperation:
        return False


def _is_iso(text: str) -> bool:
    if not re.match(r"\d{4}-?\d\d-?\d\d", text.strip()) or COUNTED.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text.strip())
    except ValueError:
        return False
    return True


def _is_in(text: str, form: str) -> bool:
    try:
        datetime.strptime(text, form)  # noqa: DTZ007 - only whether it can be read is asked
    except ValueError:
        return False
    return True
