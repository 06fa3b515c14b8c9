//! Conversational quality from loss and delay by the E-model (ITU-T G.107), with defaults for every term that is not
//! measured.
//!
//! R = Ro − Is − Id − Ie,eff, which is 93.2 without loss and delay. Id follows G.107 §7.4: talker echo (at the
//! default TELR of 65 dB), listener echo, and absolute delay. Ie,eff follows G.107 §7.5 for random loss (BurstR 1),
//! with the codecs' values of ITU-T G.113, Appendix I.

/// Basic signal-to-noise ratio Ro (G.107 §7.2) with the defaults of Table 3.
const RO: f64 = 94.768_821;
/// Simultaneous impairment factor Is (G.107 §7.3) with the defaults of Table 3.
const IS: f64 = 1.413_568;
/// Power of all noise sources No (G.107 §7.2) with the defaults of Table 3, in dBm0p.
const NO: f64 = -61.179_214;
/// Receive loudness rating RLR (G.107 Table 3), in dB.
const RLR: f64 = 2.0;
/// Talker echo loudness rating TELR (G.107 Table 3), in dB.
const TELR: f64 = 65.0;
/// Weighted echo path loss WEPL (G.107 Table 3), in dB.
const WEPL: f64 = 110.0;

/// Codec with an impairment value in G.113. Its scale is that of narrow-band speech, for which no values of other
/// codecs are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum MosCodec {
    /// G.711 at 64 kbit/s, either law, with concealment of lost packets.
    G711,
    /// G.729 with annexes A and B, 8 kbit/s.
    G729,
    /// G.723.1 with annex A, 6.3 kbit/s.
    G723,
    /// GSM enhanced full rate, 12.2 kbit/s.
    GsmEfr,
}

impl MosCodec {
    /// Returns the codec with an SDP encoding name, in any case; `None` if it has no impairment value.
    pub fn named(name: &str) -> Option<MosCodec> {
        let known = [
            ("PCMU", MosCodec::G711),
            ("PCMA", MosCodec::G711),
            ("G729", MosCodec::G729),
            ("G723", MosCodec::G723),
            ("GSM-EFR", MosCodec::GsmEfr),
        ];
        known.into_iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|(_, codec)| codec)
    }

    /// Returns the impairment factor Ie and the packet-loss robustness Bpl (ITU-T G.113, Tables I.1 and I.3).
    fn impairment(self) -> (f64, f64) {
        match self {
            MosCodec::G711 => (0.0, 25.1),
            MosCodec::G729 => (11.0, 19.0),
            MosCodec::G723 => (15.0, 16.1),
            MosCodec::GsmEfr => (5.0, 10.0),
        }
    }
}

/// Returns the rating R, 0 to 93.2, for `loss` (0 to 1) and a mouth-to-ear delay in milliseconds.
pub(crate) fn rating(codec: MosCodec, loss: f64, delay_ms: f64) -> f64 {
    let (ie, bpl) = codec.impairment();
    let loss_percent = loss.clamp(0.0, 1.0) * 100.0;
    let equipment = ie + (95.0 - ie) * loss_percent / (loss_percent + bpl);
    (RO - IS - delay_impairment(delay_ms.max(0.0)) - equipment).max(0.0)
}

/// Returns the mean opinion score, 1 to 4.41, for `loss` (0 to 1) and a mouth-to-ear delay in milliseconds (ITU-T
/// G.107, Annex B).
pub fn mos(codec: MosCodec, loss: f64, delay_ms: f64) -> f64 {
    let r = rating(codec, loss, delay_ms);
    // Below R = 6.5 the polynomial dips under 1.
    (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).max(1.0)
}

/// Duration of a packet of speech, in milliseconds.
const PACKET_MS: f64 = 20.0;

/// Estimates the mouth-to-ear delay in milliseconds: a packet of 20 ms, a playout buffer of twice the measured jitter,
/// and half the round-trip time.
pub fn delay_ms(jitter_us: u64, rtt_us: u64) -> f64 {
    PACKET_MS + 2.0 * jitter_us as f64 / 1000.0 + rtt_us as f64 / 2000.0
}

/// Returns the delay impairment Id for the one-way delay Ta = T and the round trip Tr = 2 T (G.107 §7.4).
fn delay_impairment(ta: f64) -> f64 {
    let terv = TELR - 40.0 * ((1.0 + ta / 10.0) / (1.0 + ta / 150.0)).log10() + 6.0 * (-0.3 * ta * ta).exp();
    let (roe, re) = (-1.5 * (NO - RLR), 80.0 + 2.5 * (terv - 14.0));
    let half = (roe - re) / 2.0;
    let talker = if ta < 1.0 { 0.0 } else { (half + (half * half + 100.0).sqrt() - 1.0) * (1.0 - (-ta).exp()) };
    let half = (RO - 10.5 * (WEPL + 7.0) * (2.0 * ta + 1.0).powf(-0.25)) / 2.0;
    let listener = half + (half * half + 169.0).sqrt();
    let x = (ta / 100.0).max(1.0).log2();
    let sixth = |x: f64| (1.0 + x.powi(6)).powf(1.0 / 6.0);
    // The polynomial is 0 up to 100 ms, and so is its factor 1 − 3 + 2.
    talker + listener + 25.0 * (sixth(x) - 3.0 * sixth(x / 3.0) + 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computes Ro, Is and No by G.107 §7.2 and §7.3 with the defaults of Table 3.
    fn g107_constants() -> (f64, f64, f64) {
        let (slr, stmr, ds, dr, qdu, nc, nfor, ps, pr) = (8.0, 15.0, 3.0, 3.0, 1.0f64, -70.0, -64.0, 35.0, 35.0);
        let power = |db: f64| 10f64.powf(db / 10.0);
        let (lstr, olr): (f64, f64) = (stmr + dr, slr + RLR);
        let pre: f64 = pr + 10.0 * (1.0 + power(10.0 - lstr)).log10();
        let nos = ps - slr - ds - 100.0 + 0.004 * f64::powi(ps - olr - ds - 14.0, 2);
        let nor = RLR - 121.0 + pre + 0.008 * (pre - 35.0).powi(2);
        let no = 10.0 * [nc, nos, nor, nfor + RLR].map(power).iter().sum::<f64>().log10();
        let ro = 15.0 - 1.5 * (slr + no);
        let xolr = olr + 0.2 * (64.0 + no - RLR);
        let iolr = 20.0 * ((1.0 + (xolr / 8.0).powi(8)).powf(1.0 / 8.0) - xolr / 8.0);
        let stmro: f64 = -10.0 * (power(-stmr) + power(-TELR)).log10();
        let ist = 12.0 * (1.0 + ((stmro - 13.0) / 6.0).powi(8)).powf(1.0 / 8.0)
            - 28.0 * (1.0 + ((stmro + 1.0) / 19.4).powi(35)).powf(1.0 / 35.0)
            - 13.0 * (1.0 + ((stmro - 3.0) / 33.0).powi(13)).powf(1.0 / 13.0)
            + 29.0;
        let q = 37.0 - 15.0 * qdu.log10();
        let g = 1.07 + 0.258 * q + 0.0602 * q * q;
        let (y, z) = ((ro - 100.0) / 15.0 + 46.0 / 8.4 - g / 9.0, 46.0 / 30.0 - g / 40.0);
        let iq = 15.0 * (1.0 + 10f64.powf(y) + 10f64.powf(z)).log10();
        (ro, iolr + ist + iq, no)
    }

    #[test]
    fn g107_constants_follow_from_the_defaults() {
        let (ro, is, no) = g107_constants();
        for (constant, computed) in [(RO, ro), (IS, is), (NO, no)] {
            assert!((constant - computed).abs() < 1e-4, "{constant} is {computed}");
        }
        // Value of G.107 for a connection with default parameters.
        assert_eq!(format!("{:.1}", rating(MosCodec::G711, 0.0, 0.0)), "93.2");
    }

    #[test]
    fn g107_annex_b_of_rating() {
        // Table B.1; its 4.03 for 80 is 4.024 by the formula.
        let score = |r: f64| 1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6;
        for (r, listed) in [(90.0, 4.34), (80.0, 4.03), (70.0, 3.60), (60.0, 3.10), (50.0, 2.58)] {
            assert!((score(r) - listed).abs() < 0.007, "{r}: {}", score(r));
        }
    }

    #[test]
    fn delay_follows_the_published_curve() {
        // Cole and Rosenbluth (2001) approximate Id of G.107 up to 300 ms by straight lines: 0.024 d + 0.11 (d − 177.3)
        // past the knee. At the knee itself the lines are about 1 better than the curve.
        for delay in [0, 20, 50, 100, 150, 200, 250, 300] {
            let delay = f64::from(delay);
            let lines = 93.2 - 0.024 * delay - 0.11 * (delay - 177.3).max(0.0);
            assert!((rating(MosCodec::G711, 0.0, delay) - lines).abs() < 0.3, "{delay}: {lines}");
        }
        assert!((rating(MosCodec::G711, 0.0, 177.3) - 88.9).abs() < 1.0);
    }

    #[test]
    fn loss_follows_g107_7_5() {
        // 93.21 − 95 p / (p + 25.1) of G.711; 93.21 − 11 − 84 p / (p + 19) of G.729.
        for (codec, percent, r) in [
            (MosCodec::G711, 1.0, 89.57),
            (MosCodec::G711, 5.0, 77.43),
            (MosCodec::G711, 20.0, 51.08),
            (MosCodec::G711, 100.0, 17.27),
            (MosCodec::G729, 0.0, 82.21),
            (MosCodec::G729, 1.0, 78.01),
            (MosCodec::G723, 0.0, 78.21),
            (MosCodec::GsmEfr, 2.0, 73.21),
        ] {
            let rated = rating(codec, percent / 100.0, 0.0);
            assert!((rated - r).abs() < 0.01, "{codec:?} {percent} %: {rated}");
        }
    }

    #[test]
    fn more_harm_is_never_better() {
        let codecs = ["PCMU", "pcma", "G729", "G723", "GSM-EFR"].map(|name| MosCodec::named(name).unwrap());
        for codec in codecs {
            for step in 0..200 {
                let (loss, delay) = (f64::from(step) / 200.0, f64::from(step) * 5.0);
                assert!(mos(codec, loss + 0.005, delay) <= mos(codec, loss, delay));
                assert!(mos(codec, loss, delay + 5.0) <= mos(codec, loss, delay));
                assert!((1.0..=4.42).contains(&mos(codec, loss, delay)));
            }
        }
        assert_eq!(MosCodec::named("opus"), None);
    }

    #[test]
    fn what_is_out_of_range_is_drawn_in() {
        assert_eq!(mos(MosCodec::G711, -1.0, -5.0), mos(MosCodec::G711, 0.0, 0.0));
        assert_eq!(mos(MosCodec::G711, 7.0, 0.0), mos(MosCodec::G711, 1.0, 0.0));
        assert_eq!(mos(MosCodec::G711, 1.0, 1e9), 1.0);
    }
}
