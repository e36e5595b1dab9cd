"""Handlers about the rules of promising: policies of items, and channels."""

from libc.stdint cimport int64_t
from libc.string cimport memset

from ringup.native.catalog cimport SYMBOL_CHANNEL
from ringup.native.command cimport MALFORMED, Command, check_count, is_code, ok, refuse
from ringup.native.contract cimport (
    REMOVAL_FEFO,
    RESULT_CODE_FIELD_INVALID,
    RESULT_CODE_ITEM_UNKNOWN,
    RESULT_CODE_LOCATION_UNKNOWN,
    RESULT_CODE_OK,
    RESULT_CODE_QTY_INVALID,
    RESULT_CODE_QTY_TOO_LARGE,
    RESULT_CODE_TOO_MANY,
    SOURCING_FEWEST_SHIPMENTS,
    Channel_buffer_milli,
    Channel_channel_id,
    Channel_location_ids,
    Channel_sourcing,
    PreorderQuota_channel_id,
    PreorderQuota_qty_milli,
    PutChannelsRequest_channels,
    PutStockPoliciesRequest_policies,
    StockPolicy_backorder,
    StockPolicy_backorder_limit_milli,
    StockPolicy_backorder_location_id,
    StockPolicy_count_floor_allocated,
    StockPolicy_item_id,
    StockPolicy_low_milli,
    StockPolicy_max_qty_milli,
    StockPolicy_min_qty_milli,
    StockPolicy_preorder,
    StockPolicy_preorder_quotas,
    StockPolicy_preorder_total_milli,
    StockPolicy_removal,
    StockPolicy_safety_milli,
    StockPolicy_step_milli,
)
from ringup.native.limits cimport CODE_BYTES_MAX, QTY_MILLI_MAX
from ringup.native.stock_policy cimport (
    CHANNEL_PLACES_MAX,
    POLICY_BACKORDER,
    POLICY_COUNT_FLOOR,
    POLICY_PREORDER,
    UNLIMITED,
    ChannelRow,
    PolicyRow,
)
from ringup.native.stock_tally cimport tally_at, tally_clear, tally_find
from ringup.native.wire cimport Reader, Span, Writer, next_field, next_of, read_int, read_span, reader_of, skip_field


cdef struct QuotaIn:
    Span code
    int64_t qty_milli
    bint bad


cdef struct Amount:
    const char* field
    int64_t milli


cdef QuotaIn _read_quota(Span body) noexcept nogil:
    cdef QuotaIn quota
    cdef Reader reader = reader_of(body)
    memset(&quota, 0, sizeof(QuotaIn))
    while next_field(&reader):
        if reader.field == PreorderQuota_channel_id:
            quota.code = read_span(&reader)
        elif reader.field == PreorderQuota_qty_milli:
            quota.qty_milli = read_int(&reader)
        else:
            skip_field(&reader)
    quota.bad = reader.bad
    return quota


cdef class RuleCommands(ReorderCommands):
    """Policies and channels; each request goes in whole or not at all."""

    cdef PolicyIn read_policy(self, Span body) noexcept nogil:
        cdef PolicyIn policy
        cdef Reader reader = reader_of(body)
        memset(&policy, 0, sizeof(PolicyIn))
        policy.body = body
        policy.total_milli = UNLIMITED
        while next_field(&reader):
            if reader.field == StockPolicy_item_id:
                policy.code = read_span(&reader)
            elif reader.field == StockPolicy_backorder:
                policy.backorder = read_int(&reader) != 0
            elif reader.field == StockPolicy_backorder_limit_milli:
                policy.limit_milli = read_int(&reader)
            elif reader.field == StockPolicy_backorder_location_id:
                policy.debtor_code = read_span(&reader)
            elif reader.field == StockPolicy_safety_milli:
                policy.safety_milli = read_int(&reader)
            elif reader.field == StockPolicy_min_qty_milli:
                policy.min_milli = read_int(&reader)
            elif reader.field == StockPolicy_max_qty_milli:
                policy.max_milli = read_int(&reader)
            elif reader.field == StockPolicy_step_milli:
                policy.step_milli = read_int(&reader)
            elif reader.field == StockPolicy_removal:
                policy.removal = read_int(&reader)
            elif reader.field == StockPolicy_count_floor_allocated:
                policy.count_floor = read_int(&reader) != 0
            elif reader.field == StockPolicy_preorder:
                policy.preorder = read_int(&reader) != 0
            elif reader.field == StockPolicy_preorder_total_milli:
                policy.total_milli = read_int(&reader)
                policy.has_total = True
            elif reader.field == StockPolicy_preorder_quotas:
                read_span(&reader)
                policy.quota_count += 1
            elif reader.field == StockPolicy_low_milli:
                policy.low_milli = read_int(&reader)
            else:
                skip_field(&reader)
        policy.bad = reader.bad
        policy.item = self.catalog.find_item(policy.code)
        return policy

    cdef int put_stock_policies(self, Command* command, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(command.body), inner
        cdef PolicyIn policy
        cdef PolicyRow* row
        cdef QuotaIn quota
        cdef int64_t index = 0
        cdef int code = check_count(command.body, PutStockPoliciesRequest_policies, "policies", out)

        # Check.
        if code != RESULT_CODE_OK:
            return code
        while next_of(&reader, PutStockPoliciesRequest_policies):
            policy = self.read_policy(read_span(&reader))
            code = self.check_policy(&policy, index, out)
            if code != RESULT_CODE_OK:
                return code
            index += 1

        # Apply.
        reader = reader_of(command.body)
        while next_of(&reader, PutStockPoliciesRequest_policies):
            policy = self.read_policy(read_span(&reader))
            row = <PolicyRow*>self.stock.policies.edit(self.stock.edit_policy(policy.item))
            row.flags = (
                (POLICY_BACKORDER if policy.backorder else 0)
                | (POLICY_COUNT_FLOOR if policy.count_floor else 0)
                | (POLICY_PREORDER if policy.preorder else 0)
            )
            row.limit_milli = 0 if policy.backorder else policy.limit_milli
            row.backorder_location = <int>(self.catalog.find_location(policy.debtor_code) + 1)
            row.safety_milli = policy.safety_milli
            row.low_milli = policy.low_milli
            row.min_qty_milli = policy.min_milli
            row.max_qty_milli = policy.max_milli
            row.step_milli = policy.step_milli
            row.removal = <unsigned int>policy.removal
            row.preorder_total_milli = policy.total_milli if policy.has_total else UNLIMITED
            self.stock.clear_quotas(policy.item)
            inner = reader_of(policy.body)
            while next_of(&inner, StockPolicy_preorder_quotas):
                quota = _read_quota(read_span(&inner))
                self.stock.quota(
                    policy.item, self.catalog.intern_symbol(SYMBOL_CHANNEL, quota.code), True
                ).limit_milli = quota.qty_milli
            self.stock.owing_policies += self.stock.promises_more(row)
            self.stock.note_item(policy.item, self.stock.promises_more(row))
        return ok(out)

    cdef int check_policy(self, PolicyIn* policy, int64_t index, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(policy.body)
        cdef QuotaIn quota
        cdef Amount amounts[7]
        cdef Amount least, most
        cdef int i
        if policy.bad:
            return MALFORMED
        if not is_code(policy.code):
            return refuse(
                out, RESULT_CODE_FIELD_INVALID, "policies.item_id", index, policy.code, policy.code.size, CODE_BYTES_MAX
            )
        if not 0 <= policy.removal <= REMOVAL_FEFO:
            return refuse(
                out, RESULT_CODE_FIELD_INVALID, "policies.removal", index, policy.code, policy.removal, REMOVAL_FEFO
            )
        if policy.quota_count > CHANNEL_PLACES_MAX:
            return refuse(
                out, RESULT_CODE_TOO_MANY, "policies.preorder_quotas", index, policy.code, policy.quota_count,
                CHANNEL_PLACES_MAX,
            )
        amounts[0] = Amount("policies.backorder_limit_milli", policy.limit_milli)
        amounts[1] = Amount("policies.safety_milli", policy.safety_milli)
        amounts[2] = Amount("policies.min_qty_milli", policy.min_milli)
        amounts[3] = Amount("policies.max_qty_milli", policy.max_milli)
        amounts[4] = Amount("policies.step_milli", policy.step_milli)
        amounts[5] = Amount("policies.low_milli", policy.low_milli)
        amounts[6] = Amount("policies.preorder_total_milli", policy.total_milli if policy.has_total else 0)
        least = most = Amount("policies.preorder_quotas.qty_milli", 0)
        while next_of(&reader, StockPolicy_preorder_quotas):
            quota = _read_quota(read_span(&reader))
            if quota.bad:
                return MALFORMED
            if not is_code(quota.code):
                return refuse(
                    out, RESULT_CODE_FIELD_INVALID, "policies.preorder_quotas.channel_id", index, policy.code,
                    quota.code.size, CODE_BYTES_MAX,
                )
            least.milli, most.milli = min(least.milli, quota.qty_milli), max(most.milli, quota.qty_milli)
        for i in range(7):
            least = amounts[i] if amounts[i].milli < least.milli else least
            most = amounts[i] if amounts[i].milli > most.milli else most
        if least.milli < 0:
            return refuse(out, RESULT_CODE_QTY_INVALID, least.field, index, policy.code, least.milli, 0)
        if policy.max_milli and policy.max_milli < policy.min_milli:
            return refuse(
                out, RESULT_CODE_QTY_INVALID, "policies.max_qty_milli", index, policy.code, policy.max_milli,
                policy.min_milli,
            )
        if most.milli > QTY_MILLI_MAX:
            return refuse(out, RESULT_CODE_QTY_TOO_LARGE, most.field, index, policy.code, most.milli, QTY_MILLI_MAX)
        if policy.item < 0:
            return refuse(out, RESULT_CODE_ITEM_UNKNOWN, "policies.item_id", index, policy.code, 0, 0)
        if policy.debtor_code.size and self.catalog.find_location(policy.debtor_code) < 0:
            return refuse(
                out, RESULT_CODE_LOCATION_UNKNOWN, "policies.backorder_location_id", index, policy.debtor_code, 0, 0
            )
        return RESULT_CODE_OK

    cdef ChannelIn read_channel(self, Span body) noexcept nogil:
        cdef ChannelIn channel
        cdef Reader reader = reader_of(body)
        memset(&channel, 0, sizeof(ChannelIn))
        channel.body = body
        while next_field(&reader):
            if reader.field == Channel_channel_id:
                channel.code = read_span(&reader)
            elif reader.field == Channel_location_ids:
                read_span(&reader)
                channel.place_count += 1
            elif reader.field == Channel_sourcing:
                channel.sourcing = read_int(&reader)
            elif reader.field == Channel_buffer_milli:
                channel.buffer_milli = read_int(&reader)
            else:
                skip_field(&reader)
        channel.bad = reader.bad
        return channel

    cdef int put_channels(self, Command* command, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(command.body), inner
        cdef ChannelIn channel
        cdef ChannelRow* row
        cdef int64_t index = 0, at
        cdef int code = check_count(command.body, PutChannelsRequest_channels, "channels", out)

        # Check.
        if code != RESULT_CODE_OK:
            return code
        while next_of(&reader, PutChannelsRequest_channels):
            channel = self.read_channel(read_span(&reader))
            code = self.check_channel(&channel, index, out)
            if code != RESULT_CODE_OK:
                return code
            index += 1

        # Apply.
        reader = reader_of(command.body)
        while next_of(&reader, PutChannelsRequest_channels):
            channel = self.read_channel(read_span(&reader))
            at = self.stock.put_channel(self.catalog.intern_symbol(SYMBOL_CHANNEL, channel.code))
            self.stock.clear_channel_places(at)
            row = <ChannelRow*>self.stock.channels.edit(at)
            row.sourcing = <unsigned int>channel.sourcing
            row.buffer_milli = channel.buffer_milli
            inner = reader_of(channel.body)
            while next_of(&inner, Channel_location_ids):
                self.stock.add_channel_place(at, self.catalog.find_location(read_span(&inner)))
        self.stock.places_changed()
        return ok(out)

    cdef int check_channel(self, ChannelIn* channel, int64_t index, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(channel.body)
        cdef Span code
        cdef int64_t location
        if channel.bad:
            return MALFORMED
        if not is_code(channel.code):
            return refuse(
                out, RESULT_CODE_FIELD_INVALID, "channels.channel_id", index, channel.code, channel.code.size,
                CODE_BYTES_MAX,
            )
        if not 0 <= channel.sourcing <= SOURCING_FEWEST_SHIPMENTS:
            return refuse(
                out, RESULT_CODE_FIELD_INVALID, "channels.sourcing", index, channel.code, channel.sourcing,
                SOURCING_FEWEST_SHIPMENTS,
            )
        if channel.place_count > CHANNEL_PLACES_MAX:
            return refuse(
                out, RESULT_CODE_TOO_MANY, "channels.location_ids", index, channel.code, channel.place_count,
                CHANNEL_PLACES_MAX,
            )
        if not 0 <= channel.buffer_milli <= QTY_MILLI_MAX:
            return refuse(
                out, RESULT_CODE_QTY_INVALID, "channels.buffer_milli", index, channel.code, channel.buffer_milli, 0
            )
        tally_clear(&self.sums)
        while next_of(&reader, Channel_location_ids):
            code = read_span(&reader)
            location = self.catalog.find_location(code)
            if location < 0:
                return refuse(out, RESULT_CODE_LOCATION_UNKNOWN, "channels.location_ids", index, code, 0, 0)
            if tally_find(&self.sums, location) != NULL:
                return refuse(out, RESULT_CODE_FIELD_INVALID, "channels.location_ids", index, code, 2, 1)
            tally_at(&self.sums, location)
        return RESULT_CODE_OK
