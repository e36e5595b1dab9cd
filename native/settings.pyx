"""Settings that are part of the state, so that every replay of the journal has the same."""

from libc.stdint cimport int64_t
from libc.string cimport memcmp, memcpy, memset, strlen

from ringup.native.catalog cimport Catalog
from ringup.native.command cimport MALFORMED, Command, ok, refuse
from ringup.native.contract cimport (
    RESULT_CODE_AMOUNT_INVALID,
    RESULT_CODE_CURRENCY_IN_USE,
    RESULT_CODE_FIELD_INVALID,
    RESULT_CODE_TIME_INVALID,
    ROUNDING_MODE_DOWN,
    ROUNDING_MODE_HALF_UP,
    ROUNDING_MODE_UNSPECIFIED,
    GetSettingsResponse_settings,
    PutSettingsRequest_settings,
    Settings_cash_increment_minor,
    Settings_cash_rounding,
    Settings_currency,
    Settings_receipts_after,
    Settings_reply_retention_ms,
)
from ringup.native.money cimport DOWN, HALF_UP
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
    write_int,
    write_span,
)

# The two lists of roundings stand in the same order, the proto's after its zero.
assert ROUNDING_MODE_HALF_UP == HALF_UP + 1 and ROUNDING_MODE_DOWN == DOWN + 1

cdef enum:
    CASH_INCREMENT_MINOR_MAX = 100000
    RECEIPTS_AFTER_MAX = 10000000  # `Core.receipt_gaps` has a bit for each number of each till

DEFAULT_REPLY_RETENTION_MS = 7 * 86_400_000
cdef int64_t _RETENTION_MS_DEFAULT = DEFAULT_REPLY_RETENTION_MS
cdef int64_t _RETENTION_MS_MAX = 3650 * <int64_t>86400000


cdef class SettingsTable:
    """One row of settings and its command and query."""

    def __cinit__(self, Catalog catalog):
        cdef SettingsRow* row
        self.catalog = catalog
        self.rows = Table("settings", sizeof(SettingsRow))
        self.tables = [self.rows]
        self.rows.append()
        row = <SettingsRow*>self.rows.edit(0)
        memcpy(row.currency, b"EUR", 3)
        row.cash_increment_minor = 1
        row.reply_retention_ms = _RETENTION_MS_DEFAULT

    cdef int put_settings(self, Command* command, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(command.body)
        cdef Span body = no_span(), currency = no_span()
        cdef int64_t increment = 0, retention = 0, rounding = 0, receipts_after = 0, at
        cdef SettingsRow* row
        # Check.
        while next_of(&reader, PutSettingsRequest_settings):
            body = read_span(&reader)
        if reader.bad:
            return MALFORMED
        reader = reader_of(body)
        while next_field(&reader):
            if reader.field == Settings_currency:
                currency = read_span(&reader)
            elif reader.field == Settings_cash_increment_minor:
                increment = read_int(&reader)
            elif reader.field == Settings_reply_retention_ms:
                retention = read_int(&reader)
            elif reader.field == Settings_cash_rounding:
                rounding = read_int(&reader)
            elif reader.field == Settings_receipts_after:
                receipts_after = read_int(&reader)
            else:
                skip_field(&reader)
        if reader.bad:
            return MALFORMED
        if currency.size != 3:
            return refuse(out, RESULT_CODE_FIELD_INVALID, "settings.currency", 0, currency, currency.size, 3)
        for at in range(3):
            if not 65 <= currency.data[at] <= 90:
                return refuse(out, RESULT_CODE_FIELD_INVALID, "settings.currency", 0, currency, 0, 0)
        if not ROUNDING_MODE_UNSPECIFIED <= rounding <= ROUNDING_MODE_DOWN:  # those that are symmetric around zero
            return refuse(
                out, RESULT_CODE_FIELD_INVALID, "settings.cash_rounding", 0, currency, rounding, ROUNDING_MODE_DOWN
            )
        if not 0 <= receipts_after <= RECEIPTS_AFTER_MAX:
            return refuse(
                out, RESULT_CODE_FIELD_INVALID, "settings.receipts_after", 0, currency, receipts_after,
                RECEIPTS_AFTER_MAX,
            )
        if not 0 <= increment <= CASH_INCREMENT_MINOR_MAX:
            return refuse(
                out, RESULT_CODE_AMOUNT_INVALID, "settings.cash_increment_minor", 0, currency, increment,
                CASH_INCREMENT_MINOR_MAX,
            )
        if not 0 <= retention <= _RETENTION_MS_MAX:
            return refuse(
                out, RESULT_CODE_TIME_INVALID, "settings.reply_retention_ms", 0, currency, retention, _RETENTION_MS_MAX
            )

        if memcmp(self.now().currency, currency.data, 3) != 0 and self.catalog.price_count() > 0:
            return refuse(
                out, RESULT_CODE_CURRENCY_IN_USE, "settings.currency", 0, currency, self.catalog.price_count(), 0
            )

        # Apply.
        row = <SettingsRow*>self.rows.edit(0)
        memset(row.currency, 0, sizeof(row.currency))
        memcpy(row.currency, currency.data, 3)
        row.cash_increment_minor = increment if increment else 1
        row.reply_retention_ms = retention if retention else _RETENTION_MS_DEFAULT
        row.cash_rounding = rounding - ROUNDING_MODE_HALF_UP if rounding else HALF_UP
        row.receipts_after = max(row.receipts_after, receipts_after)
        return ok(out)

    cdef int get_settings(self, Span request, Writer* out) noexcept nogil:
        cdef SettingsRow* row = self.now()
        cdef Reader reader = reader_of(request)
        cdef int64_t mark
        while next_field(&reader):
            skip_field(&reader)
        if reader.bad:
            return MALFORMED
        mark = begin_message(out, GetSettingsResponse_settings)
        write_span(out, Settings_currency, span_at(row.currency, strlen(row.currency)))
        write_int(out, Settings_cash_increment_minor, row.cash_increment_minor)
        write_int(out, Settings_reply_retention_ms, row.reply_retention_ms)
        write_int(out, Settings_cash_rounding, row.cash_rounding + ROUNDING_MODE_HALF_UP)
        write_int(out, Settings_receipts_after, row.receipts_after)
        end_message(out, mark)
        return ok(out)
