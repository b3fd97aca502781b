"""Words that several packages say alike."""


def count_noun(count: int, noun: str) -> str:
    """Say a count and its noun: 1 image, 24,576 blocks.

    Parameters
    ----------
    count : int
    noun : str
        In the singular; its plural ends in s.

    Returns
    -------
    str
    """
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
