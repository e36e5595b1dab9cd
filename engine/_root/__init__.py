"""RingUp: the transaction engine behind a retailer's tills and online shop."""
