"""Who does not know the key of the indexes finds no ids that share a hash; with a known key it is easy.

RINGUP_EXAMPLES sets how many keys are tried.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringup.native.index import RowIndex, hash_bytes_by, hash_int_by, set_index_key

KEYS = int(os.environ.get("RINGUP_EXAMPLES", "3"))
IDS = 4000  # two segments, half full
STEPS_MAX = 200  # random hashes take about 40 at this load; all ids in one chain take 4,000
ALIKE_MAX = 2  # two of 4,000 random hashes agree once in 500 runs, three never
ONES = (1 << 64) - 1
# What the source says, and once said of ids: multipliers of known mixing functions, and the ends of the range.
CONSTANTS = (
    0x9E3779B97F4A7C15,
    0x94D049BB133111EB,
    0xBF58476D1CE4E5B9,
    0xFF51AFD7ED558CCD,
    0xC4CEB9FE1A85EC53,
    0,
    1,
    1 << 63,
    ONES,
)


def _words(*words: int) -> bytes:
    return b"".join(word.to_bytes(8, "little") for word in words)


def _constants_first() -> Iterator[bytes]:
    """Ids that begin with a constant: with the constant 0x9e37... all of them once had one hash."""
    for number in range(IDS):
        yield _words(CONSTANTS[number % len(CONSTANTS)], number * 0xD1B54A32D192ED03 & ONES)


def _constants_last() -> Iterator[bytes]:
    for number in range(IDS):
        yield _words(number << 20, CONSTANTS[number % len(CONSTANTS)])


def _old_constant() -> Iterator[bytes]:
    for number in range(IDS):
        yield _words(CONSTANTS[0], number)


def _counters() -> Iterator[bytes]:
    for number in range(IDS):
        yield number.to_bytes(16, "big") if number & 1 else number.to_bytes(16, "little")


def _high_bits() -> Iterator[bytes]:
    """Words whose products have few bits."""
    for number in range(IDS):
        yield _words(1 << number % 64, (number // 64) << 52)


def _equal_words() -> Iterator[bytes]:
    for number in range(IDS):
        yield _words(number, number ^ CONSTANTS[number % 2])


def _long_codes() -> Iterator[bytes]:
    """Blocks before the last that are constants: with a known key they would forget what came before."""
    for number in range(IDS):
        yield _words(number, 7, CONSTANTS[number % len(CONSTANTS)], CONSTANTS[number // 9 % len(CONSTANTS)], 0, 0)


def _blind_to(key: bytes) -> Iterator[bytes]:
    """Ids that all have one hash under this key: the first factor is zero."""
    for number in range(IDS):
        yield key[:8] + number.to_bytes(8, "little")


ATTACKS = (
    _constants_first,
    _constants_last,
    _old_constant,
    _counters,
    _high_bits,
    _equal_words,
    _long_codes,
)


def _steps(hashes: Iterator[int]) -> int:
    """The longest search after so many different ids were added."""
    index, alike = RowIndex(), Counter[int]()
    for row, one in enumerate(islice(hashes, IDS)):
        index.add(one, row)
        alike[one >> 32] += 1  # what the index compares
    assert len(index) == IDS
    return index.steps_max if alike.most_common(1)[0][1] <= ALIKE_MAX else IDS


def _key(seed: int) -> bytes:
    return random.Random(seed).randbytes(32)


@pytest.mark.parametrize("attack", ATTACKS)
@settings(max_examples=KEYS)
@given(seed=st.integers(0, 1 << 64))
def test_chosen_ids_spread(attack: Callable[[], Iterator[bytes]], seed: int) -> None:
    ids = list(islice(attack(), IDS))
    assert len(set(ids)) == IDS
    key = _key(seed)
    assert _steps(hash_bytes_by(key, one) for one in ids) < STEPS_MAX


@settings(max_examples=KEYS)
@given(seed=st.integers(0, 1 << 64))
def test_ids_made_for_another_key_spread_and_for_the_known_one_do_not(seed: int) -> None:
    """The second half is the control: with a key that all know, an attack is one line."""
    known, own = _key(seed), _key(seed + 1)
    assert _steps(hash_bytes_by(own, one) for one in _blind_to(known)) < STEPS_MAX
    assert _steps(hash_bytes_by(known, one) for one in _blind_to(known)) >= IDS - 1


@settings(max_examples=KEYS)
@given(seed=st.integers(0, 1 << 64))
def test_a_size_cannot_be_made_good(seed: int) -> None:
    """The same two words, read from a short code and from 16 bytes, with the size's change laid over the last word.

    They once had one hash under every key: the size stood beside a word of the caller's.
    """
    key = _key(seed)
    for number in range(200):
        word = number * 0x0101010101010101 & ONES
        short = {1: (number, 0), 4: (word >> 32, word >> 32), 8: (word, word)}
        for size, (first, last) in short.items():
            code = first.to_bytes(8, "little")[:size]
            assert hash_bytes_by(key, code) != hash_bytes_by(key, _words(first, last ^ size ^ 16))


def _unmixed(word: int) -> int:
    """The word that murmur3's finalizer, which all know, makes `word` of."""
    for factor in (0xC4CEB9FE1A85EC53, 0xFF51AFD7ED558CCD):
        word ^= word >> 33
        word = word * pow(factor, -1, 1 << 64) & ONES
    return word ^ word >> 33


WORDS: dict[str, Callable[[int], int]] = {
    "rows": lambda n: n,
    "items and places": lambda n: (n // 80) << 32 ^ (n % 80),
    "receipts": lambda n: (n % 7) << 40 ^ (n // 7),
    "high halves": lambda n: n << 32,
    "top bits": lambda n: n << 51,
    "swapped halves": lambda n: (n >> 1 | (n >> 1) << 32) ^ (n & 1) << 63,
    "multiples": lambda n: n * 0x9E3779B97F4A7C15 & ONES,
    "one hash of murmur3": lambda n: _unmixed(77 << 32 | n),
}


@pytest.mark.parametrize("kind", list(WORDS))
@settings(max_examples=KEYS)
@given(seed=st.integers(0, 1 << 64))
def test_chosen_words_spread(kind: str, seed: int) -> None:
    words = [WORDS[kind](n) for n in range(IDS)]
    assert len(set(words)) == IDS
    key = _key(seed)
    assert _steps(hash_int_by(key, word) for word in words) < STEPS_MAX


def test_a_key_has_32_bytes() -> None:
    with pytest.raises(ValueError, match="32 bytes, found 16"):
        hash_bytes_by(b"k" * 16, b"id")


def test_a_key_is_not_changed_under_an_index() -> None:
    RowIndex().add(1, 1)
    with pytest.raises(RuntimeError, match="before the first index"):
        set_index_key(b"k" * 32)


def test_each_process_has_a_key_of_its_own() -> None:
    """Two processes search one id along two ways."""
    program = "from ringup.native.index import own_hash; print(own_hash(b'i' * 16))"
    found = {subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout for _ in "12"}
    assert len(found) == 2
