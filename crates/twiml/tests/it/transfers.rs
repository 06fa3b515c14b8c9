//! Redirect and Refer.

use trunkgate_twiml::{ProgramInput, ReferResult};

use super::support::Call;

behaviours! {
    ["Redirect", "Redirect@(text)", "Redirect@method"]
    fn redirect_goes_on_with_another_document() {
        let (mut call, steps) = Call::begin("<Redirect> /next?a=1&amp;b=2 </Redirect><Say>never</Say>");
        assert_eq!(steps, ["POST https://app.example/next?a=1&b=2 redirect"]);
        assert_eq!(call.document("<Redirect method='GET'/>"), ["GET https://app.example/next?a=1&b=2 redirect"]);
        assert_eq!(call.document("<Redirect method='get'>https://b.example/</Redirect>"), ["GET https://b.example/ redirect"]);
        assert_eq!(call.document("<Redirect method='PUT'>x</Redirect>"), ["POST https://b.example/x redirect"]);
        call.noted(13710, "the default is used");
    }

    ["Refer", "Refer@action", "Refer@method", "Refer/Sip", "Refer/Sip@(text)", "rule:refer-result"]
    fn refer_reports_its_result() {
        let refer = "<Refer action='after' method='GET'><Sip>sip:alice@example.com?X-A=1&amp;Route=x</Sip></Refer>";
        let (mut call, steps) = Call::begin(refer);
        assert_eq!(steps, ["answer", "refer sip:alice@example.com X-A=1"]);
        let result = ReferResult { status: Some("in-progress"), refer: Some(202), notify: Some(200) };
        let ended = ProgramInput::ReferEnded { id: call.id(), result };
        assert_eq!(call.input(ended), [
            "GET https://app.example/ivr/after refer ReferCallStatus=in-progress ReferSipResponseCode=202 \
             NotifySipResponseCode=200"
        ]);
        let (mut call, _) = Call::begin("<Refer><Sip>alice@example.com</Sip></Refer><Say>Sorry</Say>");
        let result = ReferResult { status: None, refer: Some(405), notify: None };
        let ended = ProgramInput::ReferEnded { id: call.id(), result };
        assert_eq!(call.input(ended), ["say Sorry"]);
        // The result is reported although the caller has left for the new call.
        let (mut call, _) = Call::begin("<Refer action='after'><Sip>sip:alice@example.com</Sip></Refer><Say>never</Say>");
        assert_eq!(call.hung_up(), [""; 0]);
        let result = ReferResult { status: None, refer: Some(202), notify: None };
        let ended = ProgramInput::ReferEnded { id: call.id(), result };
        assert_eq!(call.input(ended), ["notify POST https://app.example/ivr/after refer ReferSipResponseCode=202"]);
        assert!(call.is_over());
        let (call, steps) = Call::begin("<Refer/>");
        assert_eq!(steps, ["answer", "hangup"]);
        call.noted(13243, "skipped");
    }
}
