"""Characters that take a whole square: between them a line may break, and none has a space."""

WIDE = r"\u3000-\u9fff\uff00-\uffef"
"""For a character class of `re`."""
