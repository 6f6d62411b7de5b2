"""Decorated functions: each call is a goal, and a generator's goal is current only while the generator runs.

Between two steps of a generator its caller's goal is put back, and the generator's own (with whatever it opened inside) is kept for the next
step. So it may be suspended, closed elsewhere or forgotten without anybody noticing.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Callable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from distlog.context import LogContext, Task


def decorated(goal: Task, function: Any) -> Any:
    """The function, with a new goal of the same making around each call; its records name the function."""
    import inspect

    from distlog.context import _context

    code = getattr(inspect.unwrap(getattr(function, "__func__", function)), "__code__", None)
    place = None
    if code is not None:
        module = getattr(function, "__module__", None) or "__main__"
        place = module, code.co_filename, code.co_firstlineno, code.co_name
    return decorate(function, functools.partial(goal._again, place), _context)


def decorate(function: Any, begin: Callable[[], Task], context: LogContext) -> Any:
    """The function, with a goal around each call."""
    import inspect

    if isinstance(function, (staticmethod, classmethod)):
        return type(function)(decorate(function.__func__, begin, context))
    if inspect.isasyncgenfunction(function):
        return _asynchronous(function, begin, context)
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            with begin():
                return await function(*args, **kwargs)

        return coroutine
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            return (yield from _steps(begin(), function(*args, **kwargs), context))

        return generator

    @functools.wraps(function)
    def plain(*args: Any, **kwargs: Any) -> Any:
        with begin():
            return function(*args, **kwargs)

    return plain


def _steps(goal: Task, inner: Generator[Any, Any, Any], context: LogContext) -> Generator[Any, Any, Any]:
    outer = context.get()
    error: BaseException | None = None
    goal._enter()
    try:
        step, value = inner.send, None
        while True:
            try:
                item = step(value)
            except StopIteration as stop:
                return stop.value
            inside = context.get()
            context.push(outer)
            try:
                value = yield item
                step = inner.send
            except GeneratorExit:
                outer = context.get()
                context.push(inside)
                inner.close()
                raise
            except BaseException as thrown:
                step, value = inner.throw, thrown
            outer = context.get()
            context.push(inside)
    except BaseException as raised:
        error = raised
        raise
    finally:
        goal._exit(error)
        context.push(outer)


def _asynchronous(function: Any, begin: Callable[[], Task], context: LogContext) -> Any:
    @functools.wraps(function)
    async def asynchronous_generator(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        goal, outer = begin(), context.get()
        error: BaseException | None = None
        goal._enter()
        try:
            inner = function(*args, **kwargs)
            step, value = inner.asend, None
            while True:
                try:
                    item = await step(value)
                except StopAsyncIteration:
                    return
                inside = context.get()
                context.push(outer)
                try:
                    value = yield item
                    step = inner.asend
                except GeneratorExit:
                    outer = context.get()
                    context.push(inside)
                    await inner.aclose()
                    raise
                except BaseException as thrown:
                    step, value = inner.athrow, thrown
                outer = context.get()
                context.push(inside)
        except BaseException as raised:
            error = raised
            raise
        finally:
            goal._exit(error)
            context.push(outer)

    return asynchronous_generator
