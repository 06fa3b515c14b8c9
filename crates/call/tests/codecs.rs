//! Which codecs go from one side to the other: what both trunks may use, in the target's order.

mod bench;

use bench::*;
use trunkgate_route::Trunk;

fn trunks(carrier: &[&str], pbx: &[&str]) -> Vec<Trunk> {
    let codecs = |list: &[&str]| list.iter().map(|codec| (*codec).to_owned()).collect();
    vec![
        Trunk { codecs: codecs(carrier), ..trunk("carrier", &[CARRIER]) },
        Trunk { codecs: codecs(pbx), ..trunk("pbx", &[PBX]) },
    ]
}

fn bench(carrier: &[&str], pbx: &[&str]) -> Bench {
    Bench::with(table(trunks(carrier, pbx), vec![route(vec![to_trunk("pbx")])]))
}

#[test]
fn a_codec_has_to_suit_both_trunks() {
    for (carrier, pbx, offered) in [
        (&["PCMU", "PCMA"], &["PCMU", "PCMA"], "RTP/AVP 0 8 101"),
        (&["PCMU", "PCMA"], &["PCMA", "PCMU"], "RTP/AVP 8 0 101"),
    ] {
        let mut bench = bench(carrier, pbx);
        bench.invite(CARRIER, "+14155550100", &offer());
        let invite = bench.expect(PBX, "INVITE");
        assert!(invite.body().contains(offered), "{}", invite.body());
    }
    for (carrier, pbx) in [(&["PCMA"][..], &["PCMU", "PCMA"][..]), (&["PCMU", "PCMA"], &["PCMA"])] {
        let mut bench = bench(carrier, pbx);
        bench.invite(CARRIER, "+14155550100", &offer());
        let invite = bench.expect(PBX, "INVITE");
        assert!(invite.body().contains("RTP/AVP 8 101"), "{}", invite.body());
    }
}

#[test]
fn no_codec_that_suits_both_is_488_with_both_lists() {
    let mut bench = bench(&["PCMU"], &["PCMA"]);
    bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let refused = bench.expect(CARRIER, "SIP/2.0 488");
    assert!(refused.header("Warning").starts_with("305 "), "{}", refused.text);
    assert!(refused.header("Warning").contains("caller may use PCMU; target may use PCMA"), "{}", refused.text);
}
