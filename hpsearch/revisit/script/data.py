"""The data part of a standalone Keras program: rows, split, features, targets."""

from __future__ import annotations

import hashlib
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hpsearch.data.builtin import describe, image_folder
from hpsearch.data.columns import FLOAT64_WHOLE, MISSING
from hpsearch.data.dataset import Dataset, Inputs, Options, RawData, Split
from hpsearch.data.specs import DATE_PARTS, InputSpec, Target, Task
from hpsearch.data.tables import scan
from hpsearch.data.targets import Classes
from hpsearch.spec.data import DataSpec

_WIDTH = 96
#: Characters around an expression on its line.
_AROUND = 20


def literal(value: Any) -> str:
    """Return a value's source text."""
    if isinstance(value, Mapping):
        items = (f"{literal(key)}: {literal(item)}" for key, item in value.items())
        return f"{{{', '.join(items)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    text = repr(value)
    plain = isinstance(value, str) and not {"'", '"', "\\"} & set(text[1:-1])
    return f'"{value}"' if plain else text


def listing(values: Iterable[Any]) -> str:
    """Return a list's source text, over several lines if it is long."""
    items = [literal(value) for value in values]
    if sum(len(item) + 2 for item in items) <= _WIDTH - _AROUND:
        return f"[{', '.join(items)}]"
    lines = [""]
    for item in items:
        # `textwrap` would break within items that contain spaces.
        if lines[-1] and len(lines[-1]) + len(item) + 2 > _WIDTH:
            lines.append("")
        lines[-1] += f"{item}, "
    return "\n".join(["[", *(f"    {line.rstrip()}" for line in lines), "]"])


def numbers(values: Sequence[float]) -> str:
    """Return the source text of `(n,)` numbers as a float32 array, or of one as a scalar."""
    if len(values) == 1:
        return f"np.float32({values[0]!r})"
    return f'np.array({listing(values)}, "float32")'


def call(
    function: str, positional: Sequence[str] = (), named: Mapping[str, str] | None = None
) -> str:
    """Return a call's source text, over several lines if it is long.

    Args:
        positional, named: The arguments' source text.
    """
    arguments = [*positional, *(f"{name}={text}" for name, text in (named or {}).items())]
    line = f"{function}({', '.join(arguments)})"
    if len(line) <= _WIDTH - _AROUND and "\n" not in line:
        return line
    lines = "".join(f"{argument},\n" for argument in arguments)
    return f"{function}(\n{textwrap.indent(lines, '    ')})"


def imported(reference: str, name: str) -> str:
    """Return statements that import `package.module:attribute` as `name`."""
    module, _, attribute = reference.partition(":")
    first, *inner = attribute.split(".")
    line = f"from {module} import {first} as {name}"
    return "\n".join([line, *([f"{name} = {'.'.join([name, *inner])}"] if inner else [])])


def joined(parts: Iterable[str]) -> str:
    """Join parts of a program, with two blank lines around definitions and one elsewhere."""
    text = ""
    for part in (each.strip("\n") for each in parts):
        if text:
            defined = [line for line in text.splitlines() if line[:1].strip(" )]}")][-1]
            wide = part.startswith("def ") or defined.startswith("def ")
            text += "\n\n\n" if wide else "\n\n"
        text += part
    return text + "\n"


_DIGITS = 16
_IMAGES = '''\
def idx(folder, name):
    """Read the array in an IDX file of bytes, gzipped or not."""
    path = Path(folder, name)
    packed = path.with_name(path.name + ".gz")
    data = gzip.open(packed).read() if packed.is_file() else path.read_bytes()
    shape = np.frombuffer(data, ">u4", data[3], 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)


if Path({folder}).is_dir():
    x = idx({folder}, "train-images-idx3-ubyte")
    y = idx({folder}, "train-labels-idx1-ubyte")
else:
    (x, y), _ = keras.datasets.{name}.load_data()
'''

_CSV = '''\
def read(path, names):
    """Read a table, as text in the columns that hpsearch reads as text."""
    return pd.read_csv(
        path, names=names, header=0, usecols=[*FEATURES, TARGET], dtype=dict.fromkeys(TEXT, str),
        na_filter=False, skipinitialspace=True, low_memory=False, index_col=False, encoding="utf-8",
    )
'''

_TIDY = '''\
COLUMNS = {columns}
TEXTS = {texts}
DATES = {dates}  # the format of each, and from when on seconds count
MISSING = {missing}


def tidy(table):
    """Return numbers, NaN where one is missing, texts, empty where one is, and parts of dates."""
    made = {{}}
    for name in COLUMNS:
        cells = table[name]
        gone = cells.isna() | cells.isin(MISSING)
        if name in DATES:
            form, first = DATES[name]
            if cells.dtype.kind != "M":
                cells = pd.to_datetime(cells.mask(gone).astype(object), format=form, utc=True)
            at = cells.dt.tz_localize(None) if cells.dt.tz is None else cells.dt.tz_convert(None)
            seconds = (at - pd.Timestamp(first)) / pd.Timedelta(seconds=1)
            parts = (at.dt.year, at.dt.month, at.dt.day_of_week, at.dt.day_of_year, seconds)
            for part, each in zip({parts}, parts):
                made[f"{{name}}.{{part}}"] = each.astype("float64").mask(gone).to_numpy("float32")
        elif name in TEXTS:
            made[name] = cells.astype(object).mask(gone, "").map(str).to_numpy()
        else:
            made[name] = pd.to_numeric(cells.mask(gone), errors="coerce").to_numpy("float32")
    return pd.DataFrame(made)
'''

_FEATURES_OF_TABLE = '''\
def numbers(x):
    """Return the columns of numbers."""
    return np.ascontiguousarray(x[NUMBERS].to_numpy("float32"))


def features(x):
    """Return scaled numbers and one-hot words; the first column of a block is for new words."""
    blocks = [{scaled}] if NUMBERS else []
    for name, words in WORDS.items():
        places = {{word: place for place, word in enumerate(words, start=1)}}
        block = np.zeros((len(x), len(words) + 1), "float32")
        block[np.arange(len(x)), [places.get(str(cell), 0) for cell in x[name]]] = 1
        blocks.append(block)
    return np.concatenate(blocks, axis=1)
'''

_FEATURES = '''\
def numbers(x):
    """Return the numbers, one line for each row."""
    return np.asarray(x).reshape(len(x), -1).astype("float32")


def features(x):
    """Return the numbers that the model reads."""
    return {scaled}
'''

_INDICES = '''\
def encoded(y):
    """Return class indices."""
    return np.asarray(y).astype("int64")
'''

_CLASSES = '''\
CLASSES = {classes}


def encoded(y):
    """Return class indices of labels or of one-hot rows."""
    y = np.asarray(y)
    y = y.astype(str) if y.dtype.kind == "S" else y
    if y.ndim == 2 and y.shape[1] > 1:
        return y.argmax(axis=1)
    return np.array([CLASSES.index({kind}(label)) for label in y.ravel()])
'''

_AS_NUMBER = '''


def as_number(label):
    """Return the exact number that a label is."""
    return Decimal(str(label).strip())'''

_REGRESSION = '''\
Y_MEAN, Y_STD = np.array({mean}), np.array({std})


def encoded(y):
    """Return standardised targets, one line for each row."""
    y = np.asarray({given}, "float64").reshape(len(y), -1)
    return ((y - Y_MEAN) / Y_STD).astype("float32")
'''

_CHECK = '''\
def checksum(x, y):
    """Return a checksum of numbers, words and targets."""
    words = [str(cell) for name in WORDS for cell in x[name]]
    found = hashlib.sha256(numbers(x).tobytes() + "\\0".join(words).encode())
    found.update(np.ascontiguousarray(y, "float64").tobytes())
    return found.hexdigest()[:16]
'''


def read_code(spec: DataSpec, source: RawData, dataset: Dataset) -> str:
    """Return statements that read `x` and `y`, and the validation part if the source has one."""
    if spec.dataset is not None:
        return _builtin(spec.dataset, spec.folder)
    if spec.csv is not None:
        return _csv(spec, source, dataset)
    if spec.npz is not None:
        return _npz(spec, source, dataset)
    assert spec.python is not None
    return _function(spec.python, source, dataset)


def _builtin(name: str, folder: str | None) -> str:
    if len(describe(name).shape) > 1 and name != "digits":
        found = image_folder(name, folder)
        if found is None:
            return f"(x, y), _ = keras.datasets.{name}.load_data()\n"
        return _IMAGES.format(folder=literal(found), name=name)
    function = "fetch_california_housing" if name == "california_housing" else f"load_{name}"
    return f"x, y = sklearn.datasets.{function}(return_X_y=True)\n"


def _csv(spec: DataSpec, source: RawData, dataset: Dataset) -> str:
    assert spec.csv is not None
    known, tidy = source.train.table, _tidy(dataset.input)
    features = "tidy(table[FEATURES])" if tidy else "table[FEATURES]"
    array = ".to_numpy()" if dataset.input.columns is None else ""

    def part(path: str, suffix: str) -> str:
        return (
            f"table = read({literal(path)}, {listing(scan(path).names)})\n"
            f"x{suffix}, y{suffix} = {features}{array}, table[TARGET].to_numpy()"
        )

    text = [*_words(dataset.input), *(each.name for each in known.dates)]
    names = (
        f"FEATURES = {listing(known.read)}\n"
        f"TARGET = {literal(spec.target)}\n"
        f"TEXT = {listing([spec.target, *text])}"
    )
    parts = [part(spec.csv, "")]
    if isinstance(spec.validation, str):
        parts.append(part(spec.validation, "_validation"))
    return joined([names, _CSV, *tidy, "\n".join(parts)])


def _npz(spec: DataSpec, source: RawData, dataset: Dataset) -> str:
    def arrays(path: str) -> str:
        return (
            f"archive = np.load({literal(path)}, allow_pickle=False)\n"
            "arrays = {name.lower(): archive[name] for name in archive.files}"
        )

    assert spec.npz is not None
    lines = [
        arrays(spec.npz),
        'x, y = (arrays[f"{name}_train" if "x_train" in arrays else name] for name in "xy")',
    ]
    if source.validation is not None and not isinstance(spec.validation, str):
        lines.append('x_validation, y_validation = arrays["x_val"], arrays["y_val"]')
    elif isinstance(spec.validation, str):
        lines += [arrays(spec.validation), 'x_validation, y_validation = arrays["x"], arrays["y"]']
    return joined([*_tidy(dataset.input), "\n".join([*lines, *_in_form(source, dataset)])])


def _function(reference: str, source: RawData, dataset: Dataset) -> str:
    parts = "x, y" if source.validation is None else "(x, y), (x_validation, y_validation), *_"
    lines = ["\n".join([f"{parts} = own_data()", *_in_form(source, dataset)])]
    return joined([imported(reference, "own_data"), *_tidy(dataset.input), *lines])


def _in_form(source: RawData, dataset: Dataset) -> Iterator[str]:
    """Yield statements that make `x` a table if some columns are text, else an array."""
    for name in ("x", "x_validation"):
        if name == "x" or source.validation is not None:
            if _tidy(dataset.input):
                array = ".to_numpy()" if dataset.input.columns is None else ""
                yield f"{name} = tidy(pd.DataFrame({name}).rename(columns=str)){array}"
            elif dataset.input.columns is not None:
                yield f"{name} = pd.DataFrame({name}).rename(columns=str)"
            else:
                table = f'pd.DataFrame({name}).to_numpy() if hasattr({name}, "keys")'
                yield f"{name} = {table} else np.asarray({name})"


def _tidy(spec: InputSpec) -> list[str]:
    """The program's function `tidy(table)`, if columns have missing values, or are dates."""
    table = spec.table
    gaps = bool(spec.fill) or any("" in words for words in _words(spec).values())
    if not table.names or not (gaps or table.dates):
        return []
    dates = {each.name: (each.format or "ISO8601", each.first) for each in table.dates}
    return [
        _TIDY.format(
            columns=listing(table.read),
            texts=listing(sorted(table.text)),
            dates=literal(dates),
            missing=listing(sorted(MISSING)),
            parts=literal(list(DATE_PARTS)),
        )
    ]


def _words(spec: InputSpec) -> dict[str, tuple[str, ...]]:
    columns = spec.columns or ()
    return {each.name: each.vocabulary for each in columns if each.vocabulary is not None}


def split_code(source: RawData, options: Options, dataset: Dataset) -> str:
    """Return statements that encode the targets and split the rows."""
    strata = "" if dataset.target.task is Task.REGRESSION else ", stratify=y[rows]"
    counts = {"validation": len(dataset.validation), "test": len(dataset.test or ())}
    taken = [name for name in ("test", "validation") if getattr(options, name) is not None]
    take = "x.iloc[{0}], y[{0}]" if dataset.input.columns is not None else "x[{0}], y[{0}]"
    lines = ["y = encoded(y)"]
    if source.validation is not None and options.validation is None:
        lines.append("y_validation = encoded(y_validation)")
    if taken:
        lines.append("rows = np.arange(len(y))")
    for name in taken:
        lines += [
            f"rows, {name}_rows = train_test_split(",
            f"    rows, test_size={counts[name]}, random_state={options.seed}{strata}",
            ")",
        ]
    if options.validation is not None:
        lines.append(f"x_validation, y_validation = {take.format('validation_rows')}")
    if taken:
        lines.append(f"x, y = {take.format('rows')}")
    return "\n".join(lines)


def target_code(source: RawData, target: Target) -> str:
    """Return the program's function `encoded(y)`."""
    if target.task is Task.REGRESSION:
        given = "pd.to_numeric(pd.Series(y))" if source.train.y.dtype == object else "y"
        return _REGRESSION.format(mean=list(target.mean), std=list(target.std), given=given)
    if source.labels:
        return _INDICES
    kind, classes = _read_as(target.classes, numbers=Classes(source).numbers)
    return _CLASSES.format(classes=classes, kind=kind)


def _read_as(names: Sequence[str], *, numbers: bool) -> tuple[str, str]:
    """Return a function that reads a label, and the source text of what it gives for each class."""
    if not numbers:
        return "str", listing(names)
    if all(abs(float(name)) < FLOAT64_WHOLE for name in names):
        return "float", listing(map(float, names))
    # float would run large whole numbers together. `str` because Decimal takes no NumPy integer.
    return "as_number", f"[Decimal(each) for each in {listing(names)}]{_AS_NUMBER}"


def feature_code(spec: InputSpec) -> str:
    """Return the program's functions `numbers(x)` and `features(x)` with fitted constants."""
    parts, scaled = [], "numbers(x)"
    if spec.fill:
        parts.append(f"FILL = {numbers(spec.fill)}")
        scaled = "np.where(np.isnan(numbers(x)), FILL, numbers(x))"
    if spec.mean:
        parts.append(f"MEAN = {numbers(spec.mean)}\nVARIANCE = {numbers(spec.variance)}")
        scaled = f"({scaled} - MEAN) / np.maximum(np.sqrt(VARIANCE), np.float32(1e-7))"
    elif spec.scale:
        parts.append(f"SCALE, OFFSET = {numbers(spec.scale)}, {numbers(spec.offset)}")
        scaled = f"{scaled} * SCALE + OFFSET"
    if spec.indicators:
        parts.append(f"WITH_INDICATOR = {listing(spec.indicators)}")
        gone = 'np.isnan(numbers(x))[:, WITH_INDICATOR].astype("float32")'
        scaled = f"np.concatenate([{scaled}, {gone}], axis=1)"
    known = _words(spec).items()
    entries = "".join(f"    {literal(name)}: {listing(words)},\n" for name, words in known)
    parts.append(f"WORDS = {{\n{entries}}}" if entries else "WORDS = {}")
    if spec.columns is None:
        parts.append(_FEATURES.format(scaled=scaled))
    else:
        numeric = [each.name for each in spec.columns if each.vocabulary is None]
        parts += [f"NUMBERS = {listing(numeric)}", _FEATURES_OF_TABLE.format(scaled=scaled)]
    return joined([*parts, _CHECK])


def checksum(spec: InputSpec, split: Split) -> str:
    """Return the checksum of a split that the program's function of that name computes."""
    x = split.x
    words = [word for name in _words(spec) for word in _column(x, name)]
    found = hashlib.sha256(_numbers(spec, x).tobytes() + "\0".join(words).encode())
    found.update(np.ascontiguousarray(split.y, np.float64).tobytes())
    return found.hexdigest()[:_DIGITS]


def _column(x: Inputs, name: str) -> list[str]:
    assert isinstance(x, Mapping)
    return list(map(str, x[name].tolist()))


def _numbers(spec: InputSpec, x: Inputs) -> npt.NDArray[np.float32]:
    if not isinstance(x, Mapping):
        return np.ascontiguousarray(x.reshape(len(x), -1), np.float32)
    numeric = [x[each.name] for each in spec.columns or () if each.vocabulary is None]
    return np.stack(numeric, axis=1) if numeric else np.empty((0, 0), np.float32)
