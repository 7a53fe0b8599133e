"""QUERY: how long requests wait in the queue of a service. Written in Python, run in the same sandbox as the others."""

import json
import math
import re

from wit_world import exports
from componentize_py_types import Err
from wit_world.imports import metrics
from wit_world.imports.medic_host_types import ErrorKind as HostErrorKind
from wit_world.imports.medic_tool_types import CallContext, ErrorKind, Output, ToolError, ToolInfo

TOOL = "queue_age"
SERVICE = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")

# The strict subset that function calling accepts: closed, and every property described.
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "service": {
            "type": "string",
            "pattern": f"^{SERVICE.pattern}$",
            "description": "Service, as in the `service` label of its metrics.",
        },
    },
    "required": ["service"],
}

# A refusal of the host stays a refusal, a timeout a timeout.
KINDS = {
    HostErrorKind.DENIED: ErrorKind.DENIED,
    HostErrorKind.OUTSIDE_PLAN: ErrorKind.DENIED,
    HostErrorKind.QUOTA: ErrorKind.DENIED,
    HostErrorKind.NOT_FOUND: ErrorKind.PRECONDITION,
    HostErrorKind.CONFLICT: ErrorKind.PRECONDITION,
    HostErrorKind.TIMEOUT: ErrorKind.TIMEOUT,
    HostErrorKind.UPSTREAM: ErrorKind.UPSTREAM,
}


def failure(kind, code, message, retryable=False):
    return Err(ToolError(kind=kind, code=code, message=message, retryable=retryable))


class Catalog(exports.Catalog):
    def list_tools(self):
        example = {"args": {"service": "checkout"}, "when": "a service is slow and its workers are busy"}
        return [
            ToolInfo(
                name=TOOL,
                title="Queue age",
                description="How long the oldest request of a service has waited for a worker, in seconds.",
                input_schema=json.dumps(SCHEMA),
                output_schema=None,
                examples_json=json.dumps([example]),
            )
        ]


class Query(exports.Query):
    def invoke(self, ctx: CallContext, tool: str, args_json: str) -> Output:
        if tool != TOOL:
            raise failure(ErrorKind.INVALID_ARGS, "UNKNOWN_TOOL", f"there is no tool {tool}")
        service = arguments(args_json)
        # The name holds nothing that could end the quotes.
        age = scalar(ask(f'max(queue_oldest_seconds{{service="{service}"}})'))
        return Output(
            summary=f"the oldest request of {service} has waited {age:.1f} s",
            data_json=json.dumps({"age_s": age}),
            artifacts=[],
        )


def arguments(args_json):
    """The service, or a refusal: the host has checked them, and a tool checks again."""
    try:
        args = json.loads(args_json)
    except ValueError:
        raise failure(ErrorKind.INVALID_ARGS, "INVALID_ARGS", "the arguments are no JSON")
    service = args.get("service") if isinstance(args, dict) else None
    if not isinstance(service, str) or not SERVICE.fullmatch(service):
        raise failure(ErrorKind.INVALID_ARGS, "INVALID_ARGS", "/service: is no name of a service")
    return service


def ask(promql):
    try:
        return metrics.query(promql, None)
    except Err as error:
        told = error.value
        kind = KINDS.get(told.kind, ErrorKind.INTERNAL)
        raise failure(kind, told.code, told.message, kind in (ErrorKind.TIMEOUT, ErrorKind.UPSTREAM))


def scalar(series):
    """The one value of an answer. No value is no zero."""
    values = [sample.value for one in series for sample in one.samples]
    if len(values) != 1:
        raise failure(ErrorKind.UPSTREAM, "NO_DATA", f"expected one value, the metrics server answered {len(values)}")
    if not math.isfinite(values[0]):
        raise failure(ErrorKind.UPSTREAM, "NOT_A_NUMBER", "the metrics server answered what is no number")
    return values[0]
