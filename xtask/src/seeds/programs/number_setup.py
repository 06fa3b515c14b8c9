"""Sets VoiceUrl and StatusCallback of an account's numbers, as a hosted voice channel does when its credentials are saved: each number is
looked for by E.164, those that the account lacks are skipped, and errors are reported number by number."""
import json
import os
import sys

from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.rest import Client

client = Client(os.environ["TWILIO_ACCOUNT_SID"], os.environ["TWILIO_AUTH_TOKEN"])
client.api.base_url = os.environ["TWILIO_BASE_URL"]
voice_url, status_callback, *numbers = sys.argv[1:]
updated, skipped, failed = [], [], []
for number in numbers:
    try:
        found = client.incoming_phone_numbers.list(phone_number=number, limit=20)
        found = [one for one in found if one.phone_number == number]
        if not found:
            skipped.append({"number": number, "reason": "no matching IncomingPhoneNumber on Twilio account"})
        elif found[0].voice_application_sid or found[0].trunk_sid:
            skipped.append({"number": number, "reason": "the number is in the mode of TwiML App or SIP Trunk"})
        else:
            found[0].update(
                voice_url=voice_url, voice_method="POST", status_callback=status_callback, status_callback_method="POST"
            )
            updated.append(number)
    except TwilioRestException as error:
        failed.append({"number": number, "code": error.code, "error": error.msg})
    except TwilioException as error:
        # The list raises this one, with the answer.
        answer = json.loads(error.args[1].text)
        failed.append({"number": number, "code": answer["code"], "error": answer["message"]})
print(json.dumps({"twilioWebhooksUpdated": updated, "twilioWebhookSkipped": skipped, "twilioWebhooksFailed": failed}))
