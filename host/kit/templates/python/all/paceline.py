"""Between the rule and the contract in wit/plugin.wit: rows for columns, states as JSON, checks of what the rule gives,
errors with their line."""

import builtins
import dis
import functools
import inspect
import io
import json
import math
import os
import sys
import time

from componentize_py_types import Err
from wit_world.imports import columns as wit
from wit_world.imports import log
from wit_world.imports import settings as host

KINDS = {bool: wit.Kind.BOOLEAN, int: wit.Kind.INTEGER, float: wit.Kind.NUMBER, str: wit.Kind.TEXT, bytes: wit.Kind.BLOB}
VALUES = {bool: wit.Value_Boolean, int: wit.Value_Integer, float: wit.Value_Number, str: wit.Value_Text}
WORDS = {bool: "True or False", int: "an int of 64 bits", float: "a number", str: "a str"}
# States are encoded together, with this text between them: the call costs more than a state.
MARK = "the next state of paceline"
ENCODE = json.JSONEncoder(separators=(",", ":"), sort_keys=True, allow_nan=False).encode
COLUMNS = {bool: wit.Column_Booleans, int: wit.Column_Integers, float: wit.Column_Numbers}


class Mistake(Exception):
    """What is wrong with the rule. The message says all: a line of this file would not help."""


def _shown(value):
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"


def _named(kind):
    return kind.__name__ if isinstance(kind, type) else _shown(kind)


def check(rule, *functions):
    """Checks the rule when the plugin is loaded, so that a mistake is shown before records fail by it. `functions` are names
    of functions, each with those of its first parameters. The parameters after a `*` are the settings."""
    for name, parameters, settings in functions:
        function = getattr(rule, name, None)
        if not callable(function):
            raise Mistake(f"rule.py has no function '{name}'")
        if not inspect.isfunction(function):
            continue
        if function.__code__.co_flags & (inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR):
            raise Mistake(f"'{name}' is async or has a yield: it must return its value")
        # The check of a validator may leave out its return. No other function can do without one.
        if name != "check" and _returns_nothing(function):
            raise Mistake(f"'{name}' returns nothing: it has no return with a value")
        _check_parameters(function, parameters, settings)


def _returns_nothing(function):
    code = list(dis.get_instructions(function))
    ends = [(before.opname, before.argval) for before, it in zip(code, code[1:]) if it.opname == "RETURN_VALUE"]
    return bool(ends) and all(end == ("LOAD_CONST", None) for end in ends)


def _check_parameters(function, names, settings):
    # A value goes to a parameter by its place: the names must be the same, in the same order.
    name, parameters = function.__name__, inspect.signature(function).parameters.values()
    found = [it.name for it in parameters if it.kind not in (it.KEYWORD_ONLY, it.VAR_KEYWORD)]
    if names is not None and found != list(names):
        hint = ". Settings come after a `*`" if set(found) - set(names) <= set(settings) else ""
        raise Mistake(f"`{name}` takes ({', '.join(found)}), not ({', '.join(names)}){hint}")
    keywords = {it.name: it for it in parameters if it.kind is it.KEYWORD_ONLY}
    for setting in settings:
        if setting not in keywords and all(it.kind is not it.VAR_KEYWORD for it in parameters):
            raise Mistake(f"SETTINGS has '{setting}', which is no parameter of {name} after a `*`")
    for keyword, it in keywords.items():
        if keyword not in settings and it.default is it.empty:
            raise Mistake(f"{name} has the parameter '{keyword}', which SETTINGS lacks")


def _checked_kind(what, kind, kinds):
    # A list is no key.
    if not isinstance(kind, type) or kind not in kinds:
        names = [it.__name__ for it in (float, int, bool, str, bytes) if it in kinds]
        raise Mistake(f"the kind of {what} is {_named(kind)}: use {', '.join(names[:-1])} or {names[-1]}")
    return kinds[kind]


def describe(rule):
    """The rule's fields: `"name": float`, or `"name": {"kind": float, "path": "/a/b", "default": 50.0}`."""
    return [_field(name, field) for name, field in members(rule, "FIELDS")]


def members(rule, name):
    """The items of a dictionary of rule.py."""
    found = getattr(rule, name, None)
    if found is None:
        raise Mistake(f"rule.py has no dictionary {name}")
    if not isinstance(found, dict):
        raise Mistake(f"{name} is {_shown(found)}, not a dictionary")
    return found.items()


def settings(rule):
    """The settings of rule.py, if it has any."""
    return dict(members(rule, "SETTINGS")) if hasattr(rule, "SETTINGS") else {}


def _field(name, field):
    field = field if isinstance(field, dict) else {"kind": field}
    for other in field.keys() - {"kind", "path", "default"}:
        raise Mistake(f"the field '{name}' has '{other}': it can have kind, path and default")
    kind, path, default = field.get("kind"), field.get("path", f"/{name}"), field.get("default")
    described = _checked_kind(f"'{name}'", kind, KINDS)
    if not isinstance(path, str):
        raise Mistake(f"the path of '{name}' is {_shown(path)}, not a str")
    if default is None:
        return wit.Field(path, described, None)
    if kind is bytes:
        raise Mistake(f"'{name}' has a default, which bytes can't have")
    if _wrong(kind, default) or (kind is not bool and isinstance(default, bool)):
        raise Mistake(f"the default of '{name}' is {_shown(default)}, not {WORDS[kind]}")
    return wit.Field(path, described, VALUES[kind](kind(default)))


def _wrong(kind, value):
    """Whether a value is none of a kind, or one that the contract can't hold. A number is what has `__float__`."""
    if kind is float:
        try:
            return not (hasattr(value, "__float__") or hasattr(value, "__index__")) or float(value) is None
        except OverflowError:
            return True
    if kind is int:
        return not (isinstance(value, int) and -(2**63) <= value < 2**63)
    return not isinstance(value, kind)


def outputs(rule, output):
    """The rule's outputs, for `describe`."""
    kinds = {kind: KINDS[kind] for kind in VALUES}
    return [output(name, _checked_kind(f"the output '{name}'", kind, kinds)) for name, kind in members(rule, "OUTPUTS")]


def state_format(rule):
    """The name of the states' format, for `describe`."""
    found = getattr(rule, "STATE_FORMAT", None)
    if not isinstance(found, str):
        raise Mistake(f"STATE_FORMAT of rule.py is {_shown(found)}, not a str")
    return found


def rows(batch):
    """The records of a batch, each as a tuple of the fields' values."""
    return zip(*(_values(column) for column in batch.columns)) if batch.columns else [()] * batch.rows


def _values(column):
    if isinstance(column, wit.Column_Texts):
        return [value.decode() for value in slices(column.value)]
    if isinstance(column, wit.Column_Blobs):
        return slices(column.value)
    return column.value


def numbers(scores, rule, batch):
    """The scores of a batch, if each is a number."""
    # A sum looks at all of them for less than a loop.
    try:
        total = sum(scores, 0.0)
    except (ArithmeticError, TypeError):
        total = None
    if not isinstance(total, float):
        for score, row in zip(scores, rows(batch)):
            if _wrong(float, score):
                raise returned("score", score, "a number", rule, row)
    return scores


def returned(name, value, wanted, rule=None, row=()):
    """The error of a function that returned a value of the wrong type for a row."""
    fields = ", ".join(f"{field}={_shown(it)}" for field, it in zip(rule.FIELDS if rule else (), row))
    given = f", for {fields}" if fields else ""
    hint = " (does rule.py return it?)" if value is None else ""
    return Mistake(f"{name} returned {_shown(value)}, not {wanted}{given}{hint}")


def with_settings(function, defaults):
    """The function with the settings of the rulebook, each with the type of its default."""
    return functools.partial(function, **{name: _setting(name, default) for name, default in defaults.items()})


def _setting(name, default):
    """A setting. The default may be a type instead of a value: then the setting is required."""
    if default is None or isinstance(default, (bytes, dict, list, set, tuple)):
        wanted = "a float, an int, a bool, a str, or one of these types for a required setting"
        raise Mistake(f"the default of the setting '{name}' is {_shown(default)}: {wanted}")
    name = name.replace("_", "-")
    kind, text = default if isinstance(default, type) else type(default), host.get(name)
    if text is None and isinstance(default, type):
        raise Mistake(f"setting `{name}` is missing")
    if text is None:
        return default
    try:
        return _boolean(text) if kind is bool else kind(text)
    except ValueError as error:
        raise Mistake(f"setting `{name}` is `{text}`: {error}") from None


def _boolean(text):
    if text not in ("true", "false"):
        raise ValueError("neither true nor false")
    return text == "true"


def unpack(states):
    """The states of groups; that of a new group is `None`."""
    return json.loads(b"[%b]" % b",".join(state or b"null" for state in slices(states)))


def pack(states):
    """States as bytes: JSON."""
    try:
        texts = ENCODE([it for state in states for it in (MARK, state)])[1:-1].split(f'"{MARK}",')[1:]
    except (TypeError, ValueError, RecursionError) as error:
        raise Mistake(f"a state is not what JSON can hold: {error}") from None
    if len(texts) != len(states):
        raise Mistake(f"a state has the text `{MARK}`")
    texts = [text.removesuffix(",") for text in texts]
    return packed([b"" if text == "null" else text.encode() for text in texts])


def columns(outputs, groups):
    """The outputs of each group, each a dictionary, as columns. A number that is `None` is not written."""
    for group in groups:
        if not hasattr(group, "__getitem__"):
            raise returned("finish", group, "a dictionary of the outputs")
    return [_column(name, kind, groups) for name, kind in outputs.items()]


def _column(name, kind, groups):
    try:
        values = [group[name] for group in groups]
    except (KeyError, TypeError):
        group = next(it for it in groups if not isinstance(it, dict) or name not in it)
        raise Mistake(f"finish returned {_shown(group)}, which lacks the output '{name}'") from None
    if kind is float:
        values = [math.nan if value is None else value for value in values]
    for value in values:
        if _wrong(kind, value):
            raise Mistake(f"finish returned '{name}' as {_shown(value)}, not as {WORDS[kind]}")
    if kind is str:
        return wit.Column_Texts(packed([value.encode() for value in values]))
    return COLUMNS[kind]([float(value) for value in values] if kind is float else values)


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


def reporting(method):
    """A method whose errors name the line of the rule. The rule is loaded by now."""
    _finders[:] = [it for it in sys.meta_path if getattr(it, "__name__", "") != "PathFinder"] + [_NoModules]

    @functools.wraps(method)
    def reported(*arguments):
        _run()
        try:
            return method(*arguments)
        except Mistake as mistake:
            raise Err(str(mistake)) from None
        # SystemExit, too: it would trap.
        except BaseException as error:
            raise Err(f"{type(error).__name__}: {error}, at {_line(error)}") from None
        finally:
            # What was printed without an end of the line.
            if _OUT.rest or _ERRORS.rest:
                _OUT.end()
                _ERRORS.end()

    return reported


def _line(error):
    """The last line of the author's files, or of any file."""
    at, own = error.__traceback__, None
    folder, *helpers = os.path.dirname(__file__), __file__, os.path.join(os.path.dirname(__file__), "plugin.py")
    while True:
        file = at.tb_frame.f_code.co_filename
        if os.path.dirname(file) == folder and file not in helpers:
            own = at
        if at.tb_next is None:
            break
        at = at.tb_next
    at = own or at
    return f"{at.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{at.tb_lineno}"


# What a plugin has not. Calls of these functions would trap without a text. The build, which loads rule.py, has them: modules
# of the standard library read the clock while they are loaded.
_running = False


class _Log(io.TextIOBase):
    """`print` for the host's log: each line is a line there."""

    def __init__(self, level):
        self.level, self.rest = level, ""

    def writable(self):
        return True

    def write(self, text):
        *lines, self.rest = (self.rest + text).split("\n")
        for line in lines:
            log.write(self.level, line)
        return len(text)

    def end(self):
        if self.rest:
            self.write("\n")


class _NoModules:
    """The last of the places where a module is looked for."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        raise ImportError(f"the module {name} is not loaded: import it at the top of rule.py")


_finders = []
_OUT, _ERRORS = _Log(log.Level.INFO), _Log(log.Level.WARN)


def _run():
    """The build is over: an instance runs."""
    global _running
    _running = True
    sys.stdin, sys.stdout, sys.stderr, sys.meta_path = None, _OUT, _ERRORS, _finders


def _replace(module, names, error, text, enough=math.inf):
    for name in names.split():
        function = getattr(module, name, None)
        if function is not None:
            setattr(module, name, _missing(function, error, text, enough))


def _missing(function, error, text, enough):
    @functools.wraps(function)
    def missing(*arguments, **named):
        # With the time as an argument, the clock is not read.
        if _running and (len(arguments) < enough or arguments[enough - 1] is None):
            raise error(text)
        return function(*arguments, **named)

    return missing


_FILES = OSError, "a plugin has no files"
_CLOCK = RuntimeError, "a plugin has no clock: read the time from a field, such as @arrival-ms"
_replace(builtins, "open", *_FILES)
_replace(io, "open open_code", *_FILES)
_replace(os, "open listdir scandir stat lstat mkdir remove rename rmdir unlink access chdir getcwd", *_FILES)
_replace(os, "urandom getrandom", RuntimeError, "a plugin has no randomness")
_replace(time, "time time_ns monotonic monotonic_ns perf_counter perf_counter_ns process_time process_time_ns", *_CLOCK)
_replace(time, "clock_gettime clock_gettime_ns clock_getres thread_time thread_time_ns sleep", *_CLOCK)
_replace(time, "asctime ctime gmtime localtime", *_CLOCK, 1)
_replace(time, "strftime", *_CLOCK, 2)
