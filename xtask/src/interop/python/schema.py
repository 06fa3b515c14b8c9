"""Which of these TOML files a JSON Schema takes: a line each. The schema itself is judged first."""

import json
import sys
import tomllib

from jsonschema import Draft202012Validator

with open(sys.argv[1], encoding="utf-8") as file:
    schema = json.load(file)
Draft202012Validator.check_schema(schema)
judge = Draft202012Validator(schema)
for name in sys.argv[2:]:
    with open(name, "rb") as file:
        faults = list(judge.iter_errors(tomllib.load(file)))
    told = "; ".join(f"{'.'.join(map(str, fault.path))}: {fault.message[:120]}" for fault in faults)
    print(name, told or "ok")
