"""The loyalty program of a Simulate request: what the basket redeems, earns and burns."""

from libc.stdint cimport int64_t
from libc.string cimport memset

from ringup.native.command cimport MALFORMED
from ringup.native.contract cimport (
    FreeItem_item_id,
    FreeItem_qty,
    Points_balance_micro,
    Points_burned_micro,
    Points_earned_micro,
    Points_redeemed_minor,
    RESULT_CODE_AMOUNT_TOO_LARGE,
    RESULT_CODE_FIELD_INVALID,
    SimulateResponse_free_items,
    SimulateResponse_points,
)
from ringup.native.currency cimport currency_exponent
from ringup.native.loyalty_program cimport (
    POINT_MICRO,
    POINTS_MICRO_MAX,
    Defect,
    Program,
    Tally,
    burned_micro,
    earned_micro,
    offer_minor,
    program_free,
    program_read,
    program_takes,
    rewards,
)
from ringup.native.pricing_state cimport InputLine, line_value
from ringup.native.promotion cimport NO_SYMBOL
from ringup.native.wire cimport begin_message, end_message, no_span, write_int, write_span


cdef class SimulatedPoints(SimulatedPrices):
    """The loyalty program of the request at hand."""

    def __cinit__(self):
        memset(&self.program, 0, sizeof(Program))

    def __dealloc__(self):
        program_free(&self.program)

    cdef int read_program(self) noexcept nogil:
        """Read the program, and redeem what the opening balance allows where the request does."""
        cdef Defect defect = program_read(&self.program, self.program_body)
        if defect.code != 0:
            return self.refused(
                RESULT_CODE_FIELD_INVALID if defect.code == MALFORMED else defect.code, defect.field, 0, no_span(),
                defect.found, defect.limit,
            )
        if not -POINTS_MICRO_MAX <= self.opening_micro <= POINTS_MICRO_MAX:
            return self.refused(
                RESULT_CODE_AMOUNT_TOO_LARGE, "opening_points_micro", 0, no_span(), self.opening_micro,
                POINTS_MICRO_MAX,
            )
        self.basket.redeem = offer_minor(&self.program, self.opening_micro) if self.redeems else 0
        return 0

    cdef int count_points(self, Tally* tally) noexcept nogil:
        """What the priced basket earns and burns; refuses what is beyond the limits."""
        cdef int64_t i, qty = 0, paid = 0
        cdef InputLine* line
        memset(tally, 0, sizeof(Tally))
        for i in range(self.basket.log_count):
            if self.basket.log[i].promotion == NO_SYMBOL:
                tally.redeemed_minor += self.basket.log[i].amount * self.basket.log[i].count
        if not self.has_program:
            return 0
        for i in range(self.basket.input_line_count):
            line = &self.basket.input_lines[i]
            if program_takes(&self.program, line.item_id, &self.basket.texts[line.categories], line.category_count):
                qty += line.qty_milli
                paid += line_value(&self.basket, i)
        tally.earned_micro = earned_micro(
            &self.program, qty, paid, tally.redeemed_minor,
            currency_exponent(self.currency.data) if self.currency.size == 3 else 2,
        )
        tally.rewarded = self.redeems and rewards(&self.program, self.opening_micro)
        tally.burned_micro = (
            self.program.burn_points * POINT_MICRO if tally.rewarded
            else burned_micro(&self.program, tally.redeemed_minor)
        )
        if tally.earned_micro > POINTS_MICRO_MAX:
            return self.refused(
                RESULT_CODE_AMOUNT_TOO_LARGE, "loyalty.earn_points_micro", 0, no_span(),
                self.program.earn_points_micro, POINTS_MICRO_MAX,
            )
        return 0

    cdef void write_points(self, Tally* tally) noexcept nogil:
        cdef int64_t mark
        if tally.rewarded:
            mark = begin_message(&self.out, SimulateResponse_free_items)
            write_span(&self.out, FreeItem_item_id, self.program.reward_item)
            write_int(&self.out, FreeItem_qty, self.program.reward_qty)
            end_message(&self.out, mark)
        mark = begin_message(&self.out, SimulateResponse_points)
        write_int(&self.out, Points_earned_micro, tally.earned_micro)
        write_int(&self.out, Points_burned_micro, tally.burned_micro)
        write_int(&self.out, Points_balance_micro, self.opening_micro + tally.earned_micro - tally.burned_micro)
        write_int(&self.out, Points_redeemed_minor, tally.redeemed_minor)
        end_message(&self.out, mark)
