"""What the sample shop's people are made of: countries, names, mailboxes, products."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Country:
    """One country of the shop. ``number`` turns the country's n-th person into a national number."""

    code: str
    share: float
    calling_code: str
    trunk_prefix: str
    languages: tuple[str, ...]
    time_zones: tuple[str, ...]
    cities: tuple[tuple[str, str], ...]
    """Postal code and city."""
    streets: tuple[str, ...]
    first_names: tuple[str, ...]
    last_names: tuple[str, ...]
    number: Callable[[int], str]
    regions: tuple[str, ...] = ()
    """ISO 3166-2 without the country, where a country has several zones: one for each zone and city."""

    def home(self, zone: str, number: int) -> tuple[str, str, str]:
        """Postal code, city and region ('' for none) of the ``number``-th person, who lives in ``zone``."""
        if not self.regions:
            return *self.cities[number % len(self.cities)], ""
        at = self.time_zones.index(zone)
        return *self.cities[at], self.regions[at]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_FRENCH_FICTION = ("63998", "19900", "26191", "35301", "46571", "53649")

_NORDIC_FIRST = _words("""
    Anna Erik Maja Nils Åsa Björn Elin Gösta Ingrid Karl Linnéa Mårten Nora Olle Petra Rune Saga Tor
    Ulla Viggo Alma Bo Disa Egil Freja Håkan Ida Jon Kerstin Leif Mia Otto Pia Ragnar Siv Tuva Vera Åke
    Örjan Moa
""")
_NORDIC_LAST = _words("""
    Berg Lund Strand Dahl Ek Sjöberg Nyström Holm Åberg Lindgren Björk Hedlund Wik Sandvik Öberg Falk
    Norén Hagen Moen Bakke Krogh Møller Bruun Niemi Laine Koski Rask Stål Frisk Quist
""")
_GERMAN_FIRST = _words("""
    Anke Bernd Clara Dieter Eva Frank Greta Hans Ines Jürgen Käthe Lars Maren Nele Otto Paula Rolf Silke
    Uwe Zoë
""")
_GERMAN_LAST = _words("""
    Bäcker Vogel Krämer Lüders Jansen Maaß Böhm Sommer Winkler Kühn Reuter Arndt Seidel Thoma Yilmaz
    Brandt
""")
_FRENCH_FIRST = _words("""
    Aïcha Benoît Chloé Damien Élise Fabien Gaëlle Hugo Inès Jules Léa Marcel Noémie Odile Pierre Rémi
    Solène Théo
""")
_FRENCH_LAST = _words("""
    Lefèvre Moreau Dubreuil Gauthier Rivière Marchal Noël Perrin Besson Collet Hébert Joly D'Aubigny Le-
    Goff
""")
_ENGLISH_FIRST = _words("""
    Alice Ben Chloe Dan Ella Fred Grace Harry Isla Jack Kate Liam Mary Noah Olive Peter Rose Sam Tess
    Will Zara Amir Mei Kofi
""")
_ENGLISH_LAST = _words("""
    Abbott Barnes Clarke Dalton Ellis Fletcher Grant Hughes Irving Jarvis Knight Lowe Mercer Norris
    O'Neill Parker Quinn Reid Shaw Turner Vance Wells Young
""")

COUNTRIES = (
    Country(
        "SE", 0.36, "46", "0", ("sv", "sv", "sv", "en"), ("Europe/Stockholm",),
        (("111 20", "Stockholm"), ("411 03", "Göteborg"), ("211 22", "Malmö"), ("903 26", "Umeå")),
        ("Storgatan", "Kyrkogatan", "Björkvägen", "Åsgatan"), _NORDIC_FIRST, _NORDIC_LAST,
        lambda n: f"7{'02369'[n % 5]}00{n // 5 % 100_000:05d}",
    ),
    Country(
        "DE", 0.14, "49", "0", ("de", "de", "en"), ("Europe/Berlin",),
        (("10115", "Berlin"), ("20095", "Hamburg"), ("80331", "München")),
        ("Hauptstraße", "Gartenweg", "Lindenallee"), _GERMAN_FIRST, _GERMAN_LAST,
        lambda n: f"15000{n % 1_000_000:06d}",
    ),
    Country(
        "GB", 0.14, "44", "0", ("en",), ("Europe/London",),
        (("EC1A 1BB", "London"), ("M1 1AE", "Manchester"), ("EH1 1YZ", "Edinburgh")),
        ("High Street", "Church Lane", "Mill Road"), _ENGLISH_FIRST, _ENGLISH_LAST,
        lambda n: f"1632{n % 1_000_000:06d}",
    ),
    Country(
        "US", 0.12, "1", "1", ("en", "en", "es"),
        ("America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles"),
        (("10001", "New York"), ("60601", "Chicago"), ("80202", "Denver"), ("90001", "Los Angeles")),
        ("Main Street", "Oak Avenue", "2nd Street"), _ENGLISH_FIRST, _ENGLISH_LAST,
        lambda n: f"{2 + n % 8}9{n // 8 % 10}555{n // 80 % 10_000:04d}", ("NY", "IL", "CO", "CA"),
    ),
    Country(
        "FR", 0.10, "33", "0", ("fr",), ("Europe/Paris",),
        (("75001", "Paris"), ("69001", "Lyon"), ("13001", "Marseille")),
        ("rue de l'Église", "rue Neuve", "allée des Tilleuls"), _FRENCH_FIRST, _FRENCH_LAST,
        lambda n: f"{_FRENCH_FICTION[n // 10_000 % 6]}{n % 10_000:04d}",
    ),
    Country(
        "NO", 0.06, "47", "", ("nb", "nb", "en"), ("Europe/Oslo",),
        (("0150", "Oslo"), ("5003", "Bergen")),
        ("Storgata", "Kirkeveien"), _NORDIC_FIRST, _NORDIC_LAST,
        lambda n: f"400{n % 100_000:05d}",
    ),
    Country(
        "FI", 0.04, "358", "0", ("fi", "sv"), ("Europe/Helsinki",),
        (("00100", "Helsinki"), ("20100", "Turku")),
        ("Rantatie", "Koivukuja"), _NORDIC_FIRST, _NORDIC_LAST,
        lambda n: f"4000{n % 100_000:05d}",
    ),
    Country(
        "DK", 0.04, "45", "", ("da",), ("Europe/Copenhagen",),
        (("1050", "København"), ("8000", "Aarhus")),
        ("Strandvejen", "Nørregade"), _NORDIC_FIRST, _NORDIC_LAST,
        lambda n: f"200{n % 100_000:05d}",
    ),
)  # fmt: skip

MAIL_DOMAINS = (
    "post.example",
    "mail.example",
    "brev.example",
    "inbox.example",
    "poste.example",
    "home.mail.example",
)

OVERSHARED_EMAIL = "test@test.example"
INVALID_EMAILS = (
    "{0}.mail.example", "{0}@", "{0} x@mail.example", "{0}@@mail.example", "{0}..x@mail.example", "n/a",
    "{0}@mail",
)  # fmt: skip
"""What ``{0}``, the part before the @, becomes."""
INVALID_PHONES = ("070", "n/a", "see notes", "+46 70 abc")

EMOJI_NAMES = ("Zoë 🌸", "🎉 Sam", "Mia 👩‍👩‍👧")
RIGHT_TO_LEFT_NAMES = ("שרה", "محمد", "ليلى")
QUOTED_NAMES = ('Robert "Bob"', "O'Brien, Pat", 'A "quoted, comma" name')
LINE_BREAK_NAMES = ("Anna\r\nBcc: someone@mail.example", "Nils\nJunior", "Eva\r\n\r\n<p>hello</p>")
MARKUP_NAMES = ("{{ 7 * 7 }}", "<b>Bo</b>", "{% raw %}", "${name}")

CATEGORIES = ("outdoor", "kitchen", "books", "garden", "toys", "sport", "bath", "light")
_THINGS = (
    "Lamp",
    "Kettle",
    "Bag",
    "Tent",
    "Atlas",
    "Mug",
    "Towel",
    "Chair",
    "Rope",
    "Game",
    "Bench",
    "Rake",
    "Jar",
)
_MAKES = ("Nord", "Fjäll", "Alva", "Skog", "Vinter", "Sol", "Björk", "Hav")


@dataclass(frozen=True, slots=True)
class Product:
    """One thing that the shop sells; the price is in cents."""

    product_id: str
    name: str
    category: str
    price: int


def products() -> tuple[Product, ...]:
    """The shop's 208 products, from 4.90 to 149.90."""
    return tuple(
        Product(
            f"P{n + 1:04d}",
            f"{_MAKES[n % len(_MAKES)]} {_THINGS[n % len(_THINGS)]} No. {n + 1}",
            CATEGORIES[(n * 5 + n // 8) % len(CATEGORIES)],
            490 + (n * 7919) % 146 * 100,
        )
        for n in range(208)
    )


def ascii_name(name: str) -> str:
    """A name as a mailbox writes it: ``Åsa`` → ``asa``, ``D'Aubigny`` → ``daubigny``."""
    spelled = name.replace("ß", "ss").replace("ø", "o").replace("Ø", "O")
    folded = unicodedata.normalize("NFKD", spelled).encode("ascii", "ignore").decode()
    return "".join(c for c in folded.lower() if c.isalnum())
