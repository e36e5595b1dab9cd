"""Codes that carry a price or a quantity, read by patterns.

A pattern has a digit where that digit must stand, a point for any digit, and in braces the digits of
the value: {NNDDD} is a number of two digits and three decimals.  The code with its value zeroed and
a fresh check digit is the barcode that the item has.
"""

from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcpy, memset

from ringup.native.catalog cimport Catalog
from ringup.native.command cimport MALFORMED, Command, ok, refuse
from ringup.native.contract cimport (
    CODE_VALUE_QUANTITY,
    CODE_VALUE_UNSPECIFIED,
    RESULT_CODE_BARCODE_INVALID,
    RESULT_CODE_FIELD_INVALID,
    RESULT_CODE_ITEM_UNKNOWN,
    RESULT_CODE_OK,
    RESULT_CODE_TOO_MANY,
    SYMBOLOGY_EAN_8,
    SYMBOLOGY_EAN_13,
    SYMBOLOGY_ITF_14,
    SYMBOLOGY_UNSPECIFIED,
    SYMBOLOGY_UPC_A,
    CodePattern_pattern,
    CodePattern_symbology,
    CodePattern_value,
    ListCodePatternsResponse_patterns,
    PutCodePatternsRequest_patterns,
)
from ringup.native.currency cimport currency_exponent
from ringup.native.limits cimport PRICE_MINOR_MAX, QTY_MILLI_MAX
from ringup.native.money cimport int128
from ringup.native.table cimport Table
from ringup.native.wire cimport (
    Reader,
    Span,
    Writer,
    begin_message,
    end_message,
    next_field,
    read_int,
    read_span,
    reader_of,
    skip_field,
    span_at,
    write_int,
    write_span,
)

cdef struct PatternIn:
    Span text
    int64_t value
    int64_t symbology
    bint bad


cdef inline bint _is_digit(char byte) noexcept nogil:
    return 48 <= byte <= 57


cdef char _check_digit(const char* digits, int64_t size) noexcept nogil:
    """GS1 General Specifications 7.9: weights 3, 1, 3, ... from the right."""
    cdef int64_t at, total = 0
    for at in range(size):
        total += (digits[size - 1 - at] - 48) * (1 if at % 2 else 3)
    return <char>(48 + (10 - total % 10) % 10)


cdef int64_t pattern_read(Pattern* pattern, Span text, int64_t checked_size) noexcept nogil:
    """Take a pattern apart; returns -1, or the place of the byte that cannot stand there."""
    cdef int64_t at
    cdef char byte
    cdef int braces = 0  # 1 within them, 2 behind them
    memset(pattern, 0, sizeof(Pattern))
    pattern.checked_size = checked_size
    for at in range(text.size):
        byte = text.data[at]
        if braces == 0 and byte == 123:
            braces = 1
            pattern.value_at = pattern.size
            continue
        if braces == 1 and byte == 125 and pattern.whole_digits + pattern.decimal_digits:
            braces = 2
            continue
        if pattern.size == CODE_DIGITS_MAX:
            return at
        if braces == 1:
            if byte == 78 and pattern.decimal_digits == 0:  # N
                pattern.whole_digits += 1
            elif byte == 68:  # D
                pattern.decimal_digits += 1
            else:
                return at
            if pattern.whole_digits + pattern.decimal_digits > VALUE_DIGITS_MAX:
                return at
        elif _is_digit(byte):
            pattern.digits[pattern.size] = <uint8_t>byte
        elif byte != 46:
            return at
        pattern.size += 1
    # A code may be longer by its check digit alone.
    if braces == 1 or text.size == 0 or (checked_size and not checked_size - 1 <= pattern.size <= checked_size):
        return text.size
    return -1


cdef ReadOutcome code_read(const Pattern* pattern, Span code, Reading* reading) noexcept nogil:
    """Read a code under a pattern."""
    cdef int64_t at, digits = pattern.whole_digits + pattern.decimal_digits
    if code.size != (pattern.checked_size if pattern.checked_size else pattern.size) or code.size > CODE_DIGITS_MAX:
        return READ_OTHER
    for at in range(code.size):
        if not _is_digit(code.data[at]):
            return READ_OTHER
    for at in range(pattern.size):
        if pattern.digits[at] and <char>pattern.digits[at] != code.data[at]:
            return READ_OTHER
    if pattern.checked_size and _check_digit(code.data, code.size - 1) != code.data[code.size - 1]:
        return READ_INVALID
    memcpy(reading.base_code, code.data, code.size)
    reading.base_size = code.size
    reading.value, reading.value_digits = 0, digits
    for at in range(pattern.value_at, pattern.value_at + digits):
        reading.value = reading.value * 10 + (code.data[at] - 48)
        reading.base_code[at] = 48
    if pattern.checked_size and digits:
        reading.base_code[code.size - 1] = _check_digit(reading.base_code, code.size - 1)
    return READ_OK


def read_code(code: bytes, pattern: bytes, checked_size: int = 0) -> tuple[str, str] | None:
    """(value, base code) of a code under a pattern; None for a code that does not scan.

    `checked_size` is the number of digits of a symbology with a check digit (8, 12, 13 or 14), else 0. A pattern
    that is shorter than such a code says how it begins, one without braces has the value 0, and one whose value
    reaches over the check digit gets a fresh one all the same. Raises ValueError for a pattern that is none.
    """
    cdef Pattern parts
    cdef Reading reading
    cdef bytes whole = pattern + b"." * (checked_size - len(pattern.translate(None, b"{}")))
    cdef int64_t wrong = pattern_read(&parts, span_at(<const char*>whole, len(whole)), checked_size)
    if wrong >= 0:
        raise ValueError(
            f"pattern: expected digits, points and one {{N..D..}} of a code's size, found {pattern.decode()!r},"
            f" wrong at {wrong}"
        )
    if code_read(&parts, span_at(<const char*>code, len(code)), &reading) != READ_OK:
        return None
    decimals = parts.decimal_digits
    value = f"{reading.value:0{decimals + 1}}"
    if decimals:
        value = f"{value[:len(value) - decimals]}.{value[len(value) - decimals:]}"
    return value, (<char*>reading.base_code)[:reading.base_size].decode()


cdef int64_t _checked_size(int64_t symbology) noexcept nogil:
    if symbology == SYMBOLOGY_EAN_8:
        return 8
    if symbology == SYMBOLOGY_UPC_A:
        return 12
    if symbology == SYMBOLOGY_EAN_13:
        return 13
    return 14 if symbology == SYMBOLOGY_ITF_14 else 0


cdef PatternIn _read_pattern(Span body) noexcept nogil:
    cdef PatternIn given
    cdef Reader reader = reader_of(body)
    memset(&given, 0, sizeof(PatternIn))
    while next_field(&reader):
        if reader.field == CodePattern_pattern:
            given.text = read_span(&reader)
        elif reader.field == CodePattern_value:
            given.value = read_int(&reader)
        elif reader.field == CodePattern_symbology:
            given.symbology = read_int(&reader)
        else:
            skip_field(&reader)
    given.bad = reader.bad
    return given


cdef class EmbeddedCodes:
    """The patterns in force, and what a scanned code means by them."""

    def __cinit__(self, Catalog catalog, SettingsTable settings):
        self.catalog, self.settings = catalog, settings
        self.rows = Table("code_patterns", sizeof(PatternRow))
        self.tables = [self.rows]

    cdef void rebuild(self) noexcept nogil:
        cdef int64_t at
        cdef PatternRow* row
        self.count = self.rows.count
        for at in range(self.count):
            row = <PatternRow*>self.rows.row(at)
            pattern_read(&self.patterns[at], span_at(row.text, row.text_size), _checked_size(row.symbology))

    cdef int resolve(self, Span code, ScannedCode* found) noexcept nogil:
        """What a code that is no item's own says: OK, ITEM_UNKNOWN, or BARCODE_INVALID for one that does not scan."""
        cdef int64_t at
        cdef Reading reading
        cdef ReadOutcome outcome
        cdef int code_of_all = RESULT_CODE_ITEM_UNKNOWN
        for at in range(self.count):
            outcome = code_read(&self.patterns[at], code, &reading)
            if outcome == READ_OTHER:
                continue
            if outcome == READ_INVALID:
                code_of_all = RESULT_CODE_BARCODE_INVALID
                continue
            found.item = self.catalog.find_item(span_at(reading.base_code, reading.base_size))
            if found.item < 0:
                continue
            return RESULT_CODE_OK if self.value_of(at, &reading, found) else RESULT_CODE_BARCODE_INVALID
        return code_of_all

    cdef bint value_of(self, int64_t pattern, Reading* reading, ScannedCode* found) noexcept nogil:
        """Turn the value into money or a quantity; False where it is nothing, too much or not exact."""
        cdef PatternRow* row = <PatternRow*>self.rows.row(pattern)
        cdef int64_t decimals = self.patterns[pattern].decimal_digits, units
        cdef int128 value = reading.value
        units = 3 if row.value == CODE_VALUE_QUANTITY else currency_exponent(self.settings.now().currency)
        while decimals < units:
            value *= 10
            decimals += 1
        while decimals > units:
            if value % 10:
                return False
            value //= 10
            decimals -= 1
        if row.value == CODE_VALUE_QUANTITY:
            found.price_minor, found.qty_milli = -1, <int64_t>value
            return 0 < value <= QTY_MILLI_MAX
        found.price_minor, found.qty_milli = <int64_t>value, 0
        return 0 <= value <= PRICE_MINOR_MAX

    # The command

    cdef int put_patterns(self, Command* command, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(command.body)
        cdef PatternIn given
        cdef Pattern trial
        cdef PatternRow* row
        cdef int64_t count = 0, wrong, digits
        cdef Span none = span_at(NULL, 0)

        # Check.
        while next_field(&reader):
            if reader.field == PutCodePatternsRequest_patterns:
                read_span(&reader)
                count += 1
            else:
                skip_field(&reader)
        if reader.bad:
            return MALFORMED
        if count > CODE_PATTERNS_MAX:
            return refuse(out, RESULT_CODE_TOO_MANY, "patterns", 0, none, count, CODE_PATTERNS_MAX)
        reader = reader_of(command.body)
        count = 0
        while next_field(&reader):
            if reader.field != PutCodePatternsRequest_patterns:
                skip_field(&reader)
                continue
            given = _read_pattern(read_span(&reader))
            if given.bad:
                return MALFORMED
            if not SYMBOLOGY_UNSPECIFIED <= given.symbology <= SYMBOLOGY_ITF_14:
                return refuse(
                    out, RESULT_CODE_FIELD_INVALID, "patterns.symbology", count, none, given.symbology, SYMBOLOGY_ITF_14
                )
            if not CODE_VALUE_UNSPECIFIED < given.value <= CODE_VALUE_QUANTITY:
                return refuse(
                    out, RESULT_CODE_FIELD_INVALID, "patterns.value", count, none, given.value, CODE_VALUE_QUANTITY
                )
            if given.text.size > CODE_DIGITS_MAX + 2:
                return refuse(
                    out, RESULT_CODE_FIELD_INVALID, "patterns.pattern", count, none, given.text.size, CODE_DIGITS_MAX + 2
                )
            wrong = pattern_read(&trial, given.text, _checked_size(given.symbology))
            digits = trial.whole_digits + trial.decimal_digits
            if wrong < 0 and digits == 0:
                wrong = given.text.size  # a code without a value is a plain barcode
            if wrong < 0 and trial.checked_size and trial.value_at + digits > trial.checked_size - 1:
                wrong = given.text.size  # the check digit guards the value, it is not part of it
            if wrong >= 0:
                return refuse(
                    out, RESULT_CODE_FIELD_INVALID, "patterns.pattern", count, given.text, wrong, given.text.size
                )
            count += 1

        # Apply.
        self.rows.truncate(0)
        reader = reader_of(command.body)
        while next_field(&reader):
            if reader.field != PutCodePatternsRequest_patterns:
                skip_field(&reader)
                continue
            given = _read_pattern(read_span(&reader))
            row = <PatternRow*>self.rows.edit(self.rows.append())
            memcpy(row.text, given.text.data, given.text.size)
            row.text_size, row.value, row.symbology = given.text.size, given.value, given.symbology
        self.rebuild()
        return ok(out)

    # The query

    cdef int list_patterns(self, Span request, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(request)
        cdef int64_t at, mark
        cdef PatternRow* row
        while next_field(&reader):
            skip_field(&reader)
        if reader.bad:
            return MALFORMED
        for at in range(self.rows.count):
            row = <PatternRow*>self.rows.row(at)
            mark = begin_message(out, ListCodePatternsResponse_patterns)
            write_span(out, CodePattern_pattern, span_at(row.text, row.text_size))
            write_int(out, CodePattern_value, row.value)
            write_int(out, CodePattern_symbology, row.symbology)
            end_message(out, mark)
        return ok(out)
