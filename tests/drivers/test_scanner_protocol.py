"""Scanner framing over any chunking, and keyboard wedges."""

from __future__ import annotations

import itertools
import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringup.drivers.protocol import keyboard
from ringup.drivers.protocol.errors import ParseError
from ringup.drivers.protocol.scanner import ScanData, ScanFramer, ScanNoise
from support import cpu_time

EXAMPLES = int(os.environ.get("RINGUP_FUZZ_EXAMPLES", "200"))
many = settings(max_examples=EXAMPLES, deadline=None)


def chunks_of(data, cuts):
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def feed_all(framer, chunks):
    return [event for chunk in chunks for event in framer.feed(chunk)]


@many
@given(
    st.lists(
        st.binary(min_size=1, max_size=30).map(lambda b: b.translate(None, b"\r\n\t\x02")).filter(bool), max_size=20
    ),
    st.sampled_from([b"\r", b"\n", b"\r\n", b"\t"]),
    st.sampled_from([b"", b"\x02"]),
    st.lists(st.integers(0, 5000), max_size=60),
)
def test_every_scan_comes_out_once_whatever_the_chunking(scans, suffix, prefix, cuts):
    stream = b"".join(prefix + scan + suffix for scan in scans)
    assert feed_all(ScanFramer(prefix=prefix), chunks_of(stream, cuts)) == [ScanData(scan) for scan in scans]


@many
@given(
    st.one_of(st.binary(max_size=400), st.text("ab\r\x02#END\x03", max_size=300).map(str.encode)),
    st.sampled_from([b"", b"\x02", b"##"]),
    st.sampled_from([(b"\r", b"\n"), (b"\x03",), (b"END",), ()]),
    st.lists(st.integers(0, 5000), max_size=60),
)
def test_any_bytes_in_any_chunking_give_the_same_events_and_lose_none(stream, prefix, suffixes, cuts):
    def run(chunks):
        framer = ScanFramer(prefix=prefix, suffixes=suffixes, size_max=50)
        return feed_all(framer, chunks) + framer.flush()

    whole = run([stream])
    assert run(chunks_of(stream, cuts)) == whole
    assert run([stream[i : i + 1] for i in range(len(stream))]) == whole
    if not prefix:
        rest = stream
        for suffix in suffixes:
            rest = rest.replace(suffix, b"")
        assert b"".join(event.data for event in whole) == rest or b"END" in suffixes


def test_a_burst_of_ten_thousand_scans_loses_nothing():
    codes = [f"{random.Random(7).randrange(10**12)}{index:05d}".encode() for index in range(10_000)]
    stream = b"".join(code + b"\r\n" for code in codes)
    rng = random.Random(1)
    framer, found, at = ScanFramer(), [], 0
    with cpu_time.at_most(5.0, "10,000 scans"):
        while at < len(stream):
            size = rng.randint(1, 64)
            found += framer.feed(stream[at : at + size])
            at += size
    assert [event.data for event in found] == codes


def test_naive_splitting_of_chunks_is_what_breaks_scans():
    """The control: taking each read for a scan, as naive drivers do, gives pieces."""
    chunks = [b"40063813", b"33931\r", b"\n963850", b"74\r\n"]
    assert [chunk.strip() for chunk in chunks] != [b"4006381333931", b"96385074"]
    assert feed_all(ScanFramer(), chunks) == [ScanData(b"4006381333931"), ScanData(b"96385074")]


def test_a_suffix_cut_in_two_ends_the_scan():
    stream = b"".join(b"%05dEND" % index for index in range(20))
    for size in range(1, 12):
        found = feed_all(ScanFramer(suffixes=(b"END",)), [stream[i : i + size] for i in range(0, len(stream), size)])
        assert [event.data for event in found] == [b"%05d" % index for index in range(20)]


def test_noise_is_told_and_the_next_scan_is_whole():
    framer = ScanFramer(prefix=b"\x02", size_max=20)
    events = framer.feed(b"junk\x02123\r456\r\x02789\x02ABC\r" + b"x" * 100 + b"\r\x02OK\r")
    assert [event.data for event in events if isinstance(event, ScanData)] == [b"123", b"ABC", b"OK"]
    assert {event.reason.split()[0] for event in events if isinstance(event, ScanNoise)} == {"no", "more", "the"}
    assert framer.feed(b"") == []
    assert framer.pending_size == 0


def test_suffixes_that_cannot_work_are_refused():
    for suffixes in ((b"",), (b"\r", b"\r\n")):
        with pytest.raises(ParseError):
            ScanFramer(suffixes=suffixes)


TYPABLE = {
    "us": "4006381333931 ]C1(01)abcXYZ-_=+[]{}\\|;:'\",.<>/?!@#$%^&*~`",
    "de": "4006381333931 ]C1(01)yzYZ-_=+[]{}\\|;:'\",.<>/?!@#$%&*~€äöüÄÖÜß^",
    "uk": '4006381333931 ]C1(01)£#~@"|\\¬€',
    "fr": "4006381333931 ]C1(01)azqwAZQWmM,;:!?./§éèçà@#{}[]|\\€",
}


@pytest.mark.parametrize("layout", sorted(TYPABLE))
@pytest.mark.parametrize("kind", ["reports", "events"])
def test_what_a_wedge_types_comes_out(layout, kind):
    text = TYPABLE[layout] + "\x1d\r"
    if kind == "reports":
        data, decoder = keyboard.encode_key_reports(text, layout), keyboard.KeyReportDecoder(layout)
    else:
        data, decoder = keyboard.encode_key_events(text, layout), keyboard.KeyEventDecoder(layout)
    assert "".join(decoder.feed(data[i : i + 5]) for i in range(0, len(data), 5)) == text


def test_the_wrong_layout_is_seen_in_the_text():
    """The control: the story of the German keyboard and the American scanner."""
    data = keyboard.encode_key_reports("XYZ-1", "us")
    assert keyboard.KeyReportDecoder("de").feed(data) == "XZYß1"


def test_keys_held_modifiers_and_rollover():
    decoder = keyboard.KeyReportDecoder("us")

    def report(modifiers, *usages):
        return bytes([modifiers, 0, *usages, *[0] * (6 - len(usages))])

    # A second key before the first is let go, as fast wedges do; the held key is not typed again.
    assert decoder.feed(report(0, 0x1E) + report(0, 0x1E, 0x1F) + report(0, 0x1F) + report(0)) == "12"
    assert decoder.feed(report(0, *[1] * 6)) == ""
    assert decoder.feed(report(1, 0x30) + report(0)) == "\x1d"  # Ctrl+]
    assert decoder.feed(report(0x10, 0x10) + report(0)) == "\r"  # right Ctrl+M
    assert decoder.feed(report(8, 0x1E) + report(0)) == ""


@settings(max_examples=EXAMPLES)
@given(st.binary(max_size=600), st.sampled_from(sorted(keyboard.LAYOUTS)))
@cpu_time.at_most(1.0)
def test_random_reports_and_events_never_crash(data, layout):
    for decoder in (keyboard.KeyReportDecoder(layout), keyboard.KeyEventDecoder(layout), keyboard.HidPosDecoder()):
        decoder.feed(data)
        decoder.reset()


@many
@given(st.lists(st.binary(min_size=1, max_size=200), max_size=6))
def test_hid_pos_scans_come_out(scans):
    stream = b"".join(keyboard.encode_hid_pos(scan, "]Q3") for scan in scans)
    decoder = keyboard.HidPosDecoder()
    found = [scan for i in range(0, len(stream), 7) for scan in decoder.feed(stream[i : i + 7])]
    assert [(scan.aim, scan.data) for scan in found] == [("]Q3", scan) for scan in scans]
