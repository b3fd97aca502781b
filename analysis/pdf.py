"""Drawings as PDF whose bytes depend on the drawing alone.

The renderer writes fonts, and names what a page uses, in the order of a hash table, which differs
from call to call. Here names are sorted, and objects numbered and written in the order in which the
root comes to them.
"""

import re

import vl_convert

Objects = dict[int, tuple[bytes, bytes]]
"""Dictionary and stream by an object's number."""
_OBJECT = re.compile(rb"(\d+) 0 obj\n")
_REFERENCE = re.compile(rb"\b(\d+) 0 R\b")
_NAMED = re.compile(rb"(?m)(?:^ +/\w+ \d+ 0 R\n)+")
_LENGTH = re.compile(rb"/Length (\d+)\b")
_SIZE = re.compile(r'\b(width|height)="([\d.]+)(?:pt)?"(?=[^>]*viewBox)')
_ROOT = re.compile(rb"/Root (\d+) 0 R\b")
_STREAM, _END = b"\nstream\n", b"\nendobj\n\n"


def draw_pdf(svg: str, factor: float = 1.0) -> bytes:
    """Draw an SVG as a PDF of its size in points, its text as text.

    Parameters
    ----------
    svg : str
        Its width and height in points, with their unit or without.
    factor : float
        Size of the PDF over that.

    Returns
    -------
    bytes
    """
    head, tail = svg[:400], svg[400:]
    # A bare number is a point here, elsewhere a pixel.
    head = _SIZE.sub(lambda match: f'{match[1]}="{float(match[2]) * factor:.3f}"', head)
    return order_objects(vl_convert.svg_to_pdf(head + tail))


def order_objects(data: bytes) -> bytes:
    """Renumber and write the objects of a PDF in the order in which its root comes to them.

    Parameters
    ----------
    data : bytes
        As the renderer writes it: every object by itself, no older version of any.

    Returns
    -------
    bytes
        The same document; what nothing refers to is left out.

    Raises
    ------
    ValueError
        It is no such PDF.
    """
    head, objects, root = _parse(data)
    numbers = _number(objects, root)
    body, places = bytearray(head), []
    for old, new in numbers.items():
        dictionary, stream = objects[old]
        renamed = _REFERENCE.sub(lambda match: b"%d 0 R" % numbers[int(match[1])], dictionary)
        places.append(len(body))
        body += b"%d 0 obj\n%s%s%s" % (new, renamed, stream, _END)
    start = len(body)
    body += b"xref\n0 %d\n0000000000 65535 f\r\n" % (len(places) + 1)
    body += b"".join(b"%010d 00000 n\r\n" % place for place in places)
    trailer = b"trailer\n<<\n  /Size %d\n  /Root 1 0 R\n>>\nstartxref\n%d\n%%%%EOF"
    return bytes(body + trailer % (len(places) + 1, start))


def _parse(data: bytes) -> tuple[bytes, Objects, int]:
    """Part a PDF: what is before its objects, the objects, and the number of the root."""
    first, end = _OBJECT.search(data), data.rfind(b"\nxref\n")
    root = _ROOT.search(data, max(end, 0))
    if first is None or end < 0 or root is None:
        raise ValueError("no PDF as the renderer writes it: no object, table or root")
    objects: Objects = {}
    place = first.start()
    while (match := _OBJECT.match(data, place)) is not None:
        stop = data.index(b"\nendobj", match.end())
        stream = data.find(_STREAM, match.end(), stop)
        if stream < 0:
            objects[int(match[1])] = _sort_names(data[match.end() : stop]), b""
        else:
            dictionary = data[match.end() : stream]
            length = _LENGTH.search(dictionary)
            if length is None:
                raise ValueError("no PDF as the renderer writes it: a stream without a length")
            # A stream may hold the word that ends an object.
            stop = data.index(b"\nendobj", stream + len(_STREAM) + int(length[1]))
            objects[int(match[1])] = _sort_names(dictionary), data[stream:stop]
        place = stop + len(_END)
    return data[: first.start()], objects, int(root[1])


def _sort_names(dictionary: bytes) -> bytes:
    """Sort names that stand for objects, a line each, where several follow one another."""
    return _NAMED.sub(lambda match: b"".join(sorted(match[0].splitlines(True))), dictionary)


def _number(objects: Objects, root: int) -> dict[int, int]:
    """Give objects numbers from 1 on, the root first, then as they are referred to."""
    numbers: dict[int, int] = {}
    left = [root]
    while left:
        old = left.pop()
        if old in numbers:
            continue
        numbers[old] = len(numbers) + 1
        named = [int(number) for number in _REFERENCE.findall(objects[old][0])]
        left += reversed(named)
    return numbers
