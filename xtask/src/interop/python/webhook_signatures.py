"""Judges signed requests by twilio-python's validator: as they are, and with one character changed in each part of them."""

import json
import sys

from twilio.request_validator import RequestValidator


class Form(dict):
    """A form as Django has it: each name with all of its values."""

    def getlist(self, name):
        return self[name]


def judge(request, seen, params, body):
    validator = RequestValidator(request["auth_token"])
    if body is not None:
        return validator.validate(seen, body, request["signature"])
    form = Form()
    for name, value in params if request["method"] == "POST" else []:
        form.setdefault(name, []).append(value)
    return validator.validate(seen, form, request["signature"])


taken = refused = forged = 0
for request in json.load(open(sys.argv[1], encoding="utf-8")):
    seen, params, body = request["seen"], request["params"], request["body"]
    if judge(request, seen, params, body):
        taken += 1
    else:
        refused += 1
        print("refused:", json.dumps(request))
    forged += judge(request, seen + "x", params, body)
    if body is not None:
        forged += judge(request, seen, params, body + " ")
    elif params and request["method"] == "POST":
        forged += judge(request, seen, params[1:] + [[params[0][0], params[0][1] + "x"]], body)
print(f"taken {taken} refused {refused} forged {forged}")
