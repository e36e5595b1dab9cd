# The states of an order and what may change them: the one table.
from libc.stdint cimport int64_t

cdef enum OrderAction:
    ACTION_ADD = 0  # PlaceOrder with add
    ACTION_PICK = 1  # PickOrder, by the store or the warehouse
    ACTION_PACK = 2  # PackOrder, by the same
    ACTION_READY = 3  # ReadyOrder, by the store of the pickup
    ACTION_HAND_OVER = 4  # HandOverOrder, by the same
    ACTION_SHIP = 5  # ShipOrder with nothing left to ship
    ACTION_UNSHIP = 6  # UnshipOrder
    ACTION_CANCEL = 7  # CancelOrder with nothing shipped and nothing left
    ACTION_EXPIRE = 8  # the clock: not collected in time

cdef enum:
    ACTION_COUNT = 9
    STATE_COUNT = 9  # OrderState and its unspecified zero

cdef int next_state(int action, int state) noexcept nogil  # 0: not allowed
