"""Native tests: the host's functions are replaced, the tool is not."""

import json
import unittest
from unittest import mock

import app
from componentize_py_types import Err
from wit_world.imports import metrics
from wit_world.imports.medic_host_types import Attr, ErrorKind, HostError
from wit_world.imports.medic_tool_types import CallContext
from wit_world.imports.medic_tool_types import ErrorKind as ToolErrorKind

CONTEXT = CallContext(incident_id="inc-1", call_id="call-1", attempt=1)


def invoke(args='{"service":"checkout"}', tool="queue_age"):
    return app.Query().invoke(CONTEXT, tool, args)


def answering(*values):
    samples = [metrics.Sample(at_ms=0, value=value) for value in values]
    series = [metrics.Series(labels=[Attr(name="service", value="checkout")], samples=samples)]
    return mock.patch.object(metrics, "query", return_value=series)


class QueueAge(unittest.TestCase):
    def failing(self, kind, code, **how):
        with self.assertRaises(Err) as raised:
            invoke(**how)
        self.assertEqual((raised.exception.value.kind, raised.exception.value.code), (kind, code))

    def test_the_age_is_told(self):
        with answering(12.5) as query:
            output = invoke()
        self.assertEqual(output.summary, "the oldest request of checkout has waited 12.5 s")
        self.assertEqual(json.loads(output.data_json), {"age_s": 12.5})
        query.assert_called_once_with('max(queue_oldest_seconds{service="checkout"})', None)

    def test_every_failure_of_the_host_is_told(self):
        for kind, expected in [
            (ErrorKind.DENIED, ToolErrorKind.DENIED),
            (ErrorKind.TIMEOUT, ToolErrorKind.TIMEOUT),
            (ErrorKind.UPSTREAM, ToolErrorKind.UPSTREAM),
        ]:
            told = Err(HostError(kind=kind, code="SAID_SO", message="no", retry_after_ms=None))
            with mock.patch.object(metrics, "query", side_effect=told):
                self.failing(expected, "SAID_SO")

    def test_what_is_no_number_is_no_answer(self):
        for values, code in [((), "NO_DATA"), ((1.0, 2.0), "NO_DATA"), ((float("nan"),), "NOT_A_NUMBER")]:
            with answering(*values):
                self.failing(ToolErrorKind.UPSTREAM, code)

    def test_bad_arguments_reach_no_host(self):
        with answering(1.0) as query:
            for args in ["", "[]", "{}", '{"service":7}', '{"service":"a\\"} or up{"}', '{"service":"checkout\\n"}']:
                self.failing(ToolErrorKind.INVALID_ARGS, "INVALID_ARGS", args=args)
            self.failing(ToolErrorKind.INVALID_ARGS, "UNKNOWN_TOOL", tool="other")
        query.assert_not_called()

    def test_the_catalogue_stays_within_the_strict_subset(self):
        (tool,) = app.Catalog().list_tools()
        schema = json.loads(tool.input_schema)
        self.assertFalse(schema["additionalProperties"])
        self.assertTrue(all("description" in one for one in schema["properties"].values()))
        example = json.loads(tool.examples_json)[0]["args"]
        self.assertEqual(set(example), set(schema["required"]))


if __name__ == "__main__":
    unittest.main()
