"""Names of people in one form: without titles, in the order they are spoken, in any script."""

from __future__ import annotations

import re

from whence.normalise.text import listed, words

VERSION = "names-2"

TITLES = listed(
    "mr mister mrs ms miss mx dr doctor prof professor rev reverend herr frau hr fr monsieur madame mme mlle mademoiselle "
    "senor senora senorita sr sra srta signor signora sig dott dhr mevr"
)
"""Ways to address somebody, before the name. Ranks of nobility stay: they tell people apart where they are written."""
SUFFIXES = listed("jr jnr junior sr snr senior esq esquire phd md dds dvm mba cpa")
"""What follows a name and is written by some and left out by others. Numerals stay: Henry VIII is not Henry VII."""
PARTICLES = listed(
    "de da do dos das di del della dello degli dei du des la le les los las el van von vom zu zum zur der den dem ter ten "
    "te op af av al ul bin bint ibn ben y e und of the"
)


def person(text: str) -> str:
    """A whole name: titles and suffixes go, "Surname, Given" is turned round. Empty only when it has no letter or digit.

    >>> person("Smith-Jones, Dr. John, Jr."), person("Miss Zoë O’Neill"), person("王小明"), person("John, 1st Baron Smith")
    ('john smith jones', 'zoe oneill', '王小明', 'john 1st baron smith')
    """
    if "," in text or "，" in text:
        return _bare(" ".join(_spoken([part for piece in re.split("[,，]", text) if (part := words(piece))])))
    return _bare(words(text))


def given(text: str) -> str:
    """Given names without a title.

    >>> given("Mr. Jean-Luc"), given("Mr")
    ('jean luc', 'mr')
    """
    return _untitled(words(text))


def surname(text: str) -> str:
    """A surname without a suffix; particles stay.

    >>> surname("van der Berg, Jr."), surname("D'Angelo")
    ('van der berg', 'dangelo')
    """
    return _unsuffixed(words(text))


def tokens(text: str) -> str:
    """The words of a name in alphabetical order, so that the order in which they were written does not matter.

    Titles and suffixes go wherever they stand, since in another order they would stand elsewhere.

    >>> tokens("Lee, Ann Mary") == tokens("mary ann LEE"), tokens("D. Sr. D"), tokens("PhD Dr")
    (True, 'd d', 'dr')
    """
    said = sorted(person(text).split())
    return " ".join([word for word in said if word not in TITLES | SUFFIXES] or said[:1])


def without_particles(text: str) -> str:
    """A name without de, van, bin and their like; whole when it has nothing else.

    >>> without_particles("Ludwig van Beethoven"), without_particles("De La")
    ('ludwig beethoven', 'de la')
    """
    whole = person(text)
    kept = _bare(" ".join(word for word in whole.split() if word not in PARTICLES))
    return whole if kept in ("", whole) else without_particles(kept)


def initials(text: str) -> str:
    """The first letter of each word of a name.

    >>> initials("J. R. R. Tolkien"), initials("Tolkien, John Ronald Reuel")
    ('jrrt', 'jrrt')
    """
    return "".join(word[0] for word in person(text).split())


def _spoken(parts: list[str]) -> list[str]:
    """The parts between commas as they would be spoken; more than two are a list, and stay as they are."""
    said = [part for part in parts if not set(part.replace("ph d", "phd").split()) <= TITLES | SUFFIXES] or parts
    if (
        len(said) == 2
        and all(len(word) > 1 for word in said[0].split())
        and len(said[0].split()) <= 3
        and not NOBLE.search(said[1])
    ):
        return [_untitled(said[1]), said[0]]
    return said


NOBLE = re.compile(r"\b(baron|baroness|baronet|earl|duke|duchess|count|countess|viscount|marquess|lord|lady|of)\b|\d")


def _bare(text: str) -> str:
    return _unsuffixed(_untitled(text))


def _untitled(text: str) -> str:
    first, _, rest = text.partition(" ")
    while rest and first in TITLES:
        text = rest
        first, _, rest = text.partition(" ")
    return text


def _unsuffixed(text: str) -> str:
    rest, _, last = text.rpartition(" ")
    while rest and (last in SUFFIXES or (last == "d" and rest.endswith(" ph"))):
        text = rest.removesuffix(" ph") if last == "d" else rest
        rest, _, last = text.rpartition(" ")
    return text
