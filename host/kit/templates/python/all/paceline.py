"""Between the rule and the contract in wit/plugin.wit: rows for columns, states as JSON, errors with their line."""

import functools
import inspect
import json
import math

from componentize_py_types import Err
from wit_world.imports import columns as wit
from wit_world.imports import settings as host

KINDS = {bool: wit.Kind.BOOLEAN, int: wit.Kind.INTEGER, float: wit.Kind.NUMBER, str: wit.Kind.TEXT, bytes: wit.Kind.BLOB}
VALUES = {bool: wit.Value_Boolean, int: wit.Value_Integer, float: wit.Value_Number, str: wit.Value_Text}
# States are encoded together, with this text between them: the call costs more than a state.
MARK = "the next state of paceline"
ENCODE = json.JSONEncoder(separators=(",", ":"), sort_keys=True, allow_nan=False).encode
COLUMNS = {bool: wit.Column_Booleans, int: wit.Column_Integers, float: wit.Column_Numbers}


def describe(fields):
    """The rule's fields: `"name": float`, or `"name": {"kind": float, "path": "/a/b", "default": 50.0}`."""
    return [_field(name, field) for name, field in fields.items()]


def _field(name, field):
    field = field if isinstance(field, dict) else {"kind": field}
    kind, default = field["kind"], field.get("default")
    value = None if default is None else VALUES[kind](kind(default))
    return wit.Field(field.get("path", f"/{name}"), KINDS[kind], value)


def rows(batch):
    """The records of a batch, each as a tuple of the fields' values."""
    return zip(*(_values(column) for column in batch.columns)) if batch.columns else [()] * batch.rows


def _values(column):
    if isinstance(column, wit.Column_Texts):
        return [value.decode() for value in slices(column.value)]
    if isinstance(column, wit.Column_Blobs):
        return slices(column.value)
    return column.value


def with_settings(function, defaults):
    """The function with the settings of the rulebook, each with the type of its default."""
    return functools.partial(function, **{name: _setting(name, default) for name, default in defaults.items()})


def _setting(name, default):
    """A setting. The default may be a type instead of a value: then the setting is required."""
    name = name.replace("_", "-")
    kind, text = default if isinstance(default, type) else type(default), host.get(name)
    if text is None and isinstance(default, type):
        raise ValueError(f"setting `{name}` is missing")
    if text is None:
        return default
    try:
        return _boolean(text) if kind is bool else kind(text)
    except ValueError as error:
        raise ValueError(f"setting `{name}` is `{text}`: {error}") from None


def _boolean(text):
    if text not in ("true", "false"):
        raise ValueError("neither true nor false")
    return text == "true"


def unpack(states):
    """The states of groups; that of a new group is `None`."""
    return json.loads(b"[%b]" % b",".join(state or b"null" for state in slices(states)))


def pack(states):
    """States as bytes: JSON."""
    texts = ENCODE([it for state in states for it in (MARK, state)])[1:-1].split(f'"{MARK}",')[1:]
    if len(texts) != len(states):
        raise ValueError(f"a state has the text `{MARK}`")
    texts = [text.removesuffix(",") for text in texts]
    return packed([b"" if text == "null" else text.encode() for text in texts])


def columns(outputs, groups):
    """The outputs of each group, each a dictionary, as columns. A number that is `None` is not written."""
    return [_column(kind, [group[name] for group in groups]) for name, kind in outputs.items()]


def _column(kind, values):
    if kind is str:
        return wit.Column_Texts(packed([value.encode() for value in values]))
    if kind is float:
        values = [math.nan if value is None else float(value) for value in values]
    return COLUMNS[kind](values)


def slices(values):
    """Values that lie end to end, one by one."""
    return [values.bytes[start:end] for start, end in zip([0, *values.ends], values.ends)]


def packed(values):
    """Values end to end."""
    ends, length = [], 0
    for value in values:
        length += len(value)
        ends.append(length)
    return wit.Packed(ends, b"".join(values))


def check_parameters(function, *names):
    """A value goes to a parameter by its place: the names must be the same, in the same order."""
    found = [name for name, it in inspect.signature(function).parameters.items() if it.kind is not it.KEYWORD_ONLY]
    if found != list(names):
        raise TypeError(f"`{function.__name__}` takes ({', '.join(found)}), not ({', '.join(names)})")


def reporting(method):
    """A method whose errors name the line of the rule."""

    @functools.wraps(method)
    def reported(*arguments):
        try:
            return method(*arguments)
        except Exception as error:
            at = error.__traceback__
            while at.tb_next:
                at = at.tb_next
            file = at.tb_frame.f_code.co_filename.rsplit("/", 1)[-1]
            raise Err(f"{type(error).__name__}: {error}, at {file}:{at.tb_lineno}") from None

    return reported
