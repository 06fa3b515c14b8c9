"""Takes traces by OTLP over HTTPS and reads each request by OpenTelemetry's own protobuf schema, unknown fields refused. Its
certificate is of an authority made for this run alone, written to the file named by --ca. The first request is refused by 503."""
import argparse
import base64
import http.server
import json
import ssl
import sys
import threading

import trustme
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.trace.v1.trace_pb2 import Span

IDS = ("traceId", "spanId", "parentSpanId")


def in_base64(part):
    """Ids are hex in OTLP, and base64 in any other JSON of protobuf."""
    if isinstance(part, list):
        return [in_base64(one) for one in part]
    if isinstance(part, dict):
        one = lambda key, value: base64.b64encode(bytes.fromhex(value)).decode() if key in IDS else in_base64(value)
        return {key: one(key, value) for key, value in part.items()}
    return part


def judge(request):
    """The spans of a request, or what is wrong with it."""
    resources = request.resource_spans
    assert len(resources) == 1 and len(resources[0].scope_spans) == 1
    names = {one.key: one.value.string_value for one in resources[0].resource.attributes}
    assert names["service.name"] == "trunkgate" and names["service.instance.id"], names
    spans = resources[0].scope_spans[0].spans
    known = {(span.trace_id, span.span_id) for span in spans}
    assert len(known) == len(spans), "a span id twice"
    for span in spans:
        assert len(span.trace_id) == 16 and len(span.span_id) == 8, span
        assert not span.parent_span_id or (span.trace_id, span.parent_span_id) in known, span
        assert 0 < span.start_time_unix_nano <= span.end_time_unix_nano, span
        assert span.kind == (Span.SPAN_KIND_CLIENT if span.parent_span_id else Span.SPAN_KIND_SERVER), span
        assert span.name and span.events and all(event.name and event.time_unix_nano for event in span.events), span
        keys = [one.key for one in span.attributes]
        assert len(keys) == len(set(keys)) and all(one.value.WhichOneof("value") for one in span.attributes), span
    return spans


def main():
    flags = argparse.ArgumentParser()
    flags.add_argument("--port", type=int, default=0)
    flags.add_argument("--ca", required=True)
    flags.add_argument("--token", required=True)
    flags = flags.parse_args()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(flags.ca)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    refusals = [503]
    lock = threading.Lock()

    def say(line):
        with lock:
            print(line, flush=True)

    class Collector(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = refusals.pop() if refusals else 200
            try:
                assert self.path == "/v1/traces" and self.headers["Content-Type"] == "application/json", self.path
                assert self.headers["Authorization"] == f"Bearer {flags.token}", "another token"
                request = ExportTraceServiceRequest()
                json_format.ParseDict(in_base64(json.loads(body)), request)
                for span in judge(request):
                    say(f"span {status} {span.trace_id.hex()} {span.name}")
            except Exception as error:
                say(f"refused {type(error).__name__} {error}")
                status = 400
            answer = json_format.MessageToJson(ExportTraceServiceResponse()).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", flags.port), Collector)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    print("listening on {}:{}".format(*server.server_address), flush=True)
    server.serve_forever()


sys.exit(main())
