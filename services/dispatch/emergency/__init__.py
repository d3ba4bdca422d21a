"""When we are down ourselves: withdrawals that were built beforehand, sent with nothing else running."""
