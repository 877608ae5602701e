#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes zie-unicode-tables.h: letters, numbers and combining classes as the reference tokenizer sees them.

usage: make-unicode-tables.py > zie-unicode-tables.h        (needs the PyPI package `tokenizers`)

The reference splits words with the character classes of its regular expression library and normalises with tables of an
older Unicode version, and neither version is the one of the GLib that this program happens to run with.  So both are
asked, code point by code point, and the answers become tables.
"""
import unicodedata

import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers

CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]


def members(pattern):
    """The code points that match PATTERN: what is left out when matches are removed."""
    split = pre_tokenizers.Split(Regex(pattern), "removed")
    kept = {ord(c) for piece, _ in split.pre_tokenize_str("".join(map(chr, CODE_POINTS))) for c in piece}
    return [c for c in CODE_POINTS if c not in kept]


def combining_classes():
    """(code point, class) where the reference reorders: its class is Python's, or 0 where its table is older."""
    nfd = normalizers.NFD().normalize_str
    found = []
    for c in CODE_POINTS:
        combining = unicodedata.combining(chr(c))
        if combining == 0:
            continue
        # U+0334 has class 1 and goes before everything higher, U+0345 has class 240 and goes after everything lower.
        after, before = chr(c) + "\u0334", "\u0345" + chr(c)
        if nfd(after) != nfd(chr(c)) + "\u0334" or nfd(before) != "\u0345" + nfd(chr(c)) or c == 0x345:
            found.append((c, combining))
    return found


def ranges(items):
    """[(first, last, value)] of consecutive code points with the same value."""
    result = []
    for c, value in items:
        if result and result[-1][1] == c - 1 and result[-1][2] == value:
            result[-1][1] = c
        else:
            result.append([c, c, value])
    return result


def table(name, rows, cells):
    print(f"static const {name}[] = {{")
    line = " "
    for row in rows:
        cell = " { " + ", ".join(cells(row)) + " },"
        if len(line) + len(cell) > 112:
            print(line)
            line = " "
        line += cell
    print(line)
    print("};")


letters = ranges((c, 0) for c in members(r"\p{L}"))
numbers = ranges((c, 0) for c in members(r"\p{N}"))
classes = ranges(combining_classes())

print("/* SPDX-License-Identifier: Apache-2.0")
print(f" * Written by make-unicode-tables.py from tokenizers {tokenizers.__version__}; derived from the Unicode Character")
print(" * Database (THIRD-PARTY.md).  Rising and disjoint. */")
print("#pragma once\n")
print("#include <glib.h>\n")
print("typedef struct { guint32 first, last; } ZieUnicodeRange;")
print("typedef struct { guint32 first, last; guint8 combining; } ZieUnicodeMarks;\n")
print("/* \\p{L} */")
table("ZieUnicodeRange unicode_letters", letters, lambda r: (hex(r[0]), hex(r[1])))
print("\n/* \\p{N} */")
table("ZieUnicodeRange unicode_numbers", numbers, lambda r: (hex(r[0]), hex(r[1])))
print("\n/* Canonical combining classes other than 0. */")
table("ZieUnicodeMarks unicode_marks", classes, lambda r: (hex(r[0]), hex(r[1]), str(r[2])))
