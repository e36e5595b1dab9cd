"""The table of GS1 Application Identifiers: lengths, character sets and what each component means.

Source: GS1 General Specifications section 3 and figure 7.8.4-2 (predefined lengths). One line is
`AI[-LAST] FORMAT TITLE`. FORMAT is components joined by `+`: a character set (N digits, X set 82, Y set 39,
Z file-safe base64), a length `n` or `n..m`, and after a colon the checks of the component. `?` at the end makes a
component optional.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

_TABLE = """
00 N18:csum SSCC
01 N14:csum GTIN
02 N14:csum CONTENT
03 N14:csum MTO GTIN
10 X1..20 BATCH/LOT
11 N6:date PROD DATE
12 N6:date DUE DATE
13 N6:date PACK DATE
15 N6:date BEST BEFORE or BEST BY
16 N6:date SELL BY
17 N6:date USE BY or EXPIRY
20 N2 VARIANT
21 X1..20 SERIAL
22 X1..20 CPV
235 X1..28 TPX
240-241 X1..30 ADDITIONAL ID|CUST. PART No.
242 N1..6 MTO VARIANT
243 X1..20 PCN
250-251 X1..30 SECONDARY SERIAL|REF. TO SOURCE
253 N13:csum+X1..17? GDTI
254 X1..20 GLN EXTENSION COMPONENT
255 N13:csum+N1..12? GCN
30 N1..8:int VAR. COUNT
3100-3105 N6:decimal NET WEIGHT (kg)
3110-3115 N6:decimal LENGTH (m)
3120-3125 N6:decimal WIDTH (m)
3130-3135 N6:decimal HEIGHT (m)
3140-3145 N6:decimal AREA (m²)
3150-3155 N6:decimal NET VOLUME (l)
3160-3165 N6:decimal NET VOLUME (m³)
3200-3205 N6:decimal NET WEIGHT (lb)
3210-3215 N6:decimal LENGTH (in)
3220-3225 N6:decimal LENGTH (ft)
3230-3235 N6:decimal LENGTH (yd)
3240-3245 N6:decimal WIDTH (in)
3250-3255 N6:decimal WIDTH (ft)
3260-3265 N6:decimal WIDTH (yd)
3270-3275 N6:decimal HEIGHT (in)
3280-3285 N6:decimal HEIGHT (ft)
3290-3295 N6:decimal HEIGHT (yd)
3300-3305 N6:decimal GROSS WEIGHT (kg)
3310-3315 N6:decimal LENGTH (m), log
3320-3325 N6:decimal WIDTH (m), log
3330-3335 N6:decimal HEIGHT (m), log
3340-3345 N6:decimal AREA (m²), log
3350-3355 N6:decimal VOLUME (l), log
3360-3365 N6:decimal VOLUME (m³), log
3370-3375 N6:decimal KG PER m²
3400-3405 N6:decimal GROSS WEIGHT (lb)
3410-3415 N6:decimal LENGTH (in), log
3420-3425 N6:decimal LENGTH (ft), log
3430-3435 N6:decimal LENGTH (yd), log
3440-3445 N6:decimal WIDTH (in), log
3450-3455 N6:decimal WIDTH (ft), log
3460-3465 N6:decimal WIDTH (yd), log
3470-3475 N6:decimal HEIGHT (in), log
3480-3485 N6:decimal HEIGHT (ft), log
3490-3495 N6:decimal HEIGHT (yd), log
3500-3505 N6:decimal AREA (in²)
3510-3515 N6:decimal AREA (ft²)
3520-3525 N6:decimal AREA (yd²)
3530-3535 N6:decimal AREA (in²), log
3540-3545 N6:decimal AREA (ft²), log
3550-3555 N6:decimal AREA (yd²), log
3560-3565 N6:decimal NET WEIGHT (troy oz)
3570-3575 N6:decimal NET VOLUME (oz)
3600-3605 N6:decimal NET VOLUME (qt)
3610-3615 N6:decimal NET VOLUME (gal.)
3620-3625 N6:decimal VOLUME (qt), log
3630-3635 N6:decimal VOLUME (gal.), log
3640-3645 N6:decimal NET VOLUME (in³)
3650-3655 N6:decimal NET VOLUME (ft³)
3660-3665 N6:decimal NET VOLUME (yd³)
3670-3675 N6:decimal VOLUME (in³), log
3680-3685 N6:decimal VOLUME (ft³), log
3690-3695 N6:decimal VOLUME (yd³), log
37 N1..8:int COUNT
3900-3909 N1..15:decimal AMOUNT
3910-3919 N3:currency+N1..15:decimal AMOUNT
3920-3929 N1..15:decimal PRICE
3930-3939 N3:currency+N1..15:decimal PRICE
3940-3943 N4:decimal PRCNT OFF
3950-3955 N6:decimal PRICE/UoM
400-401 X1..30 ORDER NUMBER|GINC
402 N17:csum GSIN
403 X1..30 ROUTE
410 N13:csum SHIP TO LOC
411 N13:csum BILL TO
412 N13:csum PURCHASE FROM
413 N13:csum SHIP FOR LOC
414 N13:csum LOC No.
415 N13:csum PAY TO
416 N13:csum PROD/SERV LOC
417 N13:csum PARTY
420 X1..20 SHIP TO POST
421 N3+X1..9 SHIP TO POST
422 N3 ORIGIN
423 N3..15:triples COUNTRY - INITIAL PROCESS
424 N3 COUNTRY - PROCESS
425 N3..15:triples COUNTRY - DISASSEMBLY
426 N3 COUNTRY - FULL PROCESS
427 X1..3 ORIGIN SUBDIVISION
4300-4301 X1..35 SHIP TO COMP|SHIP TO NAME
4302-4306 X1..70 SHIP TO ADD1|SHIP TO ADD2|SHIP TO SUB|SHIP TO LOC|SHIP TO REG
4307 X2:alpha2 SHIP TO COUNTRY
4308 X1..30 SHIP TO PHONE
4309 N20 SHIP TO GEO
4310-4311 X1..35 RTN TO COMP|RTN TO NAME
4312-4316 X1..70 RTN TO ADD1|RTN TO ADD2|RTN TO SUB|RTN TO LOC|RTN TO REG
4317 X2:alpha2 RTN TO COUNTRY
4318 X1..20 RTN TO POST
4319 X1..30 RTN TO PHONE
4320 X1..35 SRV DESCRIPTION
4321-4323 N1:yesno DANGEROUS GOODS|AUTH LEAVE|SIG REQUIRED
4324-4325 N10:datetime NBEF DEL DT|NAFT DEL DT
4326 N6:date REL DATE
4330-4333 N6+X1:minus? MAX TEMP F|MAX TEMP C|MIN TEMP F|MIN TEMP C
7001 N13 NSN
7002 X1..30 MEAT CUT
7003 N10:datetime EXPIRY TIME
7004 N1..4:int ACTIVE POTENCY
7005 X1..12 CATCH AREA
7006 N6:date FIRST FREEZE DATE
7007 N6:date+N6:enddate? HARVEST DATE
7008 X1..3 AQUATIC SPECIES
7009 X1..10 FISHING GEAR TYPE
7010 X1..2 PROD METHOD
7011 N6:date+N4:time? TEST BY DATE
7020 X1..20 REFURB LOT
7021 X1..20 FUNC STAT
7022 X1..20 REV STAT
7023 X1..30 GIAI - ASSEMBLY
7030-7039 N3+X1..27 PROCESSOR
7040 N1+X3 UIC+EXT
7041 X1..4 UFRGT UNIT TYPE
710-717 X1..20 NHRN PZN|NHRN CIP|NHRN CN|NHRN DRN|NHRN AIM|NHRN NDC|NHRN AIC|NHRN SRN
7230-7239 X2+X1..28 CERT
7240 X1..20 PROTOCOL
7241 N2 AIDC MEDIA TYPE
7242 X1..25 VCN
7250 N8:longdate DOB
7251 N12:longdatetime DOB TIME
7252 N1 BIO SEX
7253-7254 X1..40 FAMILY NAME|GIVEN NAME
7255 X1..10 SUFFIX
7256 X1..90 FULL NAME
7257 X1..70 PERSON ADDR
7258 N1+X1:slash+N1 BIRTH SEQUENCE
7259 X1..40 BABY
8001 N14 DIMENSIONS
8002 X1..20 CMT No.
8003 N1:zero+N13:csum+X1..16? GRAI
8004 X1..30 GIAI
8005 N6 PRICE PER UNIT
8006 N14:csum+N4:pieces ITIP
8007 X1..34 IBAN
8008 N8..12:prodtime PROD TIME
8009 X1..50 OPTSEN
8010 Y1..30 CPID
8011 N1..12 CPID SERIAL
8012 X1..20 VERSION
8013 X1..25 GMN
8014 X1..25 MUDI
8017-8018 N18:csum GSRN - PROVIDER|GSRN - RECIPIENT
8019 N1..10 SRIN
8020 X1..25 REF No.
8026 N14:csum+N4:pieces ITIP CONTENT
8030 Z1..90 DIGSIG
8040-8041 N15 IMEI|IMEI2
8042 N32 ESIM
8043 N18..20 PSIM
8110 X1..70 COUPON CODE
8111 N4:int POINTS
8112 X1..70 COUPON CODE
8200 X1..70 PRODUCT URL
90 X1..30 INTERNAL
91-99 X1..90 INTERNAL
"""

# First two digits -> length of the whole element string, AI included. Only these may stand without a separator.
PREDEFINED_LENGTHS = {
    "00": 20,
    "01": 16,
    "02": 16,
    "03": 16,
    "04": 18,
    **{f"{ai}": 8 for ai in range(11, 20)},
    "20": 4,
    **{f"{ai}": 10 for ai in range(31, 37)},
    "41": 16,
}

_CHARACTERS = {
    "N": re.compile(r"[0-9]*"),
    "X": re.compile(r"[!\"%&'()*+,\-./0-9:;<=>?A-Z_a-z]*"),
    "Y": re.compile(r"[#\-/0-9A-Z]*"),
    "Z": re.compile(r"[\-0-9A-Z_a-z]*"),
}
CHARACTER_SET_NAMES = {"N": "digits", "X": "GS1 set 82", "Y": "GS1 set 39", "Z": "file-safe base64"}
_COMPONENT = re.compile(r"([NXYZ])(\d+)(?:\.\.(\d+))?(?::([a-z0-9]+))?(\?)?")


@dataclass(frozen=True, slots=True)
class Component:
    """One component of an AI's data: its character set, length range, check, and whether it may be missing."""

    charset: str
    length_min: int
    length_max: int
    check: str
    is_optional: bool

    def allows(self, text: str) -> bool:
        """Return True if every character of `text` is in the component's character set."""
        return _CHARACTERS[self.charset].fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class ApplicationIdentifier:
    """One AI: its digits, the data title of the General Specifications, and its components."""

    ai: str
    title: str
    components: tuple[Component, ...]

    @property
    def needs_separator(self) -> bool:
        """True if a separator must follow the data where another element string comes after it."""
        return self.ai[:2] not in PREDEFINED_LENGTHS

    @property
    def length_min(self) -> int:
        """Fewest characters of data."""
        return sum(part.length_min for part in self.components if not part.is_optional)

    @property
    def length_max(self) -> int:
        """Most characters of data."""
        return sum(part.length_max for part in self.components)


def _component(text: str) -> Component:
    match = _COMPONENT.fullmatch(text)
    assert match is not None, text
    charset, low, high, check, optional = match.groups()
    return Component(charset, int(low), int(high or low), check or "", optional is not None)


@cache
def application_identifiers() -> dict[str, ApplicationIdentifier]:
    """Return the table, AI -> ApplicationIdentifier; built once, at the first use."""
    table: dict[str, ApplicationIdentifier] = {}
    for line in _TABLE.strip().splitlines():
        span, format_text, titles = line.split(" ", 2)
        first, _, last = span.partition("-")
        names = titles.split("|")
        components = tuple(_component(part) for part in format_text.split("+"))
        for number in range(int(first), int(last or first) + 1):
            ai = str(number).zfill(len(first))
            title = names[0] if len(names) == 1 else names[number - int(first)]
            table[ai] = ApplicationIdentifier(ai, title, components)
    return table


def find_application_identifier(text: str) -> ApplicationIdentifier | None:
    """Return the AI that `text` begins with, or None. No AI is the beginning of another."""
    table = application_identifiers()
    return next((table[text[:size]] for size in (2, 3, 4) if text[:size] in table), None)
