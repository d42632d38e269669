"""Text in one form: letters of one width and case, without accents, in any script."""

from __future__ import annotations

import html
import re
import unicodedata

VERSION = "text-2"

FOLDED = {
    "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "ħ": "h", "ŧ": "t", "ŀ": "l",
    "ĸ": "k", "ŋ": "n", "ƒ": "f", "ɛ": "e", "ə": "e",
    "‘": "'", "’": "'", "‚": "'", "‛": "'", "ʼ": "'", "ʻ": "'", "ʹ": "'", "′": "'", "`": "'", "´": "'",
    "“": '"', "”": '"', "„": '"', "‟": '"', "″": '"', "«": '"', "»": '"',
    "‐": "-", "‑": "-", "‒": "-", "–": "-", "—": "-", "―": "-", "−": "-", "⁃": "-",
    "ـ": "", "\u02c8": "'", "ʾ": "", "ʿ": "",
}  # fmt: skip
"""Letters that no decomposition takes apart, and the marks that word processors put in the place of plain ones."""
JOINED = "'"
"""What is dropped inside a word instead of parting it: O'Brien is one word."""


def fold(text: str) -> str:
    """NFKC, no capitals, no accents, no invisible characters, no HTML, single spaces; punctuation stays. Idempotent.

    Accents are those of Latin, Greek and Cyrillic letters, and the vowel points of Arabic and Hebrew; marks that make
    another letter (Japanese voicing, vowels of Indic scripts) stay.

    >>> fold("  ＪＯＳÉ   Ångström "), fold("МОСКВА"), fold("ガ"), fold("مُحَمَّد") == fold("محمد")
    ('jose angstrom', 'москва', 'ガ', True)
    """
    text = unescaped(text)
    if text.isascii():
        return " ".join(text.translate(PRINTABLE).lower().split())
    return _settled(text)


def words(text: str) -> str:
    """The folded text's words of letters and digits, parted by single spaces. Idempotent.

    >>> words("O'Neill-Smith, John  (Jr.)"), words("Łódź"), words("李小龙"), words("!?")
    ('oneill smith john jr', 'lodz', '李小龙', '')
    """
    text = unescaped(text)
    if text.isascii():
        return " ".join(text.translate(PLAIN_WORDS).split())
    return " ".join(_settled(text).translate(WORDS).split())


def compact(text: str) -> str:
    """The folded text's letters and digits without anything between them. Idempotent.

    >>> compact("SW1A 1AA"), compact("DSC-W120/B")
    ('sw1a1aa', 'dscw120b')
    """
    return words(text).replace(" ", "")


def listed(text: str, mark: str | None = None) -> frozenset[str]:
    """The parts of a text between its spaces, or another mark, as a set.

    >>> sorted(listed("mr mrs")), sorted(listed("test user,guest", ","))
    (['mr', 'mrs'], ['guest', 'test user'])
    """
    return frozenset(text.split(mark))


def unescaped(text: str) -> str:
    """The characters that HTML names, where a semicolon ends the name, in any case and however often escaped. Idempotent.

    >>> unescaped("G&#252;nther &amp;amp; S&OUML;HNE"), unescaped("AT&T; R&D")
    ('Günther & SöHNE', 'AT&T; R&D')
    """
    while "&" in text and (plain := ENTITY.sub(_character, text)) != text:
        text = plain
    return text


def _character(found: re.Match[str]) -> str:
    name = found.group()
    return html.unescape(name) if html.unescape(name) != name else html.unescape(name.lower())


def _settled(text: str) -> str:
    """Fold until nothing changes: a few characters need a second round."""
    for _ in range(6):
        folded = _round(text)
        if folded == text:
            break
        text = folded
    return text


def _round(text: str) -> str:
    apart = unicodedata.normalize("NFD", unescaped(unicodedata.normalize("NFKC", text)).casefold())
    return " ".join(unicodedata.normalize("NFKC", apart.translate(SHOWN)).split())


class _Shown(dict[int, str]):
    """Accents and invisible characters to nothing, other oddities to a space; asked once for each character."""

    def __missing__(self, point: int) -> str:
        letter = chr(point)
        kept = FOLDED.get(letter, letter)
        if ACCENT.fullmatch(letter) or unicodedata.category(letter) == "Cf":
            kept = ""
        elif unicodedata.category(letter) in ("Cc", "Cs", "Cn", "Co") or letter.isspace():
            kept = " "
        self[point] = kept
        return kept


class _Words(dict[int, str]):
    """Letters, digits and marks stay, what joins goes, and the rest parts words; asked once for each character."""

    def __missing__(self, point: int) -> str:
        letter = chr(point)
        kept = letter if unicodedata.category(letter)[0] in "LNM" else "" if letter in JOINED else " "
        self[point] = kept
        return kept


ENTITY = re.compile("&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
ACCENT = re.compile(
    "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe00-\ufe0f\ufe20-\ufe2f"
    "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed]"
)
SHOWN = _Shown()
WORDS = _Words()
PRINTABLE = dict.fromkeys((*range(32), 127), " ") | {ord("`"): "'"}
PLAIN_WORDS = {point: WORDS[point] for point in range(128)} | {point: chr(point + 32) for point in range(65, 91)} | {96: ""}
