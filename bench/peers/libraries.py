"""The peers, each set up as its manual says for production, with the same message and field as far as it has such things."""

from __future__ import annotations

import logging
import warnings
from typing import Any, Callable

from bursts import NAME, REQUEST, WHAT
from client_places import Places, Setup
from client_setups import file_handler, plain_logger


def eliot_file(places: Places) -> Callable[[], int]:
    """Where eliot's messages go."""
    import eliot

    path, size = places.file()
    eliot.to_file(open(path, "wb"))  # noqa: SIM115 - open as long as the process
    return size


def eliot_message(places: Places) -> Setup:
    """`log_message` within an action: no call site, no logger, no template."""
    import eliot

    size = eliot_file(places)
    eliot.start_action(action_type="bench").__enter__()

    def call(log: Any, count: int) -> None:
        from eliot import log_message

        name, what, request = NAME, WHAT, REQUEST
        for _ in range(count):
            log_message(message_type="user did", user=name, what=what, request_id=request)

    return Setup(None, size, call=call)


def eliot_action(places: Places) -> Setup:
    """`start_action`, entered and left, within another."""
    import eliot

    size = eliot_file(places)
    eliot.start_action(action_type="bench").__enter__()

    def call(log: Any, count: int) -> None:
        from eliot import start_action

        name = NAME
        for _ in range(count):
            with start_action(action_type="step", user=name):
                pass

    return Setup(None, size, call=call)


def eliot_handler(places: Places) -> Setup:
    """eliot's handler for the standard library."""
    from eliot.stdlib import EliotHandler

    size = eliot_file(places)
    log = plain_logger()
    log.addHandler(EliotHandler())
    return Setup(log, size)


def structlog_orjson(call_site: bool) -> Callable[[Places], Setup]:
    """Its manual's fastest form: bytes of orjson to a file."""

    def setup(places: Places) -> Setup:
        import orjson
        import structlog
        from structlog.processors import CallsiteParameter, CallsiteParameterAdder

        path, size = places.file()
        chain: list[Any] = [
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
        ]
        if call_site:
            parameters = {CallsiteParameter.PATHNAME, CallsiteParameter.FUNC_NAME, CallsiteParameter.LINENO}
            chain.append(CallsiteParameterAdder(parameters))
        chain.append(structlog.processors.JSONRenderer(serializer=orjson.dumps))
        structlog.configure(
            cache_logger_on_first_use=True,
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
            processors=chain,
            logger_factory=structlog.BytesLoggerFactory(open(path, "wb")),  # noqa: SIM115
        )

        def call(log: Any, count: int) -> None:
            name, what, request = NAME, WHAT, REQUEST
            for _ in range(count):
                log.info("user did", user=name, what=what, request_id=request)

        return Setup(structlog.get_logger(), size, call=call)

    return setup


def loguru(**options: Any) -> Callable[[Places], Setup]:
    """One file, without the handler on stderr."""

    def setup(places: Places) -> Setup:
        from loguru import logger

        path, size = places.file()
        logger.remove()
        logger.add(path, level="INFO", **options)

        def call(log: Any, count: int) -> None:
            name, what, request = NAME, WHAT, REQUEST
            for _ in range(count):
                log.info("user {} did {}", name, what, request_id=request)

        return Setup(logger, size, logger.complete, call=call)

    return setup


def picologging_file(places: Places) -> Setup:
    """The standard library's interface, written in C++, without `extra` in the line."""
    import picologging

    path, size = places.file()
    handler = picologging.FileHandler(path)
    handler.setFormatter(picologging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    log = picologging.Logger("bench.app", picologging.INFO)
    log.addHandler(handler)
    return Setup(log, size)


def opentelemetry(places: Places) -> Setup:
    """The handler for the standard library, batches, OTLP over HTTP. Its queue is widened: 2,048 records would be dropped."""
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.instrumentation.logging.handler import LoggingHandler
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

    receiver = places.receiver("http")
    exporter = OTLPLogExporter(endpoint=f"http://127.0.0.1:{receiver.port}/v1/logs")
    provider = LoggerProvider()
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter, max_queue_size=200_000))
    log = plain_logger()
    log.addHandler(LoggingHandler(logger_provider=provider))
    return Setup(log, receiver.arrived, provider.force_flush)


def logbook_zeromq(places: Places) -> Setup:
    """JSON over a PUSH socket."""
    import logbook
    from logbook.queues import ZeroMQHandler

    receiver = places.receiver("pull")
    handler = ZeroMQHandler(f"tcp://127.0.0.1:{receiver.port}", level=logbook.INFO, multi=True)
    handler.push_application()

    def call(log: Any, count: int) -> None:
        name, what, request = NAME, WHAT, REQUEST
        for _ in range(count):
            log.info("user {} did {}", name, what, extra={"request_id": request})

    return Setup(logbook.Logger("bench.app"), receiver.arrived, receiver.quiet, call=call)


def logstash(places: Places) -> Setup:
    """Its queue in memory, TCP. It looks at its queue every 2 s; here every 10 ms, so that a run ends."""
    from logstash_async.constants import constants
    from logstash_async.handler import AsynchronousLogstashHandler

    constants.QUEUE_CHECK_INTERVAL = 0.01
    constants.QUEUED_EVENTS_BATCH_SIZE = 1000
    receiver = places.receiver("tcp")
    handler = AsynchronousLogstashHandler("127.0.0.1", receiver.port, database_path=None)
    log = plain_logger()
    log.addHandler(handler)

    def drain() -> None:
        handler.flush()
        receiver.quiet(0.06)

    return Setup(log, receiver.arrived, drain)


def json_logger(serializer: str) -> Callable[[Places], Setup]:
    """A line of JSON in a file, by the formatter of that name."""

    def setup(places: Places) -> Setup:
        import importlib

        module = importlib.import_module(f"pythonjsonlogger.{serializer}")
        formatter = module.OrjsonFormatter if serializer == "orjson" else module.JsonFormatter
        path, size = places.file()
        handler = file_handler(path)
        handler.setFormatter(formatter("%(asctime)s %(levelname)s %(name)s %(pathname)s %(lineno)d %(message)s"))
        log = plain_logger()
        log.addHandler(handler)
        return Setup(log, size)

    return setup


def handler2017(letter: str) -> Callable[[Places], Setup]:
    """What stands for the client of 2017."""

    def setup(places: Places) -> Setup:
        from peers.handler2017 import Handler2017, Json, Pickle

        receiver = places.receiver("pull")
        log = plain_logger()
        log.addHandler(Handler2017(f"tcp://127.0.0.1:{receiver.port}", Json() if letter == "J" else Pickle()))
        return Setup(log, receiver.arrived, receiver.quiet)

    return setup


warnings.simplefilter("ignore")

SETUPS: dict[str, Callable[[Places], Setup]] = {
    "2017 json": handler2017("J"),
    "2017 pickle": handler2017("P"),
    "eliot message": eliot_message,
    "eliot handler": eliot_handler,
    "eliot action": eliot_action,
    "structlog": structlog_orjson(call_site=False),
    "structlog call site": structlog_orjson(call_site=True),
    "loguru": loguru(),
    "loguru serialize": loguru(serialize=True),
    "loguru enqueue": loguru(enqueue=True),
    "picologging": picologging_file,
    "opentelemetry": opentelemetry,
    "logbook": logbook_zeromq,
    "logstash": logstash,
    "json logger": json_logger("json"),
    "json logger orjson": json_logger("orjson"),
}
