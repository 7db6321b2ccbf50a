"""A sound CSV file, broken ones, and what must be said of each."""

from __future__ import annotations

import gzip

GOOD = "a,b,t,y\n" + "".join(
    f"{i},{i % 7}.5,{'uvw'[i % 3]},{'no' if i % 2 else 'yes'}\n" for i in range(30)
)
NUMBERS = [f"{i},{i % 7}.5,{'no' if i % 2 else 'yes'}" for i in range(20)]


def numbers(line: int, text: str) -> str:
    """A sound table of numbers, with the given file line replaced."""
    lines = ["a,b,y", *NUMBERS]
    lines[line - 1] = text
    return "\n".join(lines) + "\n"


BROKEN = {
    "missing target": (numbers(3, "1,2,NA"), ":3: the target 'NA' is missing or not"),
    "no target": ("a,b,y\n1,2,\n3,4,\n", "column 'y': the target is missing in every row"),
    "text in numbers": (numbers(9, "oops,1.5,no"), ":9: column 'a': 'oops' is not a number"),
    "inf": (numbers(6, "1,inf,no"), ":6: column 'b': inf is not a finite"),
    "beyond float32": (numbers(6, "1,1e39,no"), ":6: column 'b': 1e+39 is not a finite"),
    "two separators": ("a, b;y\n" + "1,5;2\n" * 9, "could be separated by commas or semicolons"),
    "uneven semicolons": ("a;b;y\n1;2\n", "one column only, 'a;b;y'"),
    "one column": ("y\n1\n2\n", "no feature column is left beside the target 'y'"),
    "no header": ("1,2.5,0\n" * 9, ":1: the header is missing"),
    "long row": (numbers(8, "1,2,no,more"), ":8: 4 cells where the header has 3 columns"),
    "short row": (numbers(8, "1,2"), ":8: 2 cells where the header has 3 columns"),
    "duplicate names": (numbers(1, "a,a,y"), ":1: duplicate column names 'a'"),
    "unnamed column": (numbers(1, "a,,y"), "column 2 has no name"),
    "unnamed first column": (",b,y\n" + "3,1,no\n4,2,yes\n" * 9, "does not count the rows"),
    "unknown target": (numbers(1, "a,b,yy"), "no column 'y'; did you mean 'yy'?"),
    "one class": ("a,y\n" + "1,no\n2,no\n" * 9, "one class only, 'no'"),
    "a class with one row": (numbers(4, "1,1.5,maybe"), ":4: class 'maybe' has 1 row"),
    "ambiguous": (
        "a,y\n" + "".join(f"{i},{i}\n" * 2 for i in range(30)),
        "say task: classification or task: regression",
    ),
    "label among numbers": (
        "a,y\n" + "1,0\n2,1\n" * 9 + "1,none\n",
        ":20: target 'none' is not a number",
    ),
    "no text": (numbers(9, "1,2,\x81").encode("latin-1"), ":9: byte 0x81 is not of the encoding"),
    "cut gzip file": (gzip.compress(numbers(1, "a,b,y").encode())[:30], "not a sound gzip file"),
    "binary": (b"a,y\n1,2\n\0\0,1\n", ":3: a NUL byte"),
    "empty": (b"", "the file is empty"),
    "only a header": ("a,b,y\n", "no row under it"),
    "open quote": (numbers(9, '1,"2,no'), ":9: malformed CSV"),
    "constant regression target": ("a,y\n" + "1,2.5\n2,2.5\n" * 9, "the target is constant"),
}

#: What is an error with `impute: none`.
INCOMPLETE = {
    "missing number": (numbers(5, ",1.5,no"), ":5: column 'a': missing value"),
    "missing text": (GOOD.replace("3,3.5,u,", "3,3.5,,"), ":5: column 't': missing value"),
}
