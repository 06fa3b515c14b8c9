"""Lints, renders and validates a Helm chart, and has wrong values refused.

Usage: helm_chart.py CHART FOLDER. Writes the configuration of each set of values to FOLDER/NAME.toml, and prints one line
for each check.
"""

import pathlib
import sys

import helm_python as helm
import kubernetes_validate
import yaml

CHART, FOLDER = sys.argv[1], pathlib.Path(sys.argv[2])
# The oldest Kubernetes that the chart names, and the newest that the validator knows.
VERSIONS = ("1.25.0", "1.37.0")
# Severity of a warning of the linter.
WARNING = 2
# Kinds of the Prometheus operator, of which the validator has no schema.
FOREIGN = {"ServiceMonitor"}
LEAST = {"image": {"repository": "registry.example.com/trunkgate"}}


def rolling(surge, unavailable):
    """Values with this strategy of roll-outs."""
    return {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}}


# Values that the chart refuses, each with words of the reason.
WRONG = [
    ({"imgae": {}}, "imgae"),
    ({"drainSecond": 5}, "drainSecond"),
    ({"drainSeconds": "10m"}, "drainSeconds"),
    ({"image": {"repositry": "x"}}, "repositry"),
    ({"image": {"repository": ""}}, "image.repository is missing"),
    ({"image": {"digest": "sha256:1"}}, "digest"),
    ({"http": {"port": 0}}, "port"),
    ({"config": ""}, "config"),
    ({"data": {"hostPath": "records"}}, "hostPath"),
    ({"state": {"hostPath": "/run"}}, "hostPath"),
    ({"secrets": {"values": {"CARRIER-PASSWORD": "x"}}}, "CARRIER-PASSWORD"),
    ({"nodeSelector": {"voice": True}}, "voice"),
    (rolling(0, 0), "rollingUpdate"),
    (rolling(1, 1), "rollingUpdate"),
    ({"serviceMonitor": {"enabled": True}}, "serviceMonitor.token.secret is missing"),
    ({"serviceMonitor": {"enabled": True, "token": {"secret": "x"}}}, "serviceMonitor.token.key is missing"),
]


def linted(values):
    """Lints the chart with these values."""
    report = helm.lint(CHART, values, strict=True)
    faults = [one["error"] for one in report["messages"] if one["severity"] >= WARNING] + report["errors"]
    if faults:
        sys.exit(f"lint: {faults}")


def rendered(chart, name, values):
    """Renders the chart, validates each document, and returns them by kind."""
    chart.validate_schema(values)
    kinds = {}
    for path, text in chart.render(values, name="edge", namespace="voice", is_install=True).items():
        if not path.endswith(".yaml"):
            continue
        for document in filter(None, yaml.safe_load_all(text)):
            kinds[document["kind"]] = document
            for version in VERSIONS if document["kind"] not in FOREIGN else ():
                try:
                    kubernetes_validate.validate(document, version, strict=True)
                except kubernetes_validate.ValidationError as fault:
                    sys.exit(f"{name}: {path} by Kubernetes {version}: {fault}")
            print(f"{name}: {document['kind']} is valid")
    return kinds


def expect(what, found, wanted):
    """Ends with an error if a value is not as wanted."""
    if found != wanted:
        sys.exit(f"{what}: {found!r} instead of {wanted!r}")


def judge(name, kinds, drain, limit):
    """Checks what the schemas of Kubernetes cannot know."""
    daemons = kinds["DaemonSet"]["spec"]
    pod = daemons["template"]["spec"]
    (container,) = pod["containers"]
    labels = daemons["template"]["metadata"]["labels"]
    for key, value in daemons["selector"]["matchLabels"].items():
        expect(f"{name}: label {key}", labels.get(key), value)
    expect(f"{name}: host network", pod["hostNetwork"], True)
    expect(f"{name}: roll-out", daemons["updateStrategy"]["rollingUpdate"], {"maxSurge": 0, "maxUnavailable": 1})
    expect(f"{name}: drain", container["args"], ["keeper", "--", "run", "--drain", f"{drain}s"])
    expect(f"{name}: grace period", pod["terminationGracePeriodSeconds"], drain + 30)
    expect(f"{name}: preStop", container["lifecycle"]["preStop"]["exec"]["command"], ["trunkgate", "drain"])
    probes = {probe: container[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "liveness", "readiness")}
    expect(f"{name}: probes", probes, {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"})
    expect(f"{name}: token", pod["automountServiceAccountToken"], False)
    expect(f"{name}: user", (pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["runAsUser"]), (True, 65534))
    expect(f"{name}: capabilities", container["securityContext"]["capabilities"], {"drop": ["ALL"]})
    expect(f"{name}: root file system", container["securityContext"]["readOnlyRootFilesystem"], True)
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    state = next(volume for volume in pod["volumes"] if volume["name"] == "state")
    expect(f"{name}: state", state["emptyDir"], {"medium": "Memory", "sizeLimit": limit})
    expect(f"{name}: mounts", mounts, {volume["name"] for volume in pod["volumes"]})


def judge_complete(kinds):
    """Checks the optional parts."""
    expect("kinds", set(kinds), {"ConfigMap", "DaemonSet", "Secret", "Service", "ServiceAccount", "ServiceMonitor"})
    pod = kinds["DaemonSet"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    own = kinds["Secret"]["metadata"]["name"]
    expect("secrets", [source["secretRef"]["name"] for source in container["envFrom"]], ["trunkgate-http", own])
    data = next(volume for volume in pod["volumes"] if volume["name"] == "data")
    expect("data", data["hostPath"], {"path": "/var/lib/trunkgate", "type": "Directory"})
    endpoint = kinds["ServiceMonitor"]["spec"]["endpoints"][0]
    expect("scraped port", endpoint["port"], kinds["Service"]["spec"]["ports"][0]["name"])
    expect("scheme", (endpoint["scheme"], container["livenessProbe"]["httpGet"]["scheme"]), ("https", "HTTPS"))
    expect("token", endpoint["authorization"]["credentials"], {"name": "trunkgate-http", "key": "HTTP_TOKEN"})


def judge_surge(kinds):
    """Checks a roll-out that hands calls over: both pods share a socket, and the old one does not drain the new edge."""
    daemons = kinds["DaemonSet"]["spec"]
    (container,) = daemons["template"]["spec"]["containers"]
    expect("surge", daemons["updateStrategy"]["rollingUpdate"], {"maxSurge": 1, "maxUnavailable": 0})
    expect("surge: ready", daemons["minReadySeconds"], 10)
    expect("surge: arguments", container["args"][5:], ["--take-over", "/var/lib/trunkgate/takeover.sock"])
    expect("surge: preStop", container.get("lifecycle"), None)


def merged(values):
    """The least values with these."""
    image = {**LEAST["image"], **values.get("image", {})}
    return {**LEAST, **values, "image": image}


def refuse(chart, values, reason):
    """Has the chart refuse these values for that reason."""
    try:
        chart.validate_schema(merged(values))
        chart.render(merged(values), name="edge")
    except helm.HelmError as fault:
        if reason not in str(fault):
            sys.exit(f"{values} is refused by {fault}")
        print(f"refused: {reason}")
    else:
        sys.exit(f"{values} is accepted")


def main():
    complete = yaml.safe_load((pathlib.Path(CHART) / "ci/complete-values.yaml").read_text(encoding="utf-8"))
    linted(None)
    with helm.Chart.load(CHART) as chart:
        for name, values, drain in (("least", LEAST, 600), ("complete", complete, complete["drainSeconds"])):
            linted(values)
            kinds = rendered(chart, name, values)
            judge(name, kinds, drain, values.get("state", chart.values["state"])["sizeLimit"])
            text = kinds["ConfigMap"]["data"]["trunkgate.toml"]
            expect(f"{name}: configuration", text, values.get("config", chart.values["config"]))
            (FOLDER / f"{name}.toml").write_text(text, encoding="utf-8")
            if name == "complete":
                judge_complete(kinds)
        judge_surge(rendered(chart, "surge", {**LEAST, **rolling(1, 0), "data": {"hostPath": "/var/lib/trunkgate"}}))
        for values, reason in WRONG:
            refuse(chart, values, reason)


main()
