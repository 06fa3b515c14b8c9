"""Takes call records over TLS and judges each by the Standard Webhooks library. Its certificate is of an authority made for this
run alone, which it writes to the file named by --ca. The first two are refused by 503, as if it were just starting."""
import argparse
import http.server
import json
import ssl
import sys
import threading

import trustme
from standardwebhooks.webhooks import Webhook, WebhookVerificationError


def main():
    flags = argparse.ArgumentParser()
    flags.add_argument("--port", type=int, default=0)
    flags.add_argument("--ca", required=True)
    flags.add_argument("--secret", required=True)
    flags = flags.parse_args()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(flags.ca)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    webhook = Webhook(flags.secret)
    refusals = [503, 503]
    lock = threading.Lock()

    def say(line):
        with lock:
            print(line, flush=True)

    class Receiver(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = refusals.pop() if refusals else 204
            try:
                record = webhook.verify(body, dict(self.headers))
                if record["sid"] != self.headers["webhook-id"] or record != json.loads(body):
                    raise WebhookVerificationError("another id than the record's")
                say(f"verified {status} {record['sid']}")
            except WebhookVerificationError as error:
                say(f"refused {error}")
                status = 401
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", flags.port), Receiver)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    print("listening on {}:{}".format(*server.server_address), flush=True)
    server.serve_forever()


sys.exit(main())
