//! Streams that no TLS implementation sends.

use std::sync::LazyLock;

use proptest::prelude::*;

use crate::support::{Pair, Side, read, restored, versions};

/// Snapshot of an open connection of each version, with the records that its peer sends next.
static STREAMS: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| {
    let stream = |suite| {
        let (snapshot, rest) = Pair::open(suite, Side::Client).crossing();
        let mut pair = rest.resumed(&snapshot);
        (snapshot, ["one", "two", "three"].iter().flat_map(|text| pair.records(text.as_bytes())).collect())
    };
    versions().into_iter().map(stream).collect()
});

proptest! {
    #[test]
    fn any_bytes_are_an_end_or_are_waited_for(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 0..6)) {
        for (snapshot, _) in STREAMS.iter() {
            let mut session = restored(snapshot);
            for piece in &pieces {
                let _ = session.receive(piece);
            }
            prop_assert!(read(&mut session).is_empty());
        }
    }

    #[test]
    fn framed_bytes_are_an_end(kind in 20_u8..24, body in prop::collection::vec(any::<u8>(), 0..100)) {
        for (snapshot, _) in STREAMS.iter() {
            let mut session = restored(snapshot);
            let length = u16::try_from(body.len()).unwrap().to_be_bytes();
            prop_assert!(session.receive(&[&[kind, 3, 3][..], &length, &body].concat()).is_err());
            prop_assert!(!session.unsent().is_empty() && session.receive(b"").is_err());
        }
    }

    /// A changed stream never yields data other than what was sent, and no record after the change.
    #[test]
    fn changed_streams_yield_a_beginning(at in any::<prop::sample::Index>(), bit in 0_u8..8, cut in any::<prop::sample::Index>()) {
        for (snapshot, records) in STREAMS.iter() {
            let mut changed = records.clone();
            let at = at.index(changed.len());
            changed[at] ^= 1 << bit;
            let (mut session, cut) = (restored(snapshot), cut.index(changed.len()));
            let _ = session.receive(&changed[..cut]);
            let _ = session.receive(&changed[cut..]);
            let data = read(&mut session);
            prop_assert!(["", "one", "onetwo"].iter().any(|whole| data == whole.as_bytes()), "{data:?}");
        }
    }
}
