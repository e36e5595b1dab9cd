"""What ZVT's codes mean, for a cashier. Source: PA00P015, chapters 3 (intermediate status), 8 and 10."""

from __future__ import annotations

RESULT_TEXTS = {
    0x00: "no error",
    0x64: "card not readable",
    0x65: "card data missing",
    0x66: "processing error",
    0x67: "function not permitted for debit cards",
    0x68: "function not permitted for credit cards",
    0x6A: "turnover file full: close the day",
    0x6B: "function switched off: register the terminal",
    0x6C: "aborted by time-out or by key",
    0x6E: "card blocked",
    0x6F: "wrong currency",
    0x71: "not enough credit on the card",
    0x72: "chip error",
    0x73: "card data wrong",
    0x75: "text not authentic",
    0x76: "card not on the allowed list",
    0x77: "end of day not possible",
    0x78: "card expired",
    0x79: "card not yet valid",
    0x7A: "card unknown",
    0x7B: "no fallback to the stripe for debit cards",
    0x7C: "no fallback to the stripe for credit cards",
    0x7D: "communication error",
    0x7E: "no fallback to the stripe",
    0x83: "function not possible",
    0x85: "key missing",
    0x89: "PIN pad defective",
    0x9A: "protocol error",
    0x9B: "dial-up or communication error",
    0x9C: "please wait",
    0xA0: "terminal not ready",
    0xB1: "memory full",
    0xB4: "already reversed",
    0xB5: "reversal not possible",
    0xB7: "amount too high or too low for a pre-authorisation",
    0xBF: "signature pad error",
    0xC1: "diagnosis required",
    0xC2: "maximum amount exceeded",
    0xCC: "not logged in",
    0xD2: "connection to the host failed",
    0xDC: "card inserted",
    0xE0: "card not inserted",
    0xF0: "open end-of-day batch",
    0xF5: "personalisation error",
    0xF6: "personalisation missing",
    0xFA: "offline transactions not sent",
    0xFB: "turnover record defective",
    0xFC: "a needed device is missing or defective",
    0xFE: "register unknown",
    0xFF: "system error",
}

INTERMEDIATE_TEXTS = {
    0x00: "terminal waits for the amount to be confirmed",
    0x01: "please watch the PIN pad",
    0x02: "please watch the PIN pad",
    0x03: "not accepted",
    0x04: "terminal waits for the host",
    0x05: "terminal sends an automatic reversal",
    0x06: "terminal sends offline bookings",
    0x07: "card not admitted",
    0x08: "card unknown",
    0x09: "card expired",
    0x0A: "insert card",
    0x0B: "please remove the card",
    0x0C: "card not readable",
    0x0D: "processing interrupted",
    0x0E: "please wait",
    0x0F: "terminal starts an automatic end of day",
    0x10: "card invalid",
    0x11: "balance shown",
    0x12: "system error",
    0x13: "payment not possible",
    0x14: "not enough credit",
    0x15: "wrong PIN",
    0x17: "please wait",
    0x18: "too many PIN attempts",
    0x19: "card data wrong",
    0x41: "please watch the PIN pad and remove the card",
    0x66: "processing interrupted, remove the card",
    0xC9: "please take the card",
    0xD2: "connecting to the host",
    0xD3: "disconnecting",
    0xE0: "terminal waits for the amount of the tip",
    0xFF: "unknown",
}


def result_text(code: int) -> str:
    """Return what a result or error code means; 1 to 99 come from the host of the card scheme.

    >>> result_text(0x6C)
    'aborted by time-out or by key'
    """
    if 1 <= code <= 99:
        return f"declined by the host (code {code})"
    return RESULT_TEXTS.get(code, f"code {code:02X}")


def intermediate_text(code: int) -> str:
    """Return what an intermediate status means.

    >>> intermediate_text(0x0A)
    'insert card'
    """
    return INTERMEDIATE_TEXTS.get(code, f"status {code:02X}")
