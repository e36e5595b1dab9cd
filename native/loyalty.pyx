"""Points: earned and redeemed in the command of the sale, taken back by its return, line by line.

The points of a sale are shared out over its lines as they are earned, so that returns of parts take
back exactly what the whole would.  Points that were redeemed for money off come back with the goods;
those that bought a reward item come back with that item, which is a line of the sale.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport abort, free, malloc
from libc.string cimport memcpy, memset

from ringup.native.catalog cimport Catalog, SymbolRow
from ringup.native.command cimport MALFORMED, Command, is_code, is_text, ok, refuse
from ringup.native.contract cimport (
    RESULT_CODE_AMOUNT_INVALID,
    RESULT_CODE_AMOUNT_TOO_LARGE,
    RESULT_CODE_CUSTOMER_UNKNOWN,
    RESULT_CODE_FIELD_INVALID,
    RESULT_CODE_ITEM_UNKNOWN,
    RESULT_CODE_OK,
    RESULT_CODE_POINTS_SHORT,
    RESULT_CODE_REASON_MISSING,
    AdjustPointsRequest_customer_id,
    AdjustPointsRequest_points_micro,
    AdjustPointsRequest_reason,
    AdjustPointsResponse_balance_micro,
    Command_put_loyalty_program,
    Customer_adjusted_micro,
    Customer_burned_micro,
    Customer_customer_id,
    Customer_earned_micro,
    Customer_points_micro,
    FreeItem_item_id,
    FreeItem_qty,
    GetCustomerRequest_customer_id,
    GetCustomerResponse_customer,
    GetLoyaltyProgramResponse_program,
    Points_balance_micro,
    Points_burned_micro,
    Points_earned_micro,
    Points_redeemed_minor,
    PutLoyaltyProgramRequest_program,
)
from ringup.native.currency cimport currency_exponent
from ringup.native.index cimport hash_bytes, index_add, index_free, index_next, index_reserve, index_start
from ringup.native.limits cimport CATEGORIES_PER_ITEM_MAX, CODE_BYTES_MAX, LINES_MAX, REASON_BYTES_MAX
from ringup.native.loyalty_program cimport (
    POINT_MICRO,
    POINTS_MICRO_MAX,
    PROGRAM_BYTES_MAX,
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
from ringup.native.money cimport HALF_UP, allocate, multiply_divide, share_until
from ringup.native.settings cimport SettingsTable
from ringup.native.table cimport Table
from ringup.native.wire cimport (
    Reader,
    Span,
    Writer,
    begin_message,
    end_message,
    next_field,
    next_of,
    no_span,
    read_int,
    read_span,
    reader_of,
    skip_field,
    span_at,
    span_equal,
    write_int,
    write_span,
)


cdef class Loyalty:
    """Balances of points, the program, and the points of the basket at hand."""

    def __cinit__(self, Catalog catalog, SettingsTable settings):
        self.catalog, self.settings = catalog, settings
        self.customers = Table("customers", sizeof(CustomerRow))
        self.programs = Table("loyalty_program", sizeof(ProgramRow))
        self.sale_points = Table("sale_points", sizeof(SalePointsRow))
        self.line_points = Table("line_points", sizeof(LinePointsRow))
        self.tables = [self.customers, self.programs, self.sale_points, self.line_points]
        self.programs.append()
        memset(&self.program, 0, sizeof(Program))
        self.program_bytes = <char*>malloc(PROGRAM_BYTES_MAX)
        self.lines = <EarningLine*>malloc(LINES_MAX * sizeof(EarningLine))
        self.weights = <int64_t*>malloc(LINES_MAX * sizeof(int64_t))
        self.shares = <int64_t*>malloc(LINES_MAX * sizeof(int64_t))
        if self.program_bytes == NULL or self.lines == NULL or self.weights == NULL or self.shares == NULL:
            raise MemoryError

    def __dealloc__(self):
        index_free(&self.customer_index)
        program_free(&self.program)
        free(self.program_bytes)
        free(self.lines)
        free(self.weights)
        free(self.shares)

    cdef void rebuild(self) noexcept nogil:
        cdef int64_t row
        cdef Span code
        index_reserve(&self.customer_index, self.customers.count)
        for row in range(self.customers.count):
            code = self.catalog.text(self.customer_row(row).code)
            index_add(&self.customer_index, hash_bytes(code.data, code.size), row)
        self.load_program()

    cdef void load_program(self) noexcept nogil:
        """Read the program from its row, by a copy: rows may move while they are written to disk."""
        cdef Span body = self.catalog.text((<ProgramRow*>self.programs.row(0)).program)
        if body.size:
            memcpy(self.program_bytes, body.data, body.size)
        if program_read(&self.program, span_at(self.program_bytes, body.size)).code != 0:
            abort()  # it was checked when it was put

    cdef int64_t find(self, Span code) noexcept nogil:
        """The customer with this code, or -1."""
        cdef uint64_t hash = hash_bytes(code.data, code.size)
        cdef int64_t cursor = index_start(&self.customer_index, hash)
        cdef int64_t row = index_next(&self.customer_index, hash, &cursor)
        while row >= 0 and not span_equal(self.catalog.text(self.customer_row(row).code), code):
            row = index_next(&self.customer_index, hash, &cursor)
        return row

    cdef int64_t add(self, Span code) noexcept nogil:
        cdef int64_t row = self.customers.append()
        (<CustomerRow*>self.customers.edit(row)).code = self.catalog.store(code)
        index_add(&self.customer_index, hash_bytes(code.data, code.size), row)
        return row

    # The basket at hand

    cdef void open_for(self, Span customer_id, bint redeem) noexcept nogil:
        cdef int64_t balance
        self.opened = True
        self.customer_id = customer_id
        self.customer = self.find(customer_id)
        balance = self.balance_micro(self.customer) if redeem else -1
        self.offer_minor = offer_minor(&self.program, balance)
        self.offer_reward = rewards(&self.program, balance)
        memset(&self.tally, 0, sizeof(Tally))
        self.line_count = self.pending_micro = 0

    cdef void add_line(self, int64_t item, int64_t qty_milli, int64_t paid_minor) noexcept nogil:
        """Take a line at what is paid for it; what points take off it is added by the caller."""
        cdef EarningLine* line = &self.lines[self.line_count]
        cdef Span[CATEGORIES_PER_ITEM_MAX] categories
        cdef Span symbols
        cdef int64_t at, count = 0
        if self.program.name_count:
            symbols = self.catalog.text(self.catalog.item(item).categories)
            count = symbols.size // <int64_t>sizeof(uint32_t)
            for at in range(count):
                categories[at] = self.catalog.text(
                    (<SymbolRow*>self.catalog.symbols.row((<uint32_t*>symbols.data)[at])).code
                )
        memset(line, 0, sizeof(EarningLine))
        line.qty_milli, line.paid_minor = qty_milli, paid_minor
        line.takes = program_takes(&self.program, self.catalog.item_code(item), categories, count)
        self.line_count += 1

    cdef int count(self, Writer* out) noexcept nogil:
        """Work out what the basket earns and burns, line by line.  Refuses what is beyond the limits."""
        cdef int64_t at, qty = 0, paid = 0
        for at in range(self.line_count):
            self.tally.redeemed_minor += self.lines[at].redeemed_minor
            if self.lines[at].takes:
                qty += self.lines[at].qty_milli
                paid += self.lines[at].paid_minor
        self.tally.earned_micro = earned_micro(
            &self.program, qty, paid, self.tally.redeemed_minor, currency_exponent(self.settings.now().currency)
        )
        self.tally.rewarded = self.offer_reward
        self.tally.burned_micro = (
            self.program.burn_points * POINT_MICRO if self.offer_reward
            else burned_micro(&self.program, self.tally.redeemed_minor)
        )
        if self.tally.earned_micro > POINTS_MICRO_MAX - max(<int64_t>0, self.balance_micro(self.customer)):
            return refuse(
                out, RESULT_CODE_AMOUNT_TOO_LARGE, "customer_id", 0, self.customer_id, self.tally.earned_micro,
                POINTS_MICRO_MAX,
            )
        self.pending_micro = self.tally.earned_micro - self.tally.burned_micro
        self.share_out()
        return RESULT_CODE_OK

    cdef void share_out(self) noexcept nogil:
        """Lay the points on the lines: earned ones by what is paid, burned ones by what they took off."""
        cdef int64_t at, paid = 0
        for at in range(self.line_count):
            self.weights[at] = self.lines[at].paid_minor if self.lines[at].takes else 0
            paid += self.weights[at]
        if paid == 0:  # all of it redeemed, or given away
            for at in range(self.line_count):
                self.weights[at] = self.lines[at].qty_milli if self.lines[at].takes else 0
        allocate(self.tally.earned_micro, self.weights, self.shares, self.line_count)
        for at in range(self.line_count):
            self.lines[at].earned_micro = self.shares[at]
            self.weights[at] = self.lines[at].redeemed_minor
        if self.tally.redeemed_minor == 0:
            return
        allocate(self.tally.burned_micro, self.weights, self.shares, self.line_count)
        for at in range(self.line_count):
            self.lines[at].burned_micro = self.shares[at]

    cdef uint32_t book(self) noexcept nogil:
        """Move the balance and keep the points of each line; returns row + 1, or 0 where there is nothing to keep."""
        cdef int64_t row, first, at
        cdef CustomerRow* customer
        cdef SalePointsRow* points
        cdef LinePointsRow* line
        if self.tally.earned_micro == 0 and self.tally.burned_micro == 0:
            return 0
        if self.customer < 0:
            self.customer = self.add(self.customer_id)
        customer = <CustomerRow*>self.customers.edit(self.customer)
        customer.earned_micro += self.tally.earned_micro
        customer.burned_micro += self.tally.burned_micro
        self.pending_micro = 0
        row = self.sale_points.append()
        first = self.line_points.append_many(self.line_count)
        points = <SalePointsRow*>self.sale_points.edit(row)
        points.customer, points.first_line = <uint32_t>self.customer, <uint32_t>first
        points.redeemed_minor = self.tally.redeemed_minor
        for at in range(self.line_count):
            line = <LinePointsRow*>self.line_points.edit(first + at)
            line.earned_micro, line.burned_micro = self.lines[at].earned_micro, self.lines[at].burned_micro
        return <uint32_t>(row + 1)

    # A return

    cdef int64_t redeemed_on_kept(
        self, uint32_t points, int64_t line_count, const int64_t* kept_milli, const int64_t* sold_milli
    ) noexcept nogil:
        """What redeemed points go on taking off, when the rest of them come back with their goods."""
        cdef SalePointsRow* sale
        cdef int64_t at, each, burned = 0, kept = 0
        if points == 0:
            return 0
        sale = <SalePointsRow*>self.sale_points.row(points - 1)
        if sale.redeemed_minor == 0:
            return 0
        for at in range(line_count):
            each = (<LinePointsRow*>self.line_points.row(sale.first_line + at)).burned_micro
            burned += each
            kept += each - share_until(each, sold_milli[at] - kept_milli[at], sold_milli[at])
        return multiply_divide(sale.redeemed_minor, kept, burned, HALF_UP) if burned else 0

    cdef void open_return(self, uint32_t points) noexcept nogil:
        """Begin the return of a sale with these points (row + 1; 0 is a sale without)."""
        self.close()
        if points == 0:
            return
        self.opened = True
        self.customer = (<SalePointsRow*>self.sale_points.row(points - 1)).customer
        self.customer_id = self.catalog.text(self.customer_row(self.customer).code)
        memset(&self.tally, 0, sizeof(Tally))
        self.pending_micro = 0

    cdef void take_back(
        self, uint32_t points, int64_t line, int64_t before_milli, int64_t after_milli, int64_t whole_milli
    ) noexcept nogil:
        """Take back what a line earned and give back what it burned, for the part that now comes back."""
        cdef LinePointsRow* kept
        cdef CustomerRow* customer
        cdef int64_t earned, burned
        if points == 0:
            return
        kept = <LinePointsRow*>self.line_points.row((<SalePointsRow*>self.sale_points.row(points - 1)).first_line + line)
        earned = (
            share_until(kept.earned_micro, after_milli, whole_milli)
            - share_until(kept.earned_micro, before_milli, whole_milli)
        )
        burned = (
            share_until(kept.burned_micro, after_milli, whole_milli)
            - share_until(kept.burned_micro, before_milli, whole_milli)
        )
        self.tally.earned_micro += earned
        self.tally.burned_micro += burned
        customer = <CustomerRow*>self.customers.edit(self.customer)
        customer.earned_micro -= earned
        customer.burned_micro -= burned

    # The answer

    cdef void write(self, Writer* out, uint32_t field) noexcept nogil:
        """The points of the basket at hand; a quote shows the balance that its sale would leave."""
        cdef int64_t mark = begin_message(out, field)
        write_int(out, Points_earned_micro, self.tally.earned_micro)
        write_int(out, Points_burned_micro, self.tally.burned_micro)
        write_int(out, Points_balance_micro, self.balance_micro(self.customer) + self.pending_micro)
        write_int(out, Points_redeemed_minor, self.tally.redeemed_minor)
        end_message(out, mark)

    cdef void write_reward(self, Writer* out, uint32_t field) noexcept nogil:
        cdef int64_t mark
        if self.tally.rewarded:
            mark = begin_message(out, field)
            write_span(out, FreeItem_item_id, self.program.reward_item)
            write_int(out, FreeItem_qty, self.program.reward_qty)
            end_message(out, mark)

    # Commands

    cdef int handle(self, int kind, Command* command, Writer* out) noexcept nogil:
        if kind == Command_put_loyalty_program:
            return self.put_program(command, out)
        return self.adjust_points(command, out)

    cdef int put_program(self, Command* command, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(command.body)
        cdef Span body = no_span(), reward
        cdef Program trial
        cdef Defect defect
        cdef ProgramRow* row

        # Check.
        while next_of(&reader, PutLoyaltyProgramRequest_program):
            body = read_span(&reader)
        if reader.bad:
            return MALFORMED
        memset(&trial, 0, sizeof(Program))
        defect = program_read(&trial, body)
        reward = trial.reward_item
        program_free(&trial)
        if defect.code == MALFORMED:
            return MALFORMED
        if defect.code != 0:
            return refuse(out, defect.code, defect.field, 0, no_span(), defect.found, defect.limit)
        if reward.size and self.catalog.find_item_code(reward) < 0:
            return refuse(out, RESULT_CODE_ITEM_UNKNOWN, "program.reward_item_id", 0, reward, 0, 0)

        # Apply.
        row = <ProgramRow*>self.programs.edit(0)
        row.program = self.catalog.restore(row.program, body)
        self.load_program()
        return ok(out)

    cdef int adjust_points(self, Command* command, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(command.body)
        cdef Span code = no_span(), reason = no_span()
        cdef int64_t points = 0, row, balance

        # Check.
        while next_field(&reader):
            if reader.field == AdjustPointsRequest_customer_id:
                code = read_span(&reader)
            elif reader.field == AdjustPointsRequest_points_micro:
                points = read_int(&reader)
            elif reader.field == AdjustPointsRequest_reason:
                reason = read_span(&reader)
            else:
                skip_field(&reader)
        if reader.bad:
            return MALFORMED
        if not is_code(code):
            return refuse(out, RESULT_CODE_FIELD_INVALID, "customer_id", 0, code, code.size, CODE_BYTES_MAX)
        if not is_text(reason, REASON_BYTES_MAX):
            return refuse(out, RESULT_CODE_FIELD_INVALID, "reason", 0, code, reason.size, REASON_BYTES_MAX)
        if points == 0:
            return refuse(out, RESULT_CODE_AMOUNT_INVALID, "points_micro", 0, code, 0, 1)
        if not -POINTS_MICRO_MAX <= points <= POINTS_MICRO_MAX:
            return refuse(out, RESULT_CODE_AMOUNT_TOO_LARGE, "points_micro", 0, code, points, POINTS_MICRO_MAX)
        row = self.find(code)
        balance = self.balance_micro(row)
        if points > 0 and balance > POINTS_MICRO_MAX - points:
            return refuse(out, RESULT_CODE_AMOUNT_TOO_LARGE, "points_micro", 0, code, points, POINTS_MICRO_MAX - balance)
        if reason.size == 0:
            return refuse(out, RESULT_CODE_REASON_MISSING, "reason", 0, code, 0, 1)
        if points < 0 and balance + points < 0:
            return refuse(out, RESULT_CODE_POINTS_SHORT, "points_micro", 0, code, balance, -points)

        # Apply.
        if row < 0:
            row = self.add(code)
        (<CustomerRow*>self.customers.edit(row)).adjusted_micro += points
        write_int(out, AdjustPointsResponse_balance_micro, self.balance_micro(row))
        return ok(out)

    # Queries

    cdef int get_program(self, Span request, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(request)
        while next_field(&reader):
            skip_field(&reader)
        if reader.bad:
            return MALFORMED
        write_span(
            out, GetLoyaltyProgramResponse_program, self.catalog.text((<ProgramRow*>self.programs.row(0)).program)
        )
        return ok(out)

    cdef int get_customer(self, Span request, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(request)
        cdef Span code = no_span()
        cdef int64_t row, mark
        while next_of(&reader, GetCustomerRequest_customer_id):
            code = read_span(&reader)
        if reader.bad:
            return MALFORMED
        row = self.find(code)
        if row < 0:
            return refuse(out, RESULT_CODE_CUSTOMER_UNKNOWN, "customer_id", 0, code, 0, 0)
        mark = begin_message(out, GetCustomerResponse_customer)
        write_span(out, Customer_customer_id, self.catalog.text(self.customer_row(row).code))
        write_int(out, Customer_points_micro, self.balance_micro(row))
        write_int(out, Customer_earned_micro, self.customer_row(row).earned_micro)
        write_int(out, Customer_burned_micro, self.customer_row(row).burned_micro)
        write_int(out, Customer_adjusted_micro, self.customer_row(row).adjusted_micro)
        end_message(out, mark)
        return ok(out)
