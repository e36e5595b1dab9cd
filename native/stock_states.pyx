"""The states of an order and what may change them.

A row is an action, its columns are the states that the order is in, a field is the state it goes to.
"""

from ringup.native.contract cimport (
    ORDER_STATE_CANCELLED,
    ORDER_STATE_EXPIRED,
    ORDER_STATE_HANDED_OVER,
    ORDER_STATE_PACKED,
    ORDER_STATE_PICKING,
    ORDER_STATE_PLACED,
    ORDER_STATE_READY,
    ORDER_STATE_SHIPPED,
)

cdef extern from *:
    """
    #define ORDER_ACTIONS 9
    #define ORDER_STATES 9
    /* to:    -  PLACED PICKING PACKED READY SHIPPED HANDED_OVER CANCELLED EXPIRED  (the column: from) */
    static const unsigned char order_table[ORDER_ACTIONS][ORDER_STATES] = {
        /* ADD       */ {0, 1, 1, 1, 0, 1, 1, 0, 0},
        /* PICK      */ {0, 2, 2, 0, 0, 0, 0, 0, 0},
        /* PACK      */ {0, 0, 3, 0, 0, 0, 0, 0, 0},
        /* READY     */ {0, 0, 0, 4, 0, 0, 0, 0, 0},
        /* HAND_OVER */ {0, 0, 0, 0, 6, 0, 0, 0, 0},
        /* SHIP      */ {0, 5, 5, 5, 5, 5, 6, 0, 0},
        /* UNSHIP    */ {0, 1, 1, 1, 1, 1, 1, 0, 0},
        /* CANCEL    */ {0, 7, 7, 7, 7, 7, 7, 7, 8},
        /* EXPIRE    */ {0, 0, 0, 0, 8, 0, 0, 0, 0},
    };
    """
    const unsigned char order_table[ACTION_COUNT][STATE_COUNT]

assert (
    ORDER_STATE_PLACED, ORDER_STATE_PICKING, ORDER_STATE_PACKED, ORDER_STATE_READY, ORDER_STATE_SHIPPED,
    ORDER_STATE_HANDED_OVER, ORDER_STATE_CANCELLED, ORDER_STATE_EXPIRED,
) == (1, 2, 3, 4, 5, 6, 7, 8), "the columns of the table are the numbers of OrderState"


cdef int next_state(int action, int state) noexcept nogil:
    """Where an action takes an order in a state; 0 where the action is not allowed."""
    return order_table[action][state]


def transitions() -> list[tuple[int, int, int]]:
    """The whole table: (action, from, to), for tests and documents."""
    return [
        (action, state, order_table[action][state])
        for action in range(ACTION_COUNT)
        for state in range(STATE_COUNT)
        if order_table[action][state]
    ]


# Who may do what, in the order of OrderAction; the edge holds callers with roles to it (engine/callers.py).
ROLES = (
    "shop", "store or warehouse", "store or warehouse", "store", "store", "store or warehouse", "store or warehouse",
    "shop", "clock",
)
ACTIONS = ("add", "pick", "pack", "ready", "hand over", "ship (all)", "unship", "cancel (all)", "not collected")
# The same for holds, whose states stand in stock_holds.pyx.
HOLD_ROLES = {
    "hold": "shop or till", "resize": "shop or till", "extend": "shop or till", "pay": "shop or till",
    "release": "shop or till", "commit": "shop or till", "order": "shop", "deadline": "clock",
}


def actions() -> list[tuple[str, str]]:
    """(action, who may do it) in the order of the table's rows, for callers, tests and documents."""
    return list(zip(ACTIONS, ROLES, strict=True))


def hold_actions() -> list[tuple[str, str]]:
    """(action on a hold, who may do it), for callers, tests and documents."""
    return list(HOLD_ROLES.items())
