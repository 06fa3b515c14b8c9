//! Documents in response to a message webhook.

use trunkgate_twiml::{HttpMethod, ReplyKind, parse_messaging};

behaviours! {
    ["messages:Message", "messages:Message@(text)", "messages:Message@to", "messages:Message@from",
     "messages:Message@action", "messages:Message@method", "messages:Message@statusCallback",
     "messages:Message/Body", "messages:Message/Body@(text)", "messages:Message/Media", "messages:Message/Media@(text)"]
    fn a_message_has_text_media_and_callbacks() {
        let xml = "<Response><Message>Hi</Message><Message to='+1' from='+2' action='/a' method='GET' statusCallback='/s'>\
                   <Body>Look</Body><Media>https://a.example/x.jpg</Media><Media/></Message></Response>";
        let document = parse_messaging(xml).unwrap();
        let ReplyKind::Message { to: None, body, .. } = &document.replies[0].kind else { panic!("{document:?}") };
        assert_eq!(body, "Hi");
        let expected = ReplyKind::Message {
            to: Some("+1".to_owned()),
            from: Some("+2".to_owned()),
            body: "Look".to_owned(),
            media: vec!["https://a.example/x.jpg".to_owned()],
            action: Some("/a".to_owned()),
            method: HttpMethod::Get,
            status: Some("/s".to_owned()),
        };
        assert_eq!(document.replies[1].kind, expected);
        assert_eq!(document.warnings.list.len(), 1, "the empty Media");
    }

    ["messages:Redirect", "messages:Redirect@(text)", "messages:Redirect@method"]
    fn a_redirect_names_another_document() {
        let document = parse_messaging("<Response><Redirect method='GET'>/next</Redirect></Response>").unwrap();
        let expected = ReplyKind::Redirect { url: "/next".to_owned(), method: HttpMethod::Get };
        assert_eq!(document.replies[0].kind, expected);
    }
}

#[test]
fn verbs_of_calls_and_empty_messages_are_skipped() {
    let document = parse_messaging("<Response><Say>Hi</Say><Message/><Message><Foo/>x</Message></Response>").unwrap();
    assert_eq!(document.replies.len(), 1);
    let codes: Vec<u16> = document.warnings.list.iter().map(|warning| warning.code).collect();
    assert_eq!(codes, [14110, 14103, 12200]);
}

#[test]
fn ten_replies_are_enough() {
    let document = parse_messaging(&format!("<Response>{}</Response>", "<Message>x</Message>".repeat(11))).unwrap();
    assert_eq!((document.replies.len(), document.warnings.list[0].code), (10, 14109));
}
