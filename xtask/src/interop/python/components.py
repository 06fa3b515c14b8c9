"""Validates a list of components: schema of CycloneDX 1.6, licence expressions, and references between components."""

import json
import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from license_expression import ExpressionError, get_spdx_licensing

with open(sys.argv[1], encoding="utf-8") as file:
    text = file.read()
fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
if fault is not None:
    sys.exit(f"{sys.argv[1]}: {fault.data.json_path}: {fault.data.message}")
listed = json.loads(text)
components = listed["components"]
known = {component["bom-ref"] for component in components} | {listed["metadata"]["component"]["bom-ref"]}
if len(known) != len(components) + 1:
    sys.exit(f"{sys.argv[1]}: a reference names two components")
for dependency in listed["dependencies"]:
    for reference in [dependency["ref"], *dependency["dependsOn"]]:
        if reference not in known:
            sys.exit(f"{sys.argv[1]}: {reference} is no component")
licensing = get_spdx_licensing()
for component in components:
    for licence in component.get("licenses", []):
        try:
            licensing.parse(licence["expression"], validate=True)
        except ExpressionError as error:
            sys.exit(f"{sys.argv[1]}: licence of {component['bom-ref']}: {error}")
without = [component["bom-ref"] for component in components if not component.get("licenses")]
print(f"{len(components)} components" + (f", no licence: {', '.join(without)}" if without else ""))
