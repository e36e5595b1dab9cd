"""A loyalty program: what earns points, how many, and what they buy."""

from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport abort, free, malloc
from libc.string cimport memset

from ringup.native.command cimport MALFORMED, is_code, is_code_or_empty
from ringup.native.contract cimport (
    EARN_BASIS_CURRENCY_UNIT,
    EARN_BASIS_UNIT,
    EARN_BASIS_UNSPECIFIED,
    RESULT_CODE_AMOUNT_INVALID,
    RESULT_CODE_AMOUNT_TOO_LARGE,
    RESULT_CODE_FIELD_INVALID,
    RESULT_CODE_QTY_INVALID,
    RESULT_CODE_TOO_MANY,
    LoyaltyProgram_burn_points,
    LoyaltyProgram_categories,
    LoyaltyProgram_earn_basis,
    LoyaltyProgram_earn_before_redemption,
    LoyaltyProgram_earn_points_micro,
    LoyaltyProgram_item_ids,
    LoyaltyProgram_reward_item_id,
    LoyaltyProgram_reward_qty,
    LoyaltyProgram_value_minor_per_point,
)
from ringup.native.index cimport hash_bytes, hash_int, index_add, index_free, index_next, index_start
from ringup.native.limits cimport CODE_BYTES_MAX, QTY_MILLI_MAX, TOTAL_MINOR_MAX
from ringup.native.wire cimport Reader, next_field, no_span, read_int, read_span, reader_of, skip_field, span_equal

cdef enum:
    CATEGORY_SALT = 1  # an item and a category of one name are two


cdef inline uint64_t _hash(Span name, bint category) noexcept nogil:
    return hash_int(hash_bytes(name.data, name.size) + (CATEGORY_SALT if category else 0))


cdef bint _names(Program* program, Span name, bint category) noexcept nogil:
    cdef uint64_t hash = _hash(name, category)
    cdef int64_t cursor = index_start(&program.names, hash), at = index_next(&program.names, hash, &cursor)
    while at >= 0:
        if (at >= program.category_from) == category and span_equal(program.texts[at], name):
            return True
        at = index_next(&program.names, hash, &cursor)
    return False


cdef bint program_takes(Program* program, Span item, const Span* categories, int64_t category_count) noexcept nogil:
    """Whether an item of these categories earns points."""
    cdef int64_t at
    if program.name_count == 0 or _names(program, item, False):
        return True
    for at in range(category_count):
        if _names(program, categories[at], True):
            return True
    return False


cdef int64_t earned_micro(
    Program* program, int64_t qty_milli, int64_t paid_minor, int64_t redeemed_minor, int exponent
) noexcept nogil:
    cdef int128 earned = program.earn_points_micro, divisor = 1000
    if program.earn_basis == EARN_BASIS_UNIT:
        earned *= qty_milli
    elif program.earn_basis == EARN_BASIS_CURRENCY_UNIT:
        earned *= max(<int64_t>0, paid_minor + (redeemed_minor if program.earn_before_redemption else 0))
        divisor = 1
        while exponent > 0:
            divisor *= 10
            exponent -= 1
    else:
        return 0
    earned = divide(earned, divisor, HALF_UP)
    return <int64_t>earned if -POINTS_MICRO_MAX <= earned <= POINTS_MICRO_MAX else POINTS_MICRO_MAX + 1


cdef Defect _defect(int code, const char* field, int64_t found, int64_t limit) noexcept nogil:
    cdef Defect defect
    defect.code, defect.field, defect.found, defect.limit = code, field, found, limit
    return defect


cdef void program_free(Program* program) noexcept nogil:
    index_free(&program.names)
    free(program.texts)
    memset(program, 0, sizeof(Program))


cdef Defect program_read(Program* program, Span body) noexcept nogil:
    """Take the rules of a LoyaltyProgram, whose bytes must stay where they are; the first defect ends it.

    Whatever `program` held is given up first; zeroed memory is an empty program.
    """
    cdef Reader reader
    cdef Span name
    cdef Defect defect
    cdef int step
    program_free(program)
    if body.size > PROGRAM_BYTES_MAX:
        return _defect(RESULT_CODE_TOO_MANY, "program", body.size, PROGRAM_BYTES_MAX)
    program.texts = <Span*>malloc((PROGRAM_NAMES_MAX + 1) * sizeof(Span))
    if program.texts == NULL:
        abort()
    program.reward_item = no_span()
    for step in range(2):  # items, then categories
        program.category_from = program.name_count if step else PROGRAM_NAMES_MAX + 1
        reader = reader_of(body)
        while next_field(&reader):
            if reader.field != (LoyaltyProgram_categories if step else LoyaltyProgram_item_ids):
                skip_field(&reader)
                continue
            name = read_span(&reader)
            if not reader.bad and not is_code(name):
                return _defect(
                    RESULT_CODE_FIELD_INVALID, "program.categories" if step else "program.item_ids", name.size,
                    CODE_BYTES_MAX,
                )
            if not reader.bad and _names(program, name, step == 1):
                continue  # named already; an index wants few entries of one hash
            if program.name_count == PROGRAM_NAMES_MAX:
                return _defect(RESULT_CODE_TOO_MANY, "program", PROGRAM_NAMES_MAX + 1, PROGRAM_NAMES_MAX)
            program.texts[program.name_count] = name
            index_add(&program.names, _hash(name, step == 1), program.name_count)
            program.name_count += 1
    reader = reader_of(body)
    while next_field(&reader):
        if reader.field == LoyaltyProgram_earn_basis:
            program.earn_basis = read_int(&reader)
        elif reader.field == LoyaltyProgram_earn_points_micro:
            program.earn_points_micro = read_int(&reader)
        elif reader.field == LoyaltyProgram_earn_before_redemption:
            program.earn_before_redemption = read_int(&reader) != 0
        elif reader.field == LoyaltyProgram_burn_points:
            program.burn_points = read_int(&reader)
        elif reader.field == LoyaltyProgram_value_minor_per_point:
            program.value_minor_per_point = read_int(&reader)
        elif reader.field == LoyaltyProgram_reward_item_id:
            program.reward_item = read_span(&reader)
        elif reader.field == LoyaltyProgram_reward_qty:
            program.reward_qty = read_int(&reader)
        else:
            skip_field(&reader)
    if reader.bad:
        return _defect(MALFORMED, "program", 0, 0)
    defect = _check(program)
    return defect


cdef Defect _check(Program* program) noexcept nogil:
    if not EARN_BASIS_UNSPECIFIED <= program.earn_basis <= EARN_BASIS_CURRENCY_UNIT:
        return _defect(RESULT_CODE_FIELD_INVALID, "program.earn_basis", program.earn_basis, EARN_BASIS_CURRENCY_UNIT)
    if not is_code_or_empty(program.reward_item):
        return _defect(
            RESULT_CODE_FIELD_INVALID, "program.reward_item_id", program.reward_item.size, CODE_BYTES_MAX
        )
    if program.reward_item.size and (program.value_minor_per_point or not program.burn_points):
        return _defect(RESULT_CODE_FIELD_INVALID, "program.reward_item_id", program.value_minor_per_point, 0)
    if not 0 <= program.reward_qty <= QTY_MILLI_MAX // 1000 or (program.reward_qty > 0) != (program.reward_item.size > 0):
        return _defect(RESULT_CODE_QTY_INVALID, "program.reward_qty", program.reward_qty, QTY_MILLI_MAX // 1000)
    if program.earn_points_micro < 0:
        return _defect(RESULT_CODE_AMOUNT_INVALID, "program.earn_points_micro", program.earn_points_micro, 0)
    if program.burn_points < 0 or program.value_minor_per_point < 0:
        return _defect(
            RESULT_CODE_AMOUNT_INVALID, "program.burn_points", min(program.burn_points, program.value_minor_per_point), 0
        )
    if program.earn_points_micro > EARN_POINTS_MICRO_MAX:
        return _defect(
            RESULT_CODE_AMOUNT_TOO_LARGE, "program.earn_points_micro", program.earn_points_micro, EARN_POINTS_MICRO_MAX
        )
    if program.burn_points > POINTS_MICRO_MAX // POINT_MICRO:
        return _defect(
            RESULT_CODE_AMOUNT_TOO_LARGE, "program.burn_points", program.burn_points, POINTS_MICRO_MAX // POINT_MICRO
        )
    if <int128>program.burn_points * program.value_minor_per_point > TOTAL_MINOR_MAX:
        return _defect(
            RESULT_CODE_AMOUNT_TOO_LARGE, "program.value_minor_per_point", program.value_minor_per_point, TOTAL_MINOR_MAX
        )
    return _defect(0, "", 0, 0)
