//! Tone in both directions between two ordinary phones.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};

use crate::interop::Setting;
use crate::interop::edge::Edge;
use crate::interop::raw::{Phone, identical, numbered_tone};
use crate::interop::sipp::{CARRIER, CARRIER_TO_PBX, PBX};

/// Number of packets in each direction: 3 s.
const PACKETS: u32 = 150;
/// Maximum wait for the call record, which is written after the caller has its answer to BYE.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes one call, and compares every payload that arrives.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let edge = Edge::start(CARRIER_TO_PBX)?;
    let caller = Phone::new(CARRIER, 0, "caller")?;
    let callee = Phone::new(PBX, 5060, "callee")?;
    let sent = numbered_tone(PACKETS);
    let mut returned = sent.clone();
    if setting.sabotage {
        // Broken: one bit of one packet, which the comparison must detect.
        *returned.get_mut(75).and_then(|payload| payload.get_mut(80)).context("a byte to break")? ^= 1;
    }
    let udp = edge.udp;
    let (there, back) = std::thread::scope(|scope| {
        let far = scope.spawn(|| -> anyhow::Result<_> {
            let call = callee.answer()?;
            let heard = callee.talk(call.media, &returned)?;
            callee.expect_bye()?;
            Ok(heard)
        });
        let call = caller.call(udp, "+14155550100")?;
        let back = caller.talk(call.media, &sent)?;
        caller.bye(&call)?;
        let there = far.join().map_err(|_| anyhow!("the callee panicked"))??;
        Ok::<_, anyhow::Error>((there, back))
    })?;
    let (whole_there, whole_back) = (identical(&sent, &there), identical(&sent, &back));
    if whole_there != sent.len() || whole_back != sent.len() {
        let lost = |heard: &BTreeMap<u16, Vec<u8>>| -> Vec<usize> {
            (0..sent.len()).filter(|at| u16::try_from(*at).is_ok_and(|at| !heard.contains_key(&at))).collect()
        };
        bail!(
            "{whole_there} and {whole_back} of {PACKETS} packets came bit-identical; not heard: {:?} there, {:?} back; \
             dropped: {}\n{}",
            lost(&there),
            lost(&back),
            edge.drops()?,
            edge.log_tail()
        );
    }
    edge.wait_until("the call has its record", PATIENCE, |edge| Ok(!edge.records()?.is_empty()))?;
    let records = edge.records()?;
    if records.len() != 1 {
        bail!("{} call records for one call", records.len());
    }
    Ok(format!("{PACKETS} packets each way, all bit-identical; one call record"))
}
