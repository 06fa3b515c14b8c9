//! Conversational quality from loss and delay: the E-model (ITU-T G.107), simplified.
//!
//! All of its terms are at their defaults but delay and equipment: R = 93.2 − Id − Ie,eff. Id is Cole and Rosenbluth's fit
//! of G.107 §7.4 without echo; Ie,eff is G.107 §7.5 for random loss, with the values of G.113 Appendix I for G.711 and a
//! receiver that conceals loss.

/// R of a call without any harm (ITU-T G.107, defaults).
const R_DEFAULT: f64 = 93.2;
/// Ie of G.711 (ITU-T G.113, Table I.1).
const IE_G711: f64 = 0.0;
/// Bpl of G.711 with concealment, random loss (ITU-T G.113, Table I.3).
const BPL_G711: f64 = 25.1;
/// From here on delay harms more, in milliseconds.
const KNEE_MS: f64 = 177.3;

/// R, 0 to 93.2, of G.711 with `loss` (0 to 1) and a delay from mouth to ear in milliseconds.
pub fn rating(loss: f64, delay_ms: f64) -> f64 {
    let (loss_percent, delay_ms) = (loss.clamp(0.0, 1.0) * 100.0, delay_ms.max(0.0));
    let delay = 0.024 * delay_ms + 0.11 * (delay_ms - KNEE_MS).max(0.0);
    let equipment = IE_G711 + (95.0 - IE_G711) * loss_percent / (loss_percent + BPL_G711);
    (R_DEFAULT - delay - equipment).clamp(0.0, R_DEFAULT)
}

/// The mean opinion score, 1 to 4.41, of G.711 with `loss` (0 to 1) and a delay from mouth to ear in milliseconds (ITU-T
/// G.107, Annex B).
pub fn mos(loss: f64, delay_ms: f64) -> f64 {
    let r = rating(loss, delay_ms);
    // Below R = 6.5 the polynomial dips under 1.
    (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_points() {
        // (loss, delay, R, MOS); MOS of R as in G.107 Table B.1: 90 → 4.34, 80 → 4.03, 70 → 3.60, 60 → 3.10, 50 → 2.58.
        for (loss, delay_ms, r, score) in [
            (0.0, 0.0, 93.2, 4.41),
            (0.0, 133.4, 90.0, 4.34),
            (0.0, 244.07, 80.0, 4.03),
            (0.0, 318.7, 70.0, 3.60),
            (0.01, 0.0, 89.56, 4.33),
            (0.05, 0.0, 77.42, 3.93),
            (1.0, 0.0, 17.26, 1.18),
            (1.0, 1e9, 0.0, 1.0),
        ] {
            assert!((rating(loss, delay_ms) - r).abs() < 0.02, "{loss} {delay_ms}: R {}", rating(loss, delay_ms));
            assert!((mos(loss, delay_ms) - score).abs() < 0.011, "{loss} {delay_ms}: MOS {}", mos(loss, delay_ms));
        }
    }

    #[test]
    fn more_harm_is_never_better() {
        for step in 0..100 {
            let (loss, delay) = (f64::from(step) / 100.0, f64::from(step) * 10.0);
            assert!(mos(loss + 0.01, delay) <= mos(loss, delay) && mos(loss, delay + 10.0) <= mos(loss, delay));
        }
    }

    #[test]
    fn what_is_out_of_range_is_drawn_in() {
        assert_eq!(mos(-1.0, -5.0), mos(0.0, 0.0));
        assert_eq!(mos(7.0, 0.0), mos(1.0, 0.0));
    }
}
