def settle(
    total_minor: int,
    gift_cards: list[int],
    payments: list[tuple[bool, int | None, int | None]],
    increment_minor: int = ...,
    rounding: int = ...,
) -> tuple[int, int, int, list[int]]: ...
