"""Price-book rows: the handler of PutPrices, and what a row or a basket says of price terms."""

from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memset

from ringup.native.catalog cimport (
    SYMBOL_CHANNEL,
    SYMBOL_CURRENCY,
    SYMBOL_CUSTOMER_GROUP,
    SYMBOL_FURTHER_TERMS,
    SYMBOL_PRICE_KEY,
    SYMBOL_PRICE_LIST,
    SYMBOL_PRICE_VALUE,
    SYMBOL_UOM,
    Catalog,
    TermsRow,
)
from ringup.native.command cimport MALFORMED, Command, check_count, is_code, is_code_or_empty, ok, refuse
from ringup.native.contract cimport (
    RESULT_CODE_AMOUNT_INVALID,
    RESULT_CODE_AMOUNT_TOO_LARGE,
    RESULT_CODE_FIELD_INVALID,
    RESULT_CODE_ITEM_UNKNOWN,
    RESULT_CODE_LOCATION_UNKNOWN,
    RESULT_CODE_OK,
    RESULT_CODE_QTY_INVALID,
    RESULT_CODE_QTY_TOO_LARGE,
    RESULT_CODE_TIME_INVALID,
    RESULT_CODE_TOO_MANY,
    PriceAttribute_key,
    PriceAttribute_value,
    PriceRow_base_qty_milli,
    PriceRow_channel_id,
    PriceRow_currency,
    PriceRow_customer_group_id,
    PriceRow_from_ns,
    PriceRow_item_id,
    PriceRow_list_id,
    PriceRow_location_id,
    PriceRow_max_qty_milli,
    PriceRow_min_qty_milli,
    PriceRow_overrides_base,
    PriceRow_price_minor,
    PriceRow_removed,
    PriceRow_rules,
    PriceRow_to_ns,
    PriceRow_uom,
    PriceRule_key,
    PriceRule_values,
    PutPricesRequest_rows,
)
from ringup.native.currency cimport is_currency
from ringup.native.limits cimport CODE_BYTES_MAX, PRICE_MINOR_MAX, QTY_MILLI_MAX, TIME_NS_MAX
from ringup.native.price_book cimport (
    CURRENCY_UNKNOWN,
    PRICE_ATTRIBUTES_MAX,
    PRICE_RULES_MAX,
    PRICE_VALUES_MAX,
    RANK_OVERRIDES,
    RANK_RULE,
    FurtherTerms,
    further_terms,
    overrides_base,
)
from ringup.native.settings cimport SettingsTable
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
    span_equal,
    write_int,
    write_span,
)

cdef enum:
    # FurtherTerms, then a key and a number of values for each rule, and the values.
    WORDS_MAX = 4 + 2 * PRICE_RULES_MAX + PRICE_VALUES_MAX

assert sizeof(FurtherTerms) == 4 * sizeof(uint32_t)
# The rule of a location, which depends on the line, and of a channel and a group are no rules of `rules`.
assert (PRICE_RULES_MAX + 3) * RANK_RULE < RANK_OVERRIDES


cdef PriceIn read_price(Span body) noexcept nogil:
    cdef PriceIn price
    cdef Reader reader = reader_of(body)
    memset(&price, 0, sizeof(PriceIn))
    price.body = body
    while next_field(&reader):
        if reader.field == PriceRow_item_id:
            price.item = read_span(&reader)
        elif reader.field == PriceRow_location_id:
            price.location = read_span(&reader)
        elif reader.field == PriceRow_channel_id:
            price.channel = read_span(&reader)
        elif reader.field == PriceRow_customer_group_id:
            price.group = read_span(&reader)
        elif reader.field == PriceRow_min_qty_milli:
            price.min_qty_milli = read_int(&reader)
        elif reader.field == PriceRow_price_minor:
            price.price_minor = read_int(&reader)
        elif reader.field == PriceRow_base_qty_milli:
            price.base_qty_milli = read_int(&reader)
        elif reader.field == PriceRow_from_ns:
            price.from_ns = read_int(&reader)
        elif reader.field == PriceRow_to_ns:
            price.to_ns = read_int(&reader)
        elif reader.field == PriceRow_max_qty_milli:
            price.max_qty_milli = read_int(&reader)
        elif reader.field == PriceRow_overrides_base:
            price.overrides_base = read_int(&reader) != 0
        elif reader.field == PriceRow_list_id:
            price.list = read_span(&reader)
        elif reader.field == PriceRow_currency:
            price.currency = read_span(&reader)
        elif reader.field == PriceRow_uom:
            price.uom = read_span(&reader)
        elif reader.field == PriceRow_rules:
            read_span(&reader)
            price.ruled = True
        elif reader.field == PriceRow_removed:
            price.removed = read_int(&reader) != 0
        else:
            skip_field(&reader)
    if price.base_qty_milli == 0:
        price.base_qty_milli = 1000
    price.bad = reader.bad
    return price


cdef inline const char* _field(const char* name, int place) noexcept nogil:
    return name + place


cdef int check_terms(PriceIn* price, int64_t index, int place, Writer* out) noexcept nogil:
    """Check what a row says but for its item and location, which the catalog must have."""
    cdef Span item = price.item
    if price.bad:
        return MALFORMED
    if not is_code_or_empty(price.channel):
        return refuse(
            out, RESULT_CODE_FIELD_INVALID, _field("price_rows.channel_id", place), index, item, price.channel.size,
            CODE_BYTES_MAX,
        )
    if not is_code_or_empty(price.group):
        return refuse(
            out, RESULT_CODE_FIELD_INVALID, _field("price_rows.customer_group_id", place), index, item, price.group.size,
            CODE_BYTES_MAX,
        )
    if not is_code_or_empty(price.list):
        return refuse(
            out, RESULT_CODE_FIELD_INVALID, _field("price_rows.list_id", place), index, item, price.list.size, CODE_BYTES_MAX
        )
    if not is_code_or_empty(price.uom):
        return refuse(
            out, RESULT_CODE_FIELD_INVALID, _field("price_rows.uom", place), index, item, price.uom.size, CODE_BYTES_MAX
        )
    if price.currency.size and not is_currency(price.currency):
        return refuse(
            out, RESULT_CODE_FIELD_INVALID, _field("price_rows.currency", place), index, price.currency, price.currency.size, 3
        )
    if price.min_qty_milli < 0:
        return refuse(
            out, RESULT_CODE_QTY_INVALID, _field("price_rows.min_qty_milli", place), index, item, price.min_qty_milli, 0
        )
    if price.base_qty_milli < 0:
        return refuse(
            out, RESULT_CODE_QTY_INVALID, _field("price_rows.base_qty_milli", place), index, item, price.base_qty_milli, 1
        )
    if price.max_qty_milli != 0 and not price.min_qty_milli <= price.max_qty_milli <= QTY_MILLI_MAX:
        return refuse(
            out, RESULT_CODE_QTY_INVALID, _field("price_rows.max_qty_milli", place), index, item, price.max_qty_milli,
            price.min_qty_milli,
        )
    if price.min_qty_milli > QTY_MILLI_MAX or price.base_qty_milli > QTY_MILLI_MAX:
        return refuse(
            out, RESULT_CODE_QTY_TOO_LARGE, _field("price_rows.min_qty_milli", place), index, item,
            max(price.min_qty_milli, price.base_qty_milli), QTY_MILLI_MAX,
        )
    if price.price_minor < 0:
        return refuse(
            out, RESULT_CODE_AMOUNT_INVALID, _field("price_rows.price_minor", place), index, item, price.price_minor, 0
        )
    if price.price_minor > PRICE_MINOR_MAX:
        return refuse(
            out, RESULT_CODE_AMOUNT_TOO_LARGE, _field("price_rows.price_minor", place), index, item, price.price_minor,
            PRICE_MINOR_MAX,
        )
    if not 0 <= price.from_ns <= TIME_NS_MAX:
        return refuse(
            out, RESULT_CODE_TIME_INVALID, _field("price_rows.from_ns", place), index, item, price.from_ns, TIME_NS_MAX
        )
    if price.to_ns != 0 and not price.from_ns < price.to_ns <= TIME_NS_MAX:
        return refuse(out, RESULT_CODE_TIME_INVALID, _field("price_rows.to_ns", place), index, item, price.to_ns, price.from_ns)
    return _check_rules(price, index, place, out) if price.ruled else RESULT_CODE_OK


cdef int _check_rules(PriceIn* price, int64_t index, int place, Writer* out) noexcept nogil:
    cdef Reader reader = reader_of(price.body), inner
    cdef Span[PRICE_RULES_MAX] keys
    cdef Span value
    cdef int64_t rules = 0, values = 0, before, at
    while next_field(&reader):
        if reader.field != PriceRow_rules:
            skip_field(&reader)
            continue
        if rules == PRICE_RULES_MAX:
            return refuse(
                out, RESULT_CODE_TOO_MANY, _field("price_rows.rules", place), index, price.item, rules + 1, PRICE_RULES_MAX
            )
        inner = reader_of(read_span(&reader))
        keys[rules] = span_at(NULL, 0)
        before = values
        while next_field(&inner):
            if inner.field == PriceRule_key:
                keys[rules] = read_span(&inner)
            elif inner.field == PriceRule_values:
                value = read_span(&inner)
                values += 1
                if not is_code(value):
                    return refuse(
                        out, RESULT_CODE_FIELD_INVALID, _field("price_rows.rules.values", place), index, price.item, value.size,
                        CODE_BYTES_MAX,
                    )
            else:
                skip_field(&inner)
        if inner.bad:
            return MALFORMED
        if not is_code(keys[rules]):
            return refuse(
                out, RESULT_CODE_FIELD_INVALID, _field("price_rows.rules.key", place), index, price.item, keys[rules].size,
                CODE_BYTES_MAX,
            )
        for at in range(rules):  # two rules of one key: any of both, or all of both?
            if span_equal(keys[at], keys[rules]):
                return refuse(
                    out, RESULT_CODE_FIELD_INVALID, _field("price_rows.rules.key", place), index, keys[rules], rules, at
                )
        if values == before:
            return refuse(out, RESULT_CODE_FIELD_INVALID, _field("price_rows.rules.values", place), index, keys[rules], 0, 1)
        rules += 1
    if values > PRICE_VALUES_MAX:
        return refuse(
            out, RESULT_CODE_TOO_MANY, _field("price_rows.rules.values", place), index, price.item, values, PRICE_VALUES_MAX
        )
    return RESULT_CODE_OK


cdef TermsRow terms_of_price(Catalog catalog, PriceIn* price, Span own_currency) noexcept nogil:
    """The terms of a row that was checked; symbols that are new are made."""
    cdef TermsRow terms
    cdef uint32_t[WORDS_MAX] words
    cdef FurtherTerms* further = <FurtherTerms*>&words[0]
    cdef int64_t count = 4
    memset(&terms, 0, sizeof(TermsRow))
    memset(further, 0, sizeof(FurtherTerms))
    terms.min_qty_milli, terms.max_qty_milli = price.min_qty_milli, price.max_qty_milli
    terms.base_qty_milli = price.base_qty_milli
    terms.from_ns, terms.to_ns = price.from_ns, price.to_ns
    if price.channel.size:
        terms.channel = <uint32_t>catalog.intern_symbol(SYMBOL_CHANNEL, price.channel) + 1
    if price.group.size:
        terms.customer_group = <uint32_t>catalog.intern_symbol(SYMBOL_CUSTOMER_GROUP, price.group) + 1
    if price.uom.size:
        further.uom = <uint32_t>catalog.intern_symbol(SYMBOL_UOM, price.uom) + 1
    if price.list.size:
        further.list = <uint32_t>catalog.intern_symbol(SYMBOL_PRICE_LIST, price.list) + 1
    if price.currency.size and not span_equal(price.currency, own_currency):
        further.currency = <uint32_t>catalog.intern_symbol(SYMBOL_CURRENCY, price.currency) + 1
    if price.ruled:
        count = _take_rules(catalog, price, further)
    if further.uom or further.list or further.currency or further.rule_count:
        terms.further = <uint32_t>catalog.intern_symbol(
            SYMBOL_FURTHER_TERMS, span_at(&words[0], count * <int64_t>sizeof(uint32_t))
        ) + 1
    terms.rank = RANK_RULE * ((terms.channel != 0) + (terms.customer_group != 0) + further.rule_count)
    if price.overrides_base:
        terms.rank += RANK_OVERRIDES
    return terms


cdef int64_t _take_rules(Catalog catalog, PriceIn* price, FurtherTerms* further) noexcept nogil:
    """Write the rules behind `further`, keys and values in the order of their symbols; the number of words in all."""
    cdef Reader reader = reader_of(price.body), inner
    cdef uint32_t[PRICE_RULES_MAX] keys
    cdef uint32_t[PRICE_VALUES_MAX] values
    cdef int64_t[PRICE_RULES_MAX] first, counts, order
    cdef int64_t rules = 0, value_count = 0, at, rule, to
    cdef uint32_t* words = <uint32_t*>(further + 1)
    cdef uint32_t word
    while next_field(&reader):
        if reader.field != PriceRow_rules:
            skip_field(&reader)
            continue
        inner = reader_of(read_span(&reader))
        first[rules] = value_count
        while next_field(&inner):
            if inner.field == PriceRule_key:
                keys[rules] = <uint32_t>catalog.intern_symbol(SYMBOL_PRICE_KEY, read_span(&inner))
            elif inner.field == PriceRule_values:
                word = <uint32_t>catalog.intern_symbol(SYMBOL_PRICE_VALUE, read_span(&inner))
                at = value_count
                while at > first[rules] and values[at - 1] > word:
                    values[at] = values[at - 1]
                    at -= 1
                values[at] = word
                value_count += 1
            else:
                skip_field(&inner)
        counts[rules] = value_count - first[rules]
        at = rules
        while at > 0 and keys[order[at - 1]] > keys[rules]:
            order[at] = order[at - 1]
            at -= 1
        order[at] = rules
        rules += 1
    further.rule_count = <uint32_t>rules
    to = 0
    for at in range(rules):
        rule = order[at]
        words[to] = keys[rule]
        words[to + 1] = <uint32_t>counts[rule]
        to += 2
        for value_count in range(counts[rule]):
            words[to] = values[first[rule] + value_count]
            to += 1
    return 4 + to


cdef uint32_t find_currency(Catalog catalog, Span currency, Span own_currency) noexcept nogil:
    """A currency as the terms of rows have it; CURRENCY_UNKNOWN where no row is in it."""
    cdef int64_t row
    if currency.size == 0 or span_equal(currency, own_currency):
        return 0
    row = catalog.find_symbol(SYMBOL_CURRENCY, currency)
    return CURRENCY_UNKNOWN if row < 0 else <uint32_t>row + 1


cdef int read_attributes(
    Catalog catalog, Span request, uint32_t field, uint32_t* pairs, int64_t* count, Writer* out
) noexcept nogil:
    """Take the price attributes that stand in `field` of a request, pairs of symbols; what no row asks for is left out."""
    cdef Reader reader = reader_of(request), inner
    cdef Span[PRICE_ATTRIBUTES_MAX] keys
    cdef Span value
    cdef int64_t number = 0, at, key_row, value_row
    count[0] = 0
    while next_field(&reader):
        if reader.field != field:
            skip_field(&reader)
            continue
        if number == PRICE_ATTRIBUTES_MAX:
            return refuse(
                out, RESULT_CODE_TOO_MANY, "price_attributes", number, span_at(NULL, 0), number + 1, PRICE_ATTRIBUTES_MAX
            )
        inner = reader_of(read_span(&reader))
        keys[number] = value = span_at(NULL, 0)
        while next_field(&inner):
            if inner.field == PriceAttribute_key:
                keys[number] = read_span(&inner)
            elif inner.field == PriceAttribute_value:
                value = read_span(&inner)
            else:
                skip_field(&inner)
        if inner.bad:
            return MALFORMED
        if not is_code(keys[number]):
            return refuse(
                out, RESULT_CODE_FIELD_INVALID, "price_attributes.key", number, keys[number], keys[number].size,
                CODE_BYTES_MAX,
            )
        if not is_code(value):
            return refuse(
                out, RESULT_CODE_FIELD_INVALID, "price_attributes.value", number, keys[number], value.size, CODE_BYTES_MAX
            )
        for at in range(number):
            if span_equal(keys[at], keys[number]):
                return refuse(
                    out, RESULT_CODE_FIELD_INVALID, "price_attributes.key", number, keys[number], number, at
                )
        number += 1
        key_row = catalog.find_symbol(SYMBOL_PRICE_KEY, keys[number - 1])
        value_row = catalog.find_symbol(SYMBOL_PRICE_VALUE, value)
        if key_row >= 0 and value_row >= 0:
            pairs[2 * count[0]], pairs[2 * count[0] + 1] = <uint32_t>key_row, <uint32_t>value_row
            count[0] += 1
    return MALFORMED if reader.bad else RESULT_CODE_OK


cdef void write_terms(Catalog catalog, const TermsRow* terms, Writer* out) noexcept nogil:
    """Write what the terms say as fields of a PriceRow."""
    cdef const FurtherTerms* further
    cdef const uint32_t* words
    cdef int64_t mark
    cdef uint32_t _rule, at
    if terms.channel:
        write_span(out, PriceRow_channel_id, catalog.symbol(<int64_t>terms.channel - 1))
    if terms.customer_group:
        write_span(out, PriceRow_customer_group_id, catalog.symbol(<int64_t>terms.customer_group - 1))
    write_int(out, PriceRow_min_qty_milli, terms.min_qty_milli)
    write_int(out, PriceRow_base_qty_milli, terms.base_qty_milli)
    write_int(out, PriceRow_from_ns, terms.from_ns)
    write_int(out, PriceRow_to_ns, terms.to_ns)
    write_int(out, PriceRow_max_qty_milli, terms.max_qty_milli)
    write_int(out, PriceRow_overrides_base, overrides_base(terms))
    if not terms.further:
        return
    further = further_terms(catalog, terms)
    if further.list:
        write_span(out, PriceRow_list_id, catalog.symbol(<int64_t>further.list - 1))
    if further.currency:
        write_span(out, PriceRow_currency, catalog.symbol(<int64_t>further.currency - 1))
    if further.uom:
        write_span(out, PriceRow_uom, catalog.symbol(<int64_t>further.uom - 1))
    words = <const uint32_t*>(further + 1)
    for _rule in range(further.rule_count):
        mark = begin_message(out, PriceRow_rules)
        write_span(out, PriceRule_key, catalog.symbol(words[0]))
        for at in range(words[1]):
            write_span(out, PriceRule_values, catalog.symbol(words[2 + at]))
        end_message(out, mark)
        words += 2 + words[1]


cdef class PriceCommands:
    """What the catalog does with price-book rows."""

    def __cinit__(self, Catalog catalog, SettingsTable settings):
        self.catalog, self.settings = catalog, settings

    cdef int put_prices(self, Command* command, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(command.body)
        cdef PriceIn price
        cdef TermsRow terms
        cdef Span own_currency = self.settings.currency()
        cdef int64_t index = 0
        cdef int code = check_count(command.body, PutPricesRequest_rows, "rows", out)

        # Check.
        if code != RESULT_CODE_OK:
            return code
        while next_field(&reader):
            if reader.field != PutPricesRequest_rows:
                skip_field(&reader)
                continue
            price = read_price(read_span(&reader))
            code = self.check_price(&price, index, out)
            if code != RESULT_CODE_OK:
                return code
            index += 1

        # Apply.
        reader = reader_of(command.body)
        while next_field(&reader):
            if reader.field != PutPricesRequest_rows:
                skip_field(&reader)
                continue
            price = read_price(read_span(&reader))
            terms = terms_of_price(self.catalog, &price, own_currency)
            self.catalog.put_price(
                self.catalog.find_item_code(price.item),
                self.catalog.find_location(price.location) if price.location.size else -1,
                &terms, price.price_minor, price.removed,
            )
        return ok(out)

    cdef int check_price(self, PriceIn* price, int64_t index, Writer* out) noexcept nogil:
        cdef int code
        if price.bad:
            return MALFORMED
        if not is_code(price.item):
            return refuse(out, RESULT_CODE_FIELD_INVALID, "rows.item_id", index, price.item, price.item.size, CODE_BYTES_MAX)
        if not is_code_or_empty(price.location):
            return refuse(
                out, RESULT_CODE_FIELD_INVALID, "rows.location_id", index, price.item, price.location.size, CODE_BYTES_MAX
            )
        code = check_terms(price, index, IN_ROWS, out)
        if code != RESULT_CODE_OK:
            return code
        if self.catalog.find_item_code(price.item) < 0:
            return refuse(out, RESULT_CODE_ITEM_UNKNOWN, "rows.item_id", index, price.item, 0, 0)
        if price.location.size and self.catalog.find_location(price.location) < 0:
            return refuse(out, RESULT_CODE_LOCATION_UNKNOWN, "rows.location_id", index, price.location, 0, 0)
        return RESULT_CODE_OK
