"""Learned codecs: trained, coded to a stated ratio, decoded to the same pixels anywhere."""
