"""ZVT bytes against tshark's dissector, against vectors of the specification, and against damage."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringup.drivers.protocol import zvt, zvt_commands, zvt_fields, zvt_reports, zvt_terminal
from ringup.drivers.protocol.card_numbers import mask_card_numbers
from ringup.drivers.protocol.errors import ParseError
from ringup.drivers.protocol.zvt_redact import redact_apdu
from ringup.drivers.protocol.zvt_serial import (
    SerialBlock,
    SerialControl,
    SerialDamage,
    SerialDecoder,
    encode_serial_block,
    parse_serial_block,
)
from support import cpu_time

EXAMPLES = int(os.environ.get("RINGUP_FUZZ_EXAMPLES", "200"))
many = settings(max_examples=EXAMPLES, deadline=None)
CARD = "4711 0099 9999 1234".replace(" ", "")
FULL_STATUS = zvt_terminal.encode_status_information(
    0,
    1999,
    trace=123,
    receipt_number=42,
    terminal_id="12345678",
    date="1122",
    time="120501",
    card_number=CARD,
    card_type=6,
    card_name="Mastercard",
)
MESSAGES = [
    ("O", zvt_commands.encode_registration()),
    ("I", zvt.encode_ack()),
    ("I", zvt_terminal.encode_completion(0, "12345678")),
    ("O", zvt.encode_ack()),
    ("O", zvt_commands.encode_authorisation(1999, payment_type=0x40)),
    ("I", zvt.encode_ack()),
    ("I", zvt_terminal.encode_intermediate_status(0x0A)),
    ("O", zvt.encode_ack()),
    ("I", FULL_STATUS),
    ("O", zvt.encode_ack()),
    ("I", zvt_terminal.encode_print_line("Summe")),
    ("I", zvt_terminal.encode_print_text_block(["HAENDLER", "x" * 300], "merchant")),
    ("I", zvt_terminal.encode_completion()),
    ("O", zvt_commands.encode_reversal(42)),
    ("O", zvt_commands.encode_refund(500)),
    ("O", zvt_commands.encode_end_of_day()),
    ("O", zvt_commands.encode_diagnosis()),
    ("I", zvt_terminal.encode_abort(0x6C)),
]


def find(tree, key):
    """All values of a key anywhere in tshark's tree."""
    if isinstance(tree, dict):
        return [value for name, value in tree.items() if name == key] + [x for v in tree.values() for x in find(v, key)]
    return [x for item in tree for x in find(item, key)] if isinstance(tree, list) else []


@pytest.fixture(scope="module")
def dissected(tmp_path_factory):
    if shutil.which("tshark") is None or shutil.which("text2pcap") is None:
        pytest.skip("tshark and text2pcap are missing: apt-get install tshark")
    folder = tmp_path_factory.mktemp("zvt")
    lines = "".join(f"{direction} 000000 {data.hex(' ')}\n" for direction, data in MESSAGES)
    (folder / "in.txt").write_text(lines)
    subprocess.run(
        ["text2pcap", "-q", "-D", "-T", "40000,20007", folder / "in.txt", folder / "out.pcap"],
        check=True,
        capture_output=True,
        timeout=60,
    )
    shown = subprocess.run(
        ["tshark", "-r", folder / "out.pcap", "-d", "tcp.port==20007,zvt", "-T", "json", "--no-duplicate-keys"],
        check=True,
        capture_output=True,
        timeout=60,
    )
    return [packet["_source"]["layers"] for packet in json.loads(shown.stdout)]


def test_tshark_reads_every_message_of_ours(dissected):
    assert len(dissected) == len(MESSAGES)
    for layers, (_, data) in zip(dissected, MESSAGES, strict=True):
        apdu = zvt.parse_apdu(data)
        controls = find(layers, "zvt.control_field")
        if apdu.is_ack:
            assert find(layers, "zvt.ccrc") == ["0x80"]
        else:
            assert controls == [f"0x{apdu.control:04x}"]
        assert find(layers, "zvt.length_field") == [str(len(apdu.data))]
        assert "_ws.malformed" not in layers


def test_tshark_sees_the_fields_we_wrote(dissected):
    def shown(index, key):
        return find(dissected[index], key)

    assert shown(0, "zvt.password") == ["00:00:00"]
    assert shown(0, "zvt.reg.config_byte") == ["0xbe"]
    assert shown(0, "zvt.tlv.permitted_command") == ["0x06d3"]
    assert shown(4, "zvt.amount") == ["1999"]
    assert shown(4, "zvt.cc") == ["0x0978"]
    assert shown(6, "zvt.int_status") == ["0x0a"]
    for key, value in {
        "zvt.result_code": "0x00",
        "zvt.amount": "1999",
        "zvt.trace_number": "000123",
        "zvt.time": "12:05:01",
        "zvt.date": "11/22",
        "zvt.terminal_id": "12345678",
        "zvt.card_number": CARD,
        "zvt.card_type": "6",
    }.items():
        assert shown(8, key) == [value], key
    assert shown(8, "zvt.card_name")[0].startswith("Mastercard")
    assert shown(11, "zvt.tlv.text_lines.line") == ["HAENDLER", "x" * 300]
    assert shown(14, "zvt.amount") == ["500"]
    assert shown(17, "zvt.result_code") == ["0x6c"]


def test_status_information_of_the_specification():
    """The fields of an authorisation as terminals send them, with a masked card number and unknown trailing data."""
    data = bytes.fromhex(
        "27 00 29 52 00 13 57 49 09 78 04 00 00 00 00 45 00 0B 00 00 87 0C 14 30 59 0D 03 26 0E 22 12"
        "17 00 01 19 70 22 F1 F0 67 23 30 EE EE EE EE 56 99 6F 87 00 27 8A 05 8C 00 3B 30 30 30 30 30 30 30 30"
        "8B F0 F9 67 69 72 6F 63 61 72 64 00 2A 34 35 35 36 30 30 30 30 35 30 38 31 32 20 20"
        "3C F0 F0 F2 4F 4B 99"
    )
    status = zvt_reports.parse_status_information(data)
    assert (status.result, status.amount_minor, status.currency, status.trace) == (0, 4500, 978, 87)
    assert (status.terminal_id, status.date, status.time, status.receipt_number) == ("52001357", "0326", "143059", 27)
    assert (status.card_bin, status.card_last_four, status.card_name) == ("672330", "6996", "girocard")
    assert (status.contract, status.authorisation, status.text) == ("4556000050812", "00000000", "OK")


def test_nothing_of_a_card_is_kept_but_bin_and_last_four():
    status = zvt_reports.parse_status_information(zvt.parse_apdu(FULL_STATUS).data)
    assert (status.card_bin, status.card_last_four) == ("471100", "1234")
    assert "9999" not in repr(status)
    assert CARD not in repr(redact_apdu(zvt.parse_apdu(FULL_STATUS)).data.hex())
    line = zvt_reports.parse_print_line(b"\x00PAN 4111111111111111").lines[0]
    assert line == "PAN ############1111"
    block = zvt_reports.parse_print_text_block(
        zvt.parse_apdu(zvt_terminal.encode_print_text_block(["4111 1111 1111 1111"])).data
    )
    assert block.lines == ("############1111",)
    tracks = bytes.fromhex("27 00 23 F0 F8 41 11 11 11 11 11 11 11 06 0D 60 0B 5A 09 41 11 11 11 11 11 11 11 FF")
    shown = redact_apdu(zvt.Apdu(zvt.STATUS_INFORMATION, tracks)).data.hex()
    assert "4111111111" not in shown
    assert len(shown) == 2 * len(tracks)


def test_masking_leaves_other_numbers_alone():
    """The control: an order number that is no card's stays readable."""
    assert mask_card_numbers("Order 4111111111111112") == "Order 4111111111111112"
    assert mask_card_numbers("Terminal 52001357 19,99") == "Terminal 52001357 19,99"


@many
@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=700)), max_size=8), st.data())
def test_apdus_come_out_of_any_chunking(pairs, data):
    stream = b"".join(zvt.encode_apdu(control, body) for control, body in pairs)
    decoder, found = zvt.ApduDecoder(), []
    while stream:
        size = data.draw(st.integers(1, 300))
        found += decoder.feed(stream[:size])
        stream = stream[size:]
    assert [(apdu.control, apdu.data) for apdu in found] == pairs
    assert decoder.pending_size == 0


@many
@given(st.lists(st.binary(max_size=60), max_size=8), st.lists(st.integers(1, 9), min_size=1), st.binary(max_size=3))
def test_serial_blocks_come_out_of_any_chunking(apdus, sizes, noise):
    noise = noise.translate(None, b"\x06\x10\x15")
    stream = b"".join(noise + encode_serial_block(apdu) + b"\x06" for apdu in apdus)
    decoder, found, turn = SerialDecoder(), [], 0
    while stream:
        size = sizes[turn % len(sizes)]
        found += decoder.feed(stream[:size])
        stream, turn = stream[size:], turn + 1
    assert [event.data for event in found if isinstance(event, SerialBlock)] == apdus
    assert sum(isinstance(event, SerialControl) for event in found) == len(apdus)
    assert not any(isinstance(event, SerialDamage) for event in found)


@many
@given(st.integers(0, 10**9))
def test_the_crc_finds_any_flipped_bit(where):
    block = bytearray(encode_serial_block(FULL_STATUS))
    where %= (len(block) - 4) * 8
    block[2 + where // 8] ^= 1 << (where % 8)
    assert not any(isinstance(event, SerialBlock) for event in SerialDecoder().feed(bytes(block)))
    with pytest.raises(ParseError):
        parse_serial_block(bytes(block))


def test_without_the_crc_a_flipped_bit_is_another_amount():
    """The control: the same bit, read by a till that does not look at the CRC."""
    block = bytearray(encode_serial_block(FULL_STATUS))
    at = block.index(b"\x19\x99")
    block[at] ^= 0x40
    careless = zvt.parse_apdu(bytes(block[2:-4]))
    assert zvt_reports.parse_status_information(careless.data).amount_minor == 5999
    assert not any(isinstance(event, SerialBlock) for event in SerialDecoder().feed(bytes(block)))


def test_a_block_that_lost_its_end_does_not_hide_the_next():
    first, second = encode_serial_block(FULL_STATUS), encode_serial_block(zvt.encode_ack())
    for cut in range(3, len(first) - 4):
        events = SerialDecoder().feed(first[:cut] + second * 2)
        assert SerialBlock(zvt.encode_ack()) in events, cut
        assert SerialBlock(FULL_STATUS) not in events


PARSERS = {
    zvt.STATUS_INFORMATION: zvt_reports.parse_status_information,
    zvt.COMPLETION: zvt_reports.parse_completion,
    zvt.ABORT: zvt_reports.parse_abort,
    zvt.INTERMEDIATE_STATUS: zvt_reports.parse_intermediate_status,
    zvt.PRINT_LINE: zvt_reports.parse_print_line,
    zvt.PRINT_TEXT_BLOCK: zvt_reports.parse_print_text_block,
}


@settings(max_examples=EXAMPLES * 5)
@given(
    st.sampled_from([data for direction, data in MESSAGES if direction == "I"]),
    st.integers(0, 400),
    st.integers(0, 400),
    st.binary(max_size=40),
)
@cpu_time.at_most(1.0)
def test_random_and_mutated_data_never_crash_or_invent(message, start, end, noise):
    apdu = zvt.parse_apdu(message)
    data = apdu.data[:start] + noise + apdu.data[end:]
    zvt.ApduDecoder().feed(message[:start] + noise)
    SerialDecoder().feed(encode_serial_block(message)[:start] + noise)
    assert len(redact_apdu(zvt.Apdu(apdu.control, data)).data) == len(data)
    for parse in PARSERS.values():
        try:
            result = parse(data)
        except ParseError:
            continue
        if isinstance(result, zvt_reports.StatusInformation) and result.amount_minor is not None:
            assert f"{result.amount_minor:012d}" in data.hex()


@pytest.mark.parametrize(
    "refused",
    [
        lambda: zvt_commands.encode_authorisation(0),
        lambda: zvt_commands.encode_authorisation(-5),
        lambda: zvt_commands.encode_authorisation(10**12),
        lambda: zvt_commands.encode_authorisation(100, "XXX"),
        lambda: zvt_commands.encode_registration("12345"),
        lambda: zvt_commands.encode_reversal(10_000),
        lambda: zvt.parse_apdu(b"\x06\x01"),
        lambda: zvt.parse_apdu(b"\x06\x01\x00\x00"),
        lambda: zvt_fields.parse_bcd(b"\x1a"),
        lambda: zvt_fields.parse_bitmaps(b"\x04\x00"),
        lambda: zvt_fields.parse_bitmaps(b"\x99"),
        lambda: zvt_fields.parse_bitmaps(b"\x22\xf0"),
        lambda: zvt_fields.parse_tlv(b"\x1f"),
        lambda: zvt_fields.parse_tlv(b"\x07\x83\x00"),
        lambda: zvt_reports.parse_abort(b""),
    ],
)
def test_what_is_refused(refused):
    with pytest.raises(ParseError):
        refused()


def test_acknowledgements():
    assert zvt.parse_apdu(bytes.fromhex("80 00 00")).is_ack
    assert zvt.parse_apdu(bytes.fromhex("84 00 00")).is_ack
    refusal = zvt.parse_apdu(zvt.encode_nack(0x83))
    assert (refusal.is_ack, refusal.error) == (False, 0x83)
    assert zvt_reports.parse_completion(b"\x19\x03").needs_initialisation
    assert zvt_reports.parse_abort(bytes.fromhex("6F 09 78")).currency == 978
    assert zvt.parse_apdu(zvt.encode_apdu(0x0601, bytes(255))).data == bytes(255)
    assert zvt.encode_apdu(0x0601, bytes(255))[2:5] == b"\xff\xff\x00"
