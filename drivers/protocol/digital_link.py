"""GS1 Digital Link URIs: the web address in a QR code that also carries element strings.

Source: GS1 Digital Link Standard, URI Syntax 1.4 (uncompressed form). Compressed links are refused by name.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from ringup.drivers.protocol.errors import ParseError
from ringup.drivers.protocol.gs1 import Element, parse_element
from ringup.drivers.protocol.gs1_ai import application_identifiers
from ringup.drivers.protocol.gs1_dates import REFERENCE_YEAR
from ringup.drivers.protocol.gtin import is_digits

# Primary key -> the qualifiers that may follow it in the path, in this order (URI Syntax 4.4).
PRIMARY_KEYS: dict[str, tuple[str, ...]] = {
    "01": ("22", "10", "21", "235"),
    "8006": ("22", "10", "21"),
    "8013": (),
    "8010": ("8011",),
    "410": (),
    "411": (),
    "412": (),
    "413": (),
    "414": ("254", "7040"),
    "415": ("8020",),
    "416": (),
    "417": ("7040",),
    "8017": ("8019",),
    "8018": ("8019",),
    "255": (),
    "00": (),
    "253": (),
    "401": (),
    "402": (),
    "8003": (),
    "8004": ("7040",),
}
# Names that stood for AIs in earlier editions and are still printed.
SHORT_NAMES = {
    "gtin": "01",
    "itip": "8006",
    "gmn": "8013",
    "cpid": "8010",
    "gln": "414",
    "payTo": "415",
    "partyGln": "417",
    "gsrnp": "8017",
    "gsrn": "8018",
    "gcn": "255",
    "sscc": "00",
    "gdti": "253",
    "ginc": "401",
    "gsin": "402",
    "grai": "8003",
    "giai": "8004",
    "cpv": "22",
    "lot": "10",
    "ser": "21",
    "tpx": "235",
    "cpsn": "8011",
    "glnx": "254",
    "refNo": "8020",
    "srin": "8019",
    "exp": "17",
}
URI_LENGTH_MAX = 8192


def is_web_address(text: str) -> bool:
    """Return True for text that begins with http:// or https:// in any case."""
    return text[:8].lower().startswith(("http://", "https://"))


def parse_digital_link(uri: str, reference_year: int = REFERENCE_YEAR) -> tuple[Element, ...]:
    """Return the element strings of a Digital Link URI: the primary key, its qualifiers, then the attributes.

    A GTIN of 8, 12 or 13 digits is filled to 14. Query keys that are no AI are ignored where they contain a
    letter and refused where they are all digits. Raises ParseError for anything else.

    >>> [str(e) for e in parse_digital_link("https://id.gs1.org/01/9506000134352/10/ABC?3103=000195")]
    ['(01)09506000134352', '(10)ABC', '(3103)000195']
    """
    if len(uri) > URI_LENGTH_MAX or not is_web_address(uri):
        raise ParseError(f"expected a GS1 Digital Link beginning with http:// or https://, found {uri[:60]!r}")
    try:
        parts = urlsplit(uri)
        has_host = bool(parts.hostname)
    except ValueError as error:
        raise ParseError(f"expected a web address, found {uri[:60]!r}: {error}") from None
    if not has_host:
        raise ParseError(f"expected a host name in the GS1 Digital Link, found {uri[:60]!r}")
    pairs = _path_pairs(parts.path)
    try:
        query = parse_qsl(parts.query, keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError as error:
        raise ParseError(f"expected key=value pairs after ?, found {parts.query[:60]!r}: {error}") from None
    seen = {ai for ai, _ in pairs}
    attributes: dict[str, str] = {}
    for key, value in query:
        ai = SHORT_NAMES.get(key, key)
        if ai not in application_identifiers():
            if is_digits(ai):
                raise ParseError(f"expected a GS1 Application Identifier as query key, found {key!r}")
            continue
        if ai in seen:
            raise ParseError(f"expected each Application Identifier once, found ({ai}) in the path and after the ?")
        attributes[ai] = value  # of repeated keys the last one counts
    return tuple(parse_element(ai, value, reference_year) for ai, value in [*pairs, *attributes.items()])


def build_digital_link(elements: Iterable[Element], stem: str = "https://id.gs1.org") -> str:
    """Return the canonical Digital Link URI of elements that hold exactly one primary key.

    >>> build_digital_link([parse_element("10", "A/1"), parse_element("01", "09506000134352")])
    'https://id.gs1.org/01/09506000134352/10/A%2F1'
    """
    values = {element.ai: element.value for element in elements}
    keys = [ai for ai in PRIMARY_KEYS if ai in values]
    if len(keys) != 1:
        raise ParseError(f"expected exactly one primary key such as (01), found {keys}; leave the others out")
    path = [keys[0], *(ai for ai in PRIMARY_KEYS[keys[0]] if ai in values)]
    query = sorted(ai for ai in values if ai not in path)
    text = stem.rstrip("/") + "".join(f"/{ai}/{quote(values[ai], safe='')}" for ai in path)
    return text + ("?" + "&".join(f"{ai}={quote(values[ai], safe='')}" for ai in query) if query else "")


def _path_pairs(path: str) -> list[tuple[str, str]]:
    segments = path.strip("/").split("/")
    for start, segment in enumerate(segments):
        if SHORT_NAMES.get(segment, segment) in PRIMARY_KEYS:
            pairs = _pairs(segments[start:])
            if pairs is not None:
                return pairs
    raise ParseError(
        f"expected /01/GTIN or another primary key with its qualifiers in order in the path, found {path[:80]!r}; "
        "compressed links are not read"
    )


def _pairs(segments: list[str]) -> list[tuple[str, str]] | None:
    if len(segments) % 2:
        return None
    pairs: list[tuple[str, str]] = []
    allowed: tuple[str, ...] = ()
    for index in range(0, len(segments), 2):
        ai = SHORT_NAMES.get(segments[index], segments[index])
        try:
            value = unquote(segments[index + 1], errors="strict")
        except UnicodeDecodeError:
            return None
        if index == 0:
            allowed = PRIMARY_KEYS[ai]
            if ai == "01" and is_digits(value) and len(value) in (8, 12, 13):
                value = value.zfill(14)
        elif ai in allowed:
            allowed = allowed[allowed.index(ai) + 1 :]
        else:
            return None
        pairs.append((ai, value))
    return pairs
