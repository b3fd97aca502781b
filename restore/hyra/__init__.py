"""HyRA, hybrid response analysis: what of a network is a linear filter, and what it adds to it."""
