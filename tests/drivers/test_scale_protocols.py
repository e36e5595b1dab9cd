"""Scale frames: what they say, what damage does to them, and that no damage gives a number."""

from __future__ import annotations

import contextlib
import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringup.drivers.protocol import scale_dialog06 as dialog06
from ringup.drivers.protocol import scale_mtsics as mtsics
from ringup.drivers.protocol import scale_nci as nci
from ringup.drivers.protocol import scale_stgs as stgs
from ringup.drivers.protocol import scale_toledo8217 as toledo8217
from ringup.drivers.protocol import scale_toledo_continuous as continuous
from ringup.drivers.protocol.errors import ParseError
from ringup.drivers.protocol.scale import (
    ScaleDamage,
    ScaleReading,
    ScaleReply,
    ScaleStatus,
    add_parity,
    check_parity,
    format_weight,
    parse_weight,
)
from support import cpu_time

EXAMPLES = int(os.environ.get("RINGUP_FUZZ_EXAMPLES", "150"))
many = settings(max_examples=EXAMPLES, deadline=None)

STABLE, UNSTABLE, OVER, UNDER = ScaleStatus.STABLE, ScaleStatus.UNSTABLE, ScaleStatus.OVERLOAD, ScaleStatus.UNDERLOAD
ERROR, NO_WEIGHT = ScaleStatus.ERROR, ScaleStatus.NO_WEIGHT

# protocol -> (decoder strict about widths, parse function, encoder of a weight in grams)
PROTOCOLS = {
    "toledo8217": (
        lambda parity="N": toledo8217.Toledo8217Decoder("kg", "00.000", parity),
        toledo8217.parse_toledo8217,
        lambda grams: toledo8217.encode_toledo8217_weight(grams),
    ),
    "nci": (lambda parity="N": nci.NciDecoder(6, parity), nci.parse_nci, lambda grams: nci.encode_nci_weight(grams)),
    "mtsics": (
        lambda parity="N": mtsics.MtSicsDecoder(10, parity),
        mtsics.parse_mtsics,
        lambda grams: mtsics.encode_mtsics_weight(grams),
    ),
    "stgs": (
        lambda parity="N": stgs.StGsDecoder(8, parity),
        stgs.parse_stgs,
        lambda grams: stgs.encode_stgs(grams),
    ),
    "continuous": (
        lambda parity="N": continuous.ToledoContinuousDecoder(parity=parity),
        continuous.parse_toledo_continuous,
        lambda grams: continuous.encode_toledo_continuous(grams),
    ),
    "dialog06": (
        lambda parity="N": dialog06.Dialog06Decoder(parity),
        dialog06.parse_dialog06,
        lambda grams: dialog06.encode_dialog06_result(grams, 1299, dialog06.price_of(grams, 1299)),
    ),
}
ALL = sorted(PROTOCOLS)


def numbers(events):
    return [event.value for event in events if isinstance(event, ScaleReading) and event.value is not None]


VECTORS = [
    (toledo8217.parse_toledo8217, b"\x0201.235\r", (STABLE, 1235, 3, "kg")),
    (toledo8217.parse_toledo8217, b"\x0200.000\r", (STABLE, 0, 3, "kg")),
    (toledo8217.parse_toledo8217, b"\x0201.235N\r", (STABLE, 1235, 3, "kg")),
    (toledo8217.parse_toledo8217, b"\x02?a\r", (UNSTABLE, None, 0, "")),
    (toledo8217.parse_toledo8217, b"\x02?b\r", (OVER, None, 0, "")),
    (toledo8217.parse_toledo8217, b"\x02?d\r", (UNDER, None, 0, "")),
    (toledo8217.parse_toledo8217, b"\x02?D\r", (UNDER, None, 0, "")),
    (toledo8217.parse_toledo8217, b"\x02?h\r", (ERROR, None, 0, "")),
    (toledo8217.parse_toledo8217, b"\x02?p\r", (NO_WEIGHT, None, 0, "")),
    (nci.parse_nci, b"\n01.235KG\r\nS00\r\x03", (STABLE, 1235, 3, "kg")),
    (nci.parse_nci, b"\n  1.50lb\r\n00\r\x03", (STABLE, 150, 2, "lb")),
    (nci.parse_nci, b"\n 12.34LB\r0\x30\x03", (STABLE, 1234, 2, "lb")),
    (nci.parse_nci, b"\n-1.235KG\r\nS00\r\x03", (STABLE, -1235, 3, "kg")),
    (nci.parse_nci, b"\n00.000KG\r\nS20\r\x03", (STABLE, 0, 3, "kg")),
    (nci.parse_nci, b"\n01.235KG\r\nS10\r\x03", (UNSTABLE, 1235, 3, "kg")),
    (nci.parse_nci, b"\n01.235KG\r\nS02\r\x03", (OVER, None, 0, "")),
    (nci.parse_nci, b"\n01.235KG\r\nS01\r\x03", (UNDER, None, 0, "")),
    (nci.parse_nci, b"\n^^.^^^KG\r\nS02\r\x03", (OVER, None, 0, "")),
    (nci.parse_nci, b"\nS40\r\x03", (ERROR, None, 0, "")),
    (nci.parse_nci, b"\nS00\r\x03", (NO_WEIGHT, None, 0, "")),
    (nci.parse_nci, b"\n01.235KG\r\nS0p4\r\x03", (STABLE, 1235, 3, "kg")),
    (nci.parse_nci, b"\n1LB  2.5OZ\r\nS00\r\x03", (STABLE, 185, 1, "oz")),
    (mtsics.parse_mtsics, b"S S     100.00 g\r\n", (STABLE, 10000, 2, "g")),
    (mtsics.parse_mtsics, b"S D     129.07 g", (UNSTABLE, 12907, 2, "g")),
    (mtsics.parse_mtsics, b"S S      -0.50 g", (STABLE, -50, 2, "g")),
    (mtsics.parse_mtsics, b"S I", (UNSTABLE, None, 0, "")),
    (mtsics.parse_mtsics, b"S +", (OVER, None, 0, "")),
    (mtsics.parse_mtsics, b"SI -", (UNDER, None, 0, "")),
    (mtsics.parse_mtsics, b"S S Error 10b", (ERROR, None, 0, "")),
    (stgs.parse_stgs, b"ST,GS,+0001.235kg\r\n", (STABLE, 1235, 3, "kg")),
    (stgs.parse_stgs, b"US,NT,-  0.020kg", (UNSTABLE, -20, 3, "kg")),
    (stgs.parse_stgs, b"ST,+00123.45  g", (STABLE, 12345, 2, "g")),
    (stgs.parse_stgs, b"OL,GS,+9999999kg", (OVER, None, 0, "")),
    (stgs.parse_stgs, b"OL,+9999999E+19", (OVER, None, 0, "")),
    (stgs.parse_stgs, b"OL,-9999999E+19", (UNDER, None, 0, "")),
    (stgs.parse_stgs, b"QT,+00000123 PC", (STABLE, 123, 0, "pcs")),
    (stgs.parse_stgs, b"ST,GS,\x31,\xc5, 1.235 kg", (STABLE, 1235, 3, "kg")),
    (continuous.parse_toledo_continuous, b"\x02-0 001235000000\r", (STABLE, 1235, 3, "kg")),
    (continuous.parse_toledo_continuous, b"\x02-2 001235000100\r", (STABLE, -1235, 3, "kg")),
    (continuous.parse_toledo_continuous, b"\x02,8    123000000\r", (UNSTABLE, 123, 2, "kg")),
    (continuous.parse_toledo_continuous, b"\x02-4 001235000000\r", (OVER, None, 0, "")),
    (continuous.parse_toledo_continuous, b"\x02-6 001235000000\r", (UNDER, None, 0, "")),
    (continuous.parse_toledo_continuous, b"\x02-p 001235000000\r", (ERROR, None, 0, "")),
    (continuous.parse_toledo_continuous, b"\x02,  001235000000\r", (STABLE, 1235, 2, "lb")),
    (continuous.parse_toledo_continuous, b"\x02(0 001235000000\r", (STABLE, 123500, 0, "kg")),
    (continuous.parse_toledo_continuous, b"\x02-00001235000000\r", (STABLE, 1235, 4, "kg")),
    (dialog06.parse_dialog06, b"\x0202\x1b3\x1b01235\x1b001299\x1b001604\x03", (STABLE, 1235, 3, "kg")),
    (dialog06.parse_dialog06, b"\x0202\x1b0\x1b01025\x1b001299\x1b001604\x03", (STABLE, 18625, 3, "oz")),
    (dialog06.parse_dialog06, b"\x0209\x1b20\x03", (UNSTABLE, None, 0, "")),
    (dialog06.parse_dialog06, b"\x0209\x1b31\x03", (UNDER, None, 0, "")),
    (dialog06.parse_dialog06, b"\x0209\x1b32\x03", (OVER, None, 0, "")),
    (dialog06.parse_dialog06, b"\x0209\x1b11\x03", (ERROR, None, 0, "")),
]


@pytest.mark.parametrize(("parse", "frame", "expected"), VECTORS)
def test_vectors(parse, frame, expected):
    reading = parse(frame)
    assert (reading.status, reading.value, reading.decimals, reading.unit) == expected


def test_what_else_readings_say():
    reading = continuous.parse_toledo_continuous(b"\x02-1 001235000100\r")
    assert (reading.kind, reading.tare, reading.weight_grams, reading.is_sellable) == ("net", 100, 1235, True)
    reading = dialog06.parse_dialog06(b"\x0202\x1b3\x1b01235\x1b001299\x1b001604\x03")
    assert (reading.unit_price_minor, reading.price_minor) == (1299, dialog06.price_of(1235, 1299))
    assert mtsics.parse_mtsics(b"T S    100.00 g").tare == 10000
    assert not mtsics.parse_mtsics(b"T S    100.00 g").is_sellable
    assert mtsics.parse_mtsics(b"Z A") == ScaleReply("Z", True)
    assert mtsics.parse_mtsics(b"Z I").is_ok is False
    assert mtsics.parse_mtsics(b'I4 A "B123456789"').text == '"B123456789"'
    assert mtsics.parse_mtsics(b"ES").is_ok is False
    assert nci.parse_nci(b"\n?\r\x03").is_ok is False
    assert nci.parse_nci(b"\n01.235KG\r\nS0p4\r\x03").kind == "net"
    assert dialog06.parse_dialog06(b"\x0211\x1b247\x03").text == "checksums wanted 47"
    assert toledo8217.parse_toledo8217(b"\x0200.000\r").is_zero
    assert not toledo8217.parse_toledo8217(b"\x0200.000\r").is_sellable
    assert stgs.parse_stgs(b"ST,TR,+  0.020kg").tare == 20
    assert nci.parse_nci(b"\n  1.00lb\r\n00\r\x03").weight_mg == 453592
    assert stgs.parse_stgs(b"ST,GS,+001.2345kg").weight_grams is None


@pytest.mark.parametrize(
    ("parse", "frame"),
    [
        (toledo8217.parse_toledo8217, b"\x02001235\r"),  # no point in kilograms
        (toledo8217.parse_toledo8217, b"\x021.235\r"),  # a digit is missing
        (toledo8217.parse_toledo8217, b"\x0201,235\r"),
        (toledo8217.parse_toledo8217, b"\x02?ab\r"),
        (toledo8217.parse_toledo8217, b"01.235\r"),
        (toledo8217.parse_toledo8217, b"\x0201.23\xb5\r"),
        (nci.parse_nci, b"\n01.235KG\r\n\x03"),  # a weight without its status
        (nci.parse_nci, b"\n01.235KG\r\nS0\r\x03"),
        (nci.parse_nci, b"\n01.235KG\r\nS0p\r\x03"),  # announces a third status character
        (nci.parse_nci, b"\n01.235XX\r\nS00\r\x03"),
        (nci.parse_nci, b"\n1LB 16.5OZ\r\nS00\r\x03"),
        (mtsics.parse_mtsics, b"S S     100.00"),
        (mtsics.parse_mtsics, b"S S     100.00 parsec"),
        (mtsics.parse_mtsics, b"S S     1 00.0 g"),
        (mtsics.parse_mtsics, b"100.00 g"),
        (mtsics.parse_mtsics, b"S A     100.00 g"),
        (mtsics.parse_mtsics, b""),
        (stgs.parse_stgs, b"ST,GS,+  1.2 5kg"),
        (stgs.parse_stgs, b"ST,GS,+  1.235"),
        (stgs.parse_stgs, b"ST,GS,       kg"),
        (stgs.parse_stgs, b"QT,+00123.45  g"),
        (continuous.parse_toledo_continuous, b"\x02-0 001235000000\r\x01"),  # checksum
        (continuous.parse_toledo_continuous, b"\x02-0 00123500000\r"),
        (continuous.parse_toledo_continuous, b"\x02-0 0 1235000000\r"),
        (continuous.parse_toledo_continuous, b"\x02-0'001235000000\r"),  # custom unit
        (dialog06.parse_dialog06, b"\x0202\x1b3\x1b1235\x1b001299\x1b001604\x03"),
        (dialog06.parse_dialog06, b"\x0202\x1b9\x1b01235\x1b001299\x1b001604\x03"),
        (dialog06.parse_dialog06, b"\x0202\x1b3\x1b01235\x1b001299\x03"),
        (dialog06.parse_dialog06, b"\x0209\x1b99\x03"),
    ],
)
def test_what_is_no_weight(parse, frame):
    with pytest.raises(ParseError):
        parse(frame)


@many
@given(st.integers(-(10**9) + 1, 10**9 - 1), st.integers(0, 6))
def test_weights_come_back_from_text(value, decimals):
    if len(str(abs(value))) <= 9 - max(0, decimals - len(str(abs(value))) + 1):
        assert parse_weight(format_weight(value, decimals)) == (value, decimals)


@pytest.mark.parametrize("name", ALL)
@many
@given(weights=st.lists(st.integers(0, 29_999), min_size=1, max_size=8), sizes=st.lists(st.integers(1, 9), min_size=1))
def test_every_weight_comes_out_once_whatever_the_chunking(name, weights, sizes):
    make, _, encode = PROTOCOLS[name]
    stream, decoder, found, turn = b"".join(map(encode, weights)), make(), [], 0
    while stream:
        size = sizes[turn % len(sizes)]
        found += decoder.feed(stream[:size])
        stream, turn = stream[size:], turn + 1
    assert numbers(found) == weights
    assert not any(isinstance(event, ScaleDamage) for event in found)


@pytest.mark.parametrize("parity", ["E", "O"])
@pytest.mark.parametrize("name", ALL)
@many
@given(weight=st.integers(0, 29_999), where=st.integers(0, 10_000))
def test_a_flipped_bit_under_parity_gives_no_number(name, parity, weight, where):
    make, _, encode = PROTOCOLS[name]
    frame = bytearray(add_parity(encode(weight), parity))
    where %= len(frame) * 8
    frame[where // 8] ^= 1 << (where % 8)
    decoder = make(parity)
    if name == "stgs" and where // 8 == len(frame) - 1:
        return  # the LF after the CR: the line was whole
    assert numbers(decoder.feed(bytes(frame))) == []
    # And the link recovers: of the next frames at most one is lost with the damaged one.
    assert numbers(decoder.feed(add_parity(encode(5), parity) * 3))[-1:] == [5]


def test_without_parity_a_flipped_bit_gives_a_wrong_weight():
    """The control: 7-bit data read without checking parity sells 3.235 kg for 1.235 kg."""
    frame = bytearray(add_parity(toledo8217.encode_toledo8217_weight(1235), "E"))
    frame[2] ^= 2
    careless = toledo8217.Toledo8217Decoder()
    assert numbers(careless.feed(bytes(byte & 0x7F for byte in frame))) == [3235]
    careful = toledo8217.Toledo8217Decoder(parity="E")
    assert numbers(careful.feed(bytes(frame))) == []


@pytest.mark.parametrize("name", ALL)
@many
@given(weight=st.integers(1000, 29_999), where=st.integers(0, 10_000))
def test_a_lost_byte_gives_no_number(name, weight, where):
    """NCI and Dialog 06 have fixed fields; the decoders of the others are told their width."""
    make, _, encode = PROTOCOLS[name]
    frame = encode(weight)
    where %= len(frame)
    damaged = frame[:where] + frame[where + 1 :]
    found = numbers(make().feed(damaged + encode(7)))
    assert set(found) <= {weight, 7}, (damaged, found)


@pytest.mark.parametrize("name", ALL)
def test_half_a_frame_then_a_whole_one(name):
    make, _, encode = PROTOCOLS[name]
    for cut in range(1, len(encode(1235))):
        decoder = make()
        first = decoder.feed(encode(1235)[:cut])
        assert numbers(first) == ([1235] if name == "stgs" and encode(1235)[:cut].endswith(b"\r") else []), cut
        decoder.reset()
        assert numbers(decoder.feed(encode(2470))) == [2470]


@many
@given(weight=st.integers(0, 999_999), where=st.integers(0, 17), byte=st.integers(0, 255))
def test_the_checksum_finds_any_changed_byte(weight, where, byte):
    frame = bytearray(continuous.encode_toledo_continuous(weight))
    if frame[where] == byte:
        return
    frame[where] = byte
    with pytest.raises(ParseError):
        continuous.parse_toledo_continuous(bytes(frame), checksum=True)


def test_without_the_checksum_a_changed_digit_passes():
    """The control for the test above."""
    frame = continuous.encode_toledo_continuous(1235, checksum=False).replace(b"001235", b"009235")
    assert continuous.parse_toledo_continuous(frame).value == 9235


def digits_of(data):
    return bytes(byte & 0x7F for byte in data if 0x30 <= byte & 0x7F <= 0x39)


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=EXAMPLES * 3)
@given(data=st.data())
@cpu_time.at_most(1.0)
def test_random_and_mutated_bytes_never_crash_or_invent(name, data):
    make, parse, encode = PROTOCOLS[name]
    frame = encode(data.draw(st.integers(0, 29_999)))
    noise = data.draw(st.binary(max_size=80))
    at = data.draw(st.integers(0, len(frame)))
    stream = data.draw(st.sampled_from([noise, frame[:at] + noise + frame[at:], noise + frame, frame[:at] + noise]))
    parity = data.draw(st.sampled_from("NEOMS"))
    events = make(parity).feed(stream)
    with contextlib.suppress(ParseError):
        events.append(parse(stream))
    for event in events:
        if isinstance(event, ScaleReading) and event.value is not None and event.unit != "oz":
            shown = str(abs(event.value)).rstrip("0").encode()
            assert shown in digits_of(stream), (stream, event)


@pytest.mark.parametrize("name", ALL)
def test_a_mad_scale_costs_no_memory_and_little_time(name):
    decoder = PROTOCOLS[name][0]()
    rng = random.Random(3)
    for byte in (b"\x02", b"0", b"\x1b", b"\n", bytes(rng.randrange(256) for _ in range(64))):
        with cpu_time.at_most(3.0, f"400 times {byte * 10!r}"):
            for _ in range(400):
                decoder.feed(byte * 10)
                assert len(decoder.buffer) <= 1024


def test_parity_is_checked_both_ways():
    for parity in "EOMS":
        marked = add_parity(b"01.235", parity)
        assert check_parity(marked, parity) == b"01.235"
        with pytest.raises(ParseError, match=f"expected {parity} parity"):
            check_parity(bytes([marked[0] ^ 0x80]) + marked[1:], parity)
    with pytest.raises(ParseError, match="expected parity N"):
        toledo8217.Toledo8217Decoder(parity="X")


def test_commands_are_the_bytes_of_the_manuals():
    assert toledo8217.encode_toledo8217_request() == b"W"
    assert nci.encode_nci_request("zero") == b"Z\r"
    assert mtsics.encode_mtsics("clear_tare") == b"TAC\r\n"
    assert stgs.encode_stgs_request() == b"Q\r\n"
    assert dialog06.encode_dialog06_price(1299, 20, "Äpfel\x03") == b"\x04\x0205\x1b001299\x1b0020\x1bpfel         \x03"
    assert dialog06.REQUEST_RESULT == b"\x04\x05"
    for refused in (
        lambda: dialog06.encode_dialog06_price(1_000_000),
        lambda: mtsics.encode_mtsics("S\r\nZ"),
        lambda: nci.encode_nci_request("?"),
    ):
        with pytest.raises(ParseError):
            refused()
