"""acme2certifier with an authority of OpenSSL's, unmodified but for the way to port 80: every name is found on loopback, and its port 80 is
the given address. The folder has ca.pem and ca.key."""

import argparse
import os
from wsgiref.simple_server import make_server

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--folder", required=True)
parser.add_argument("--challenges", required=True)
given = parser.parse_args()

configuration = os.path.join(given.folder, "acme_srv.cfg")
with open(configuration, "w", encoding="utf-8") as file:
    file.write(
        f"""[DEFAULT]
debug: False
[Nonce]
[CAhandler]
handler_module: acme2certifier.cahandlers.openssl_ca_handler
issuing_ca_key: {given.folder}/ca.key
issuing_ca_cert: {given.folder}/ca.pem
issuing_ca_crl: {given.folder}/crl.pem
cert_save_path: {given.folder}
cert_validity_days: 90
[DBhandler]
handler: wsgi
dbfile: {given.folder}/acme.db
[Certificate]
[Challenge]
[Order]
"""
    )
os.environ["ACME_SRV_CONFIGFILE"] = configuration
os.environ["ACME2CERTIFIER_BASE_DIR"] = given.folder

# It reads the environment when it is imported.
import requests  # noqa: E402
from acme2certifier.acme_srv import helper  # noqa: E402


def resolve(_logger, _name, *_arguments, **_named):
    """Finds every name on loopback."""
    return ["127.0.0.1"], False, None


def get(_logger, host, path, **_named):
    """Asks at the given address instead of port 80."""
    url = f"http://{given.challenges}{path}"
    try:
        answer = requests.get(url, headers={"Host": host}, timeout=10)
    except requests.RequestException as error:
        return None, 0, str(error)
    return answer.text, answer.status_code, None


helper.fqdn_resolve = resolve
helper.url_get_dns_pinned = get

from acme2certifier.share import acme2certifier_wsgi as server  # noqa: E402

with make_server("127.0.0.1", given.port, server.application, handler_class=server.get_handler_cls()) as serving:
    print(f"listening on 127.0.0.1:{serving.server_port}", flush=True)
    serving.serve_forever()
