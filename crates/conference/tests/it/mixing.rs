//! Mixing: audibility, delay, rates and levels.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use trunkgate_conference::limits::{LOOK_AHEAD_MS, PARTIES};
use trunkgate_conference::{Audience, MixIdentity, Mixer, MixerEvent, PartyId, PartyRole, SamplingRate};

use crate::support::{Talker, heard, level_db, noise, tone, tone_db};

/// Test party: a tone of its own, or silence.
struct Party {
    id: PartyId,
    rate: SamplingRate,
    tone: Option<f64>,
}

/// Parties of a mixer, with the latest audio received by each.
struct Table {
    mixer: Mixer,
    parties: Vec<Party>,
    at: u64,
}

impl Table {
    fn new(parties: &[(SamplingRate, Option<f64>)]) -> Table {
        let mut mixer = Mixer::new();
        let parties =
            parties.iter().map(|(rate, tone)| Party { id: mixer.join(*rate).unwrap(), rate: *rate, tone: *tone });
        let parties = parties.collect();
        Table { mixer, parties, at: 0 }
    }

    fn id(&self, at: usize) -> PartyId {
        self.parties[at].id
    }

    /// Runs `ticks` ticks; returns the audio for each party in the last ten.
    fn run(&mut self, ticks: u64) -> Vec<Vec<i16>> {
        let mut all = vec![Vec::new(); self.parties.len()];
        for tick in 0..ticks {
            for party in &self.parties {
                let peak = if party.tone.is_some() { 3000.0 } else { 0.0 };
                self.mixer.push(party.id, &tone(party.rate, party.tone.unwrap_or(440.0), peak, self.at));
            }
            self.mixer.tick();
            self.at += 1;
            for (all, party) in all.iter_mut().zip(&self.parties).filter(|_| tick + 10 >= ticks) {
                all.extend(heard(&self.mixer, party.id, party.rate));
            }
        }
        all
    }

    /// Checks which tones each party hears; all others must be absent.
    fn assert_hears(&mut self, expected: &[&[f64]]) {
        let all = self.run(40);
        let tones: Vec<f64> = self.parties.iter().filter_map(|party| party.tone).collect();
        for ((at, heard), (expected, party)) in all.iter().enumerate().zip(expected.iter().zip(&self.parties)) {
            for hz in &tones {
                let level = tone_db(heard, party.rate, *hz);
                // A tone of 3,000 is 20.8 dB below full scale.
                match expected.contains(hz) {
                    true => assert!((level + 20.8).abs() < 0.5, "{at} hears {hz} Hz by {level} dB"),
                    false => assert!(level < -75.0, "{at} hears {hz} Hz by {level} dB"),
                }
            }
        }
    }
}

const A: f64 = 500.0;
const B: f64 = 900.0;
const C: f64 = 1300.0;
const D: f64 = 2100.0;

#[test]
fn each_hears_all_but_itself() {
    for rate in SamplingRate::ALL {
        let mut table = Table::new(&[(rate, Some(A)), (rate, Some(B)), (rate, Some(C)), (rate, None)]);
        table.assert_hears(&[&[B, C], &[A, C], &[A, B], &[A, B, C]]);
    }
}

#[test]
fn parties_of_all_rates_hear_each_other() {
    let mut table = Table::new(&[
        (SamplingRate::Narrow, Some(A)),
        (SamplingRate::Wide, Some(B)),
        (SamplingRate::Full, Some(C)),
        (SamplingRate::Narrow, None),
        (SamplingRate::Wide, None),
        (SamplingRate::Full, None),
    ]);
    assert_eq!(table.mixer.mixed_at(), SamplingRate::Full);
    table.assert_hears(&[&[B, C], &[A, C], &[A, B], &[A, B, C], &[A, B, C], &[A, B, C]]);
    // Without the party at 48 kHz the mix continues at 16 kHz.
    for at in [5, 2] {
        let gone = table.parties.remove(at);
        table.mixer.leave(gone.id);
    }
    assert_eq!(table.mixer.mixed_at(), SamplingRate::Wide);
    table.assert_hears(&[&[B], &[A], &[A, B], &[A, B]]);
}

#[test]
fn muted_held_and_coaching_parties_are_heard_by_those_they_should() {
    let mut table = Table::new(&[
        (SamplingRate::Narrow, Some(A)),
        (SamplingRate::Narrow, Some(B)),
        (SamplingRate::Wide, Some(C)),
        (SamplingRate::Narrow, Some(D)),
        (SamplingRate::Wide, None),
    ]);
    let coached = table.id(0);
    table.mixer.set_part(table.id(2), PartyRole::Coach(coached));
    table.assert_hears(&[&[B, C, D], &[A, D], &[A, B, D], &[A, B], &[A, B, D]]);
    table.mixer.set_part(table.id(1), PartyRole::Listener);
    table.assert_hears(&[&[C, D], &[A, D], &[A, D], &[A], &[A, D]]);
    table.mixer.set_part(table.id(3), PartyRole::Away);
    table.assert_hears(&[&[C], &[A], &[A], &[], &[A]]);
    assert!(table.mixer.heard(table.id(3)).is_none(), "on hold");
    // The coach becomes a speaker; the coached party leaves.
    table.mixer.set_part(table.id(2), PartyRole::Speaker);
    table.mixer.set_part(table.id(3), PartyRole::Speaker);
    table.assert_hears(&[&[C, D], &[A, C, D], &[A, D], &[A, C], &[A, C, D]]);
    table.mixer.set_part(table.id(2), PartyRole::Coach(coached));
    table.mixer.leave(coached);
    table.parties.remove(0);
    table.assert_hears(&[&[D], &[D], &[], &[D]]);
}

#[test]
fn who_adds_nothing_shares_a_mix() {
    let mut table = Table::new(&[
        (SamplingRate::Narrow, Some(A)),
        (SamplingRate::Narrow, None),
        (SamplingRate::Narrow, None),
        (SamplingRate::Wide, None),
        (SamplingRate::Wide, None),
    ]);
    table.run(40);
    let mix = |table: &Table, at: usize| table.mixer.heard(table.id(at)).unwrap().mix;
    assert_eq!(mix(&table, 0), MixIdentity::Own(table.id(0)));
    assert_eq!([1, 2, 3, 4].map(|at| mix(&table, at)), {
        let (narrow, wide) = (MixIdentity::Shared(SamplingRate::Narrow), MixIdentity::Shared(SamplingRate::Wide));
        [narrow, narrow, wide, wide]
    });
    // If no party speaks, all hear the same silence.
    table.parties[0].tone = None;
    table.run(60);
    assert!((0..5).all(|at| {
        let heard = table.mixer.heard(table.id(at)).unwrap();
        heard.is_silent && heard.mix == MixIdentity::Shared(table.parties[at].rate)
    }));
}

/// The delay between two parties is the look-ahead, plus 1.5 ms for each resampler of 8 kHz on the way and 0.75 ms for
/// one of 16 kHz.
#[test]
fn the_delay_is_the_look_ahead_and_that_of_resamplers() {
    for (rate, mixed, most_ms) in [
        (SamplingRate::Narrow, SamplingRate::Narrow, 2.1),
        (SamplingRate::Wide, SamplingRate::Wide, 2.1),
        (SamplingRate::Full, SamplingRate::Full, 2.1),
        (SamplingRate::Narrow, SamplingRate::Full, 6.7),
        (SamplingRate::Wide, SamplingRate::Full, 3.7),
    ] {
        let mut mixer = Mixer::new();
        let (speaker, listener) = (mixer.join(rate).unwrap(), mixer.join(rate).unwrap());
        mixer.join(mixed).unwrap();
        let mut all = Vec::new();
        for frame in 0..20 {
            let pulse = |n: usize| if frame == 10 && n < rate.frame() / 4 { 10_000 } else { 0 };
            mixer.push(speaker, &(0..rate.frame()).map(pulse).collect::<Vec<_>>());
            mixer.tick();
            all.extend(heard(&mixer, listener, rate));
        }
        let begins = all.iter().position(|sample| *sample > 5000).unwrap() - 10 * rate.frame();
        let ms = begins as f64 * 1000.0 / f64::from(rate.hz());
        assert!(ms >= LOOK_AHEAD_MS as f64 && ms < most_ms + 1.5, "{rate:?} in {mixed:?}: {ms} ms");
    }
}

/// A party that leaves the shared mix and returns to it hears no discontinuity in another party's voice.
#[test]
fn leaving_the_shared_mix_and_returning_is_not_heard() {
    for (rate, other) in [
        (SamplingRate::Narrow, SamplingRate::Narrow),
        (SamplingRate::Narrow, SamplingRate::Full),
        (SamplingRate::Full, SamplingRate::Narrow),
    ] {
        let mut mixer = Mixer::new();
        let ids = [mixer.join(rate).unwrap(), mixer.join(other).unwrap(), mixer.join(rate).unwrap()];
        let (mut one, mut through, mut mixes) = (Vec::new(), Vec::new(), Vec::new());
        for at in 0..300 {
            mixer.push(ids[0], &tone(rate, 300.0, 4000.0, at));
            // Occasional words.
            let peak = if at % 100 > 60 { 4000.0 } else { 0.0 };
            mixer.push(ids[1], &tone(other, 700.0, peak, at));
            mixer.push(ids[2], &vec![0; rate.frame()]);
            mixer.tick();
            one.extend(heard(&mixer, ids[1], other));
            through.extend(heard(&mixer, ids[2], rate));
            mixes.push(mixer.heard(ids[1]).unwrap().mix);
        }
        let changes = mixes.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!(changes >= 5, "{changes}");
        // A tone of 300 Hz has steps of 4,000 · 2π · 300 / rate.
        let most = (4000.0 * 1885.0 / f64::from(other.hz()) * 1.1) as i32 + 8;
        let settled = &one[other.frame() * 3..];
        let step = settled.windows(2).map(|pair| (i32::from(pair[1]) - i32::from(pair[0])).abs()).max().unwrap();
        assert!(step <= most, "{rate:?} {other:?}: a step of {step}, more than {most}");
    }
}

#[test]
fn a_lost_party_is_concealed_for_the_others() {
    let mut mixer = Mixer::new();
    let ids = [mixer.join(SamplingRate::Narrow).unwrap(), mixer.join(SamplingRate::Narrow).unwrap()];
    let mut all = Vec::new();
    for at in 0..60 {
        match at {
            30 => mixer.push_lost(ids[0]),
            40..43 => {}
            _ => mixer.push(ids[0], &tone(SamplingRate::Narrow, 300.0, 8000.0, at)),
        }
        mixer.push(ids[1], &[0; 160]);
        mixer.tick();
        all.extend(heard(&mixer, ids[1], SamplingRate::Narrow));
    }
    let settled = &all[3 * 160..];
    let step = settled.windows(2).map(|pair| (i32::from(pair[1]) - i32::from(pair[0])).abs()).max().unwrap();
    assert!(step < 3000, "the tone has steps of 1,900: {step}");
    let level = |at: usize| level_db(&all[at * 160..][..160]);
    assert!(level(30) > level(29) - 4.0, "one lost frame is nearly as loud: {}", level(30));
    assert!(level(42) < level(39) - 20.0, "three are not: {}", level(42));
    let intaken = mixer.intaken(ids[0]).unwrap();
    assert_eq!((intaken.lost, intaken.absent), (1, 2));
}

/// Returns the active speaker last reported.
fn active_speaker(mixer: &mut Mixer) -> Option<PartyId> {
    let events = std::iter::from_fn(|| mixer.poll_event());
    events
        .filter_map(|event| if let MixerEvent::ActiveSpeaker(party) = event { Some(party) } else { None })
        .last()
        .flatten()
}

/// Full-scale noise, audio at three times real time, and missing audio of three parties do not disturb the others.
#[test]
fn bad_parties_do_not_spoil_a_conference() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut mixer = Mixer::new();
    let ids = [(); 5].map(|()| mixer.join(SamplingRate::Narrow).unwrap());
    let mut talker = Talker::new(1, 1000.0, 4000.0);
    let (mut early, mut late) = (Vec::new(), Vec::new());
    for at in 0..1000 {
        mixer.push(ids[0], &talker.frame(SamplingRate::Narrow));
        mixer.push(ids[1], &noise(&mut random, SamplingRate::Narrow));
        (0..3).for_each(|n| mixer.push(ids[2], &tone(SamplingRate::Narrow, 2500.0, 2000.0, 3 * at + n)));
        // The third party sends nothing, the fourth is quiet.
        mixer.push(ids[4], &[0; 160]);
        mixer.tick();
        let frame = heard(&mixer, ids[4], SamplingRate::Narrow);
        assert!(frame.iter().all(|sample| sample.unsigned_abs() < 29_300), "never clipped");
        match at {
            5..30 => early.extend(frame),
            900..1000 => late.extend(frame),
            _ => {}
        }
    }
    assert!(
        level_db(&late) < level_db(&early) - 6.0,
        "the noise is turned down: {} {}",
        level_db(&early),
        level_db(&late)
    );
    assert!(
        tone_db(&late, SamplingRate::Narrow, 1000.0) > -34.0,
        "the voice is heard: {}",
        tone_db(&late, SamplingRate::Narrow, 1000.0)
    );
    assert_ne!(active_speaker(&mut mixer), Some(ids[1]), "noise is no speaker");
    let intaken = ids.map(|id| mixer.intaken(id).unwrap());
    assert_eq!((intaken[2].dropped, intaken[3].absent), (3000 - 1000 - 5, 0));
}

#[test]
fn fifty_parties_at_full_scale_are_not_clipped() {
    for rate in SamplingRate::ALL {
        let mut mixer = Mixer::new();
        let ids: Vec<PartyId> = (0..PARTIES).map(|_| mixer.join(rate).unwrap()).collect();
        assert!(mixer.join(rate).is_none(), "no more than {PARTIES}");
        for at in 0..20 {
            ids.iter().for_each(|id| mixer.push(*id, &tone(rate, 400.0, 32_767.0, at)));
            mixer.tick();
        }
        let frame = heard(&mixer, ids[7], rate);
        let peak = frame.iter().map(|sample| sample.unsigned_abs()).max().unwrap();
        assert!((26_000..=29_205).contains(&peak), "{peak}");
        // All parties leave at once.
        ids.iter().for_each(|id| mixer.leave(*id));
        mixer.tick();
        assert!(mixer.is_empty() && mixer.heard(ids[0]).is_none());
    }
}

#[test]
fn speech_and_the_active_speaker_are_reported() {
    let mut mixer = Mixer::new();
    let ids = [(); 3].map(|()| mixer.join(SamplingRate::Narrow).unwrap());
    let mut talkers = [Talker::new(1, 500.0, 6000.0), Talker::new(2, 900.0, 6000.0)];
    let mut events = Vec::new();
    for at in 0..600 {
        for (who, talker) in talkers.iter_mut().enumerate() {
            // The first party, then the second, then neither.
            let speaks = [0..200, 200..400][who].contains(&at);
            mixer.push(ids[who], &if speaks { talker.frame(SamplingRate::Narrow) } else { vec![0; 160] });
        }
        mixer.tick();
        events.extend(std::iter::from_fn(|| mixer.poll_event()).map(|event| (at, event)));
    }
    let kinds: Vec<MixerEvent> = events.iter().map(|(_, event)| *event).collect();
    let position = |wanted: MixerEvent| kinds.iter().position(|event| *event == wanted).unwrap();
    assert!(position(MixerEvent::SpeechStarted(ids[0])) < position(MixerEvent::SpeechStarted(ids[1])));
    assert!(position(MixerEvent::ActiveSpeaker(Some(ids[0]))) < position(MixerEvent::ActiveSpeaker(Some(ids[1]))));
    assert_eq!(kinds.last(), Some(&MixerEvent::ActiveSpeaker(None)));
    let starts = kinds.iter().filter(|event| matches!(event, MixerEvent::SpeechStarted(_))).count();
    let stops = kinds.iter().filter(|event| matches!(event, MixerEvent::SpeechStopped(_))).count();
    assert_eq!(starts, stops);
    assert!((-20.0..-14.0).contains(&mixer.loudness_db(ids[0]).unwrap()), "{:?}", mixer.loudness_db(ids[0]));
    assert_eq!(mixer.loudness_db(ids[2]), None);
    // Muted in mid-word, a party stops speaking.
    (0..10).for_each(|at| {
        mixer.push(ids[0], &tone(SamplingRate::Narrow, 500.0, 6000.0, at));
        mixer.tick();
    });
    mixer.set_part(ids[0], PartyRole::Listener);
    mixer.tick();
    let events: Vec<MixerEvent> = std::iter::from_fn(|| mixer.poll_event()).collect();
    assert!(events.contains(&MixerEvent::SpeechStopped(ids[0])), "{events:?}");
}

#[test]
fn clips_are_heard_by_all_or_by_one() {
    let mut table =
        Table::new(&[(SamplingRate::Narrow, Some(A)), (SamplingRate::Wide, None), (SamplingRate::Narrow, None)]);
    table.run(30);
    let clip: Vec<i16> = (0..100).flat_map(|at| tone(SamplingRate::Narrow, 1700.0, 3000.0, at)).collect();
    let level = |heard: &[i16], rate| tone_db(heard, rate, 1700.0);
    let all = table.mixer.play(Audience::All, clip.clone().into(), false).unwrap();
    let heard = table.run(30);
    assert!(level(&heard[0], SamplingRate::Narrow) > -22.0 && level(&heard[1], SamplingRate::Wide) > -22.0);
    table.mixer.stop(all);
    table.run(5);
    let events: Vec<MixerEvent> = std::iter::from_fn(|| table.mixer.poll_event()).collect();
    assert!(events.contains(&MixerEvent::Ended(all)), "{events:?}");
    // A clip for a party on hold: it hears only the clip, the others do not.
    table.mixer.set_part(table.id(1), PartyRole::Away);
    let one = table.mixer.play(Audience::One(table.id(1)), clip.clone().into(), true).unwrap();
    let heard = table.run(250);
    assert!(level(&heard[1], SamplingRate::Wide) > -22.0, "again and again");
    assert!(tone_db(&heard[1], SamplingRate::Wide, A) < -75.0);
    assert!(level(&heard[0], SamplingRate::Narrow) < -75.0 && level(&heard[2], SamplingRate::Narrow) < -75.0);
    assert_eq!(table.mixer.heard(table.id(1)).unwrap().mix, MixIdentity::Own(table.id(1)));
    table.mixer.leave(table.id(1));
    assert_eq!(table.mixer.poll_event(), Some(MixerEvent::Ended(one)));
    assert!(table.mixer.play(Audience::One(table.id(1)), clip.into(), true).is_none(), "it has left");
}

#[test]
fn a_party_that_has_left_is_never_meant_again() {
    let mut mixer = Mixer::new();
    let first = mixer.join(SamplingRate::Narrow).unwrap();
    mixer.leave(first);
    let second = mixer.join(SamplingRate::Narrow).unwrap();
    assert_ne!(first, second);
    mixer.push(first, &[9000; 160]);
    mixer.set_part(first, PartyRole::Away);
    mixer.leave(first);
    mixer.tick();
    assert!(mixer.heard(second).is_some() && mixer.heard(first).is_none() && mixer.len() == 1);
}

/// Random events, with seeds, cause no panic and no sample above the ceiling, and the mix is silent when all parties
/// are.
#[test]
fn any_order_of_events_keeps_the_mixer_sound() {
    let tones = SamplingRate::ALL.map(|rate| tone(rate, 300.0, 32_767.0, 0));
    for seed in 0..12 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut mixer = Mixer::new();
        let mut ids: Vec<(PartyId, SamplingRate)> = Vec::new();
        let mut below = move |most: usize| random.next_u32() as usize % most;
        for _ in 0..250 {
            match below(8) {
                0 if ids.len() < 12 => {
                    let rate = SamplingRate::ALL[below(3)];
                    ids.extend(mixer.join(rate).map(|id| (id, rate)));
                }
                2 if !ids.is_empty() => {
                    let (gone, _) = ids.swap_remove(below(ids.len()));
                    mixer.leave(gone);
                }
                3 | 4 if !ids.is_empty() => {
                    let (id, other) = (ids[below(ids.len())].0, ids[below(ids.len())].0);
                    mixer.set_part(
                        id,
                        [PartyRole::Speaker, PartyRole::Listener, PartyRole::Away, PartyRole::Coach(other)][below(4)],
                    );
                }
                5 if !ids.is_empty() => {
                    let audience = if below(2) == 0 { Audience::All } else { Audience::One(ids[below(ids.len())].0) };
                    let clip = vec![below(30_000) as i16; below(2000)];
                    let source = mixer.play(audience, clip.into(), below(2) == 0);
                    source.filter(|_| below(2) == 0).into_iter().for_each(|source| mixer.stop(source));
                }
                _ => {}
            }
            for (id, rate) in &ids {
                match below(12) {
                    0 => mixer.push_lost(*id),
                    1 => {}
                    2 => mixer.push(*id, &vec![0; below(1000)]),
                    n => (0..n / 6 + 1).for_each(|_| mixer.push(*id, &tones[*rate as usize])),
                }
            }
            mixer.tick();
            for (id, rate) in &ids {
                let Some(heard) = mixer.heard(*id) else { continue };
                assert_eq!(heard.samples.len(), rate.frame());
                assert_eq!(heard.is_silent, heard.samples.iter().all(|sample| *sample == 0), "seed {seed}");
            }
            assert_eq!(mixer.len(), ids.len());
        }
    }
}
