"""The explorer: a local page over a published warehouse, to look at blocks and to ask it."""
