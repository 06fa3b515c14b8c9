"""Runs a program that uses twilio-python as it stands; only the base URL of its clients is set, from TWILIO_BASE_URL."""
import os
import runpy
import sys

from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.rest import Client

begin = Client.__init__


def with_base_url(self, *args, **kwargs):
    begin(self, *args, **kwargs)
    self.api.base_url = os.environ["TWILIO_BASE_URL"]


Client.__init__ = with_base_url
try:
    runpy.run_path(sys.argv[1], run_name="__main__")
except TwilioRestException as error:
    sys.exit(f"refused {error.status} {error.code} {error.msg}")
except TwilioException as error:
    # Lists raise this one, with the answer.
    sys.exit(f"refused {error}")
