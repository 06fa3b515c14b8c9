//! Screening of called numbers per trunk: `deny`, `allow_prefixes`, and ranges known for toll fraud.

use std::fmt;

use crate::number::{Number, NumberingPlan, SendNumbers};
use crate::pattern::Pattern;
use crate::trunk::Trunk;

/// Expensive ranges without a country: satellite phones, international networks, personal numbers, premium rate.
/// ITU-T, List of Recommendation E.164 assigned country codes (annex to Operational Bulletin 1114, 15 December 2016).
pub const HIGH_RISK: &[(&str, &str)] = &[
    ("+870", "satellite phones (Inmarsat)"),
    ("+878", "personal numbers"),
    ("+881", "satellite phones"),
    ("+882", "international networks"),
    ("+883", "international networks"),
    ("+979", "international premium rate"),
];

/// Reason why a trunk does not accept calls to a called number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScreeningReason {
    /// The number matches this entry of `deny`.
    Deny(String),
    /// The number has none of the prefixes in `allow_prefixes`.
    Allow,
    /// The number is in a high-risk range with this description.
    HighRisk(&'static str),
}

/// Called number rejected by a trunk's screening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScreeningRejection {
    /// Rejected number: the called one, or one that the remote party may understand instead.
    pub number: String,
    /// Reason why the number was rejected.
    pub by: ScreeningReason,
}

impl ScreeningReason {
    /// Returns the trunk setting that rejects the call, with the matching pattern in the case of `deny`.
    pub fn setting(&self) -> String {
        match self {
            ScreeningReason::Deny(pattern) => format!("`deny = \"{pattern}\"`"),
            ScreeningReason::Allow => "`allow_prefixes`".to_owned(),
            ScreeningReason::HighRisk(_) => "`high_risk = \"refuse\"`".to_owned(),
        }
    }
}

impl fmt::Display for ScreeningReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScreeningReason::Deny(pattern) => write!(f, "deny {pattern}"),
            ScreeningReason::Allow => f.write_str("not in allow_prefixes"),
            ScreeningReason::HighRisk(what) => write!(f, "high_risk: {what}"),
        }
    }
}

impl Trunk {
    /// Returns the reason why the trunk rejects a called number in its own number format ([`Trunk::denied_as`]).
    pub fn screening_rejection(&self, numbers: &NumberingPlan, number: &Number) -> Option<ScreeningRejection> {
        self.denied_as(numbers, number, self.send_numbers)
    }

    /// Returns the reason why the trunk rejects a called number sent in this format, as it is or as the remote party
    /// may understand it. Emergency numbers are accepted unless `deny` lists that exact number; the call then fails
    /// over to the next target.
    pub fn denied_as(&self, numbers: &NumberingPlan, number: &Number, form: SendNumbers) -> Option<ScreeningRejection> {
        let is_open = self.deny.is_empty() && self.allow_prefixes.is_empty() && self.takes_high_risk;
        if is_open {
            return None;
        }
        if numbers.is_emergency(number) {
            let is_it = |pattern: &&Pattern| matches!(pattern, Pattern::Exact(text) if *text == number.text);
            let by = self.deny.iter().find(is_it).map(|pattern| ScreeningReason::Deny(pattern.to_string()))?;
            return Some(ScreeningRejection { number: number.text.clone(), by });
        }
        let denied = numbers.spoken_forms(number, form).into_iter().find_map(|number| {
            let by = self.denied_by(numbers, &number)?;
            Some(ScreeningRejection { number, by })
        });
        // A name may contain separators: `100-1`.
        let named = || self.deny.iter().find(|pattern| pattern.matches(&number.text));
        denied.or_else(|| {
            Some(ScreeningRejection { number: number.text.clone(), by: ScreeningReason::Deny(named()?.to_string()) })
        })
    }

    /// Returns whether the trunk may reach an emergency service with a number ([`NumberingPlan::may_reach_emergency`]).
    /// The user name under which phones register at the trunk is an extension, unless it equals an emergency number.
    pub fn may_reach_emergency(&self, numbers: &NumberingPlan, number: &Number) -> bool {
        let user = self.require_auth.as_ref().filter(|_| self.is_of_phones()).map(|auth| auth.username.as_str());
        let is_extension = user == Some(number.received.as_str()) && !numbers.is_written_as_emergency(number);
        !is_extension && numbers.may_reach_emergency(number)
    }

    fn denied_by(&self, numbers: &NumberingPlan, number: &str) -> Option<ScreeningReason> {
        if let Some(pattern) = self.deny.iter().find(|pattern| pattern.matches(number)) {
            return Some(ScreeningReason::Deny(pattern.to_string()));
        }
        let is_allowed = |prefix: &String| number.starts_with(prefix.as_str());
        if !self.allow_prefixes.is_empty() && !self.allow_prefixes.iter().any(is_allowed) {
            return Some(ScreeningReason::Allow);
        }
        if self.takes_high_risk {
            return None;
        }
        high_risk(numbers, number).map(ScreeningReason::HighRisk)
    }
}

/// Returns the description of the high-risk range of an E.164 number, if it is in one.
pub(crate) fn high_risk(numbers: &NumberingPlan, e164: &str) -> Option<&'static str> {
    let range = HIGH_RISK.iter().find(|(prefix, _)| e164.starts_with(prefix)).map(|(_, what)| *what);
    range.or_else(|| numbers.is_premium(e164).then_some("premium rate"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Credentials;

    fn by(trunk: &Trunk, number: &str) -> Option<String> {
        let numbers = NumberingPlan::new("US").unwrap();
        let denied = trunk.screening_rejection(&numbers, &numbers.normalise_caller(number, None));
        denied.map(|denied| format!("{} {}", denied.number, denied.by))
    }

    #[test]
    fn what_a_trunk_gets() {
        let plain = Trunk::named("t");
        let open = Trunk { takes_high_risk: true, ..plain.clone() };
        let few = Trunk { allow_prefixes: vec!["+1".into(), "+4420".into()], ..plain.clone() };
        let deny = vec![Pattern::parse("+1900*").unwrap(), Pattern::parse("+4420*").unwrap()];
        let both = Trunk { deny, ..few.clone() };
        let no_help = Trunk { deny: vec![Pattern::parse("911").unwrap()], ..plain.clone() };
        let nothing = Trunk { deny: vec![Pattern::parse("*").unwrap()], ..plain.clone() };
        let as_is = Trunk { send_numbers: SendNumbers::AsIs, ..plain.clone() };
        for (trunk, number, expected) in [
            (&plain, "+14155550100", None),
            (&plain, "+442079460018", None),
            (&plain, "100", None),
            (&plain, "+870773111632", Some("+870773111632 high_risk: satellite phones (Inmarsat)")),
            (&plain, "011 881 651234567", Some("+881651234567 high_risk: satellite phones")),
            (&plain, "+979123456789", Some("+979123456789 high_risk: international premium rate")),
            (&plain, "+19005550123", Some("+19005550123 high_risk: premium rate")),
            (&plain, "900 555 0123", Some("+19005550123 high_risk: premium rate")),
            (&plain, "+449098790000", Some("+449098790000 high_risk: premium rate")),
            (&plain, "+4990012345678", Some("+499001234567 high_risk: premium rate")),
            (&plain, "+49900123456", None),
            (&plain, "+491900123456", None),
            (&plain, "9005550123;x=1", Some("+19005550123 high_risk: premium rate")),
            (&as_is, "+8816512345671234567", Some("+8816512345671234567 high_risk: satellite phones")),
            (&plain, "*6719005550123", Some("+19005550123 high_risk: premium rate")),
            (&plain, "#31#19005550123", Some("+19005550123 high_risk: premium rate")),
            (&both, "*31#+442079460018", Some("*31#+442079460018 not in allow_prefixes")),
            (&plain, "1900555012A3", Some("+19005550123 high_risk: premium rate")),
            (&plain, "p1_900/555x0123", Some("+19005550123 high_risk: premium rate")),
            (&plain, "\t19005550123\0", Some("+19005550123 high_risk: premium rate")),
            (&plain, "9,19005550123", Some("+19005550123 high_risk: premium rate")),
            (&plain, "\u{ff11}\u{ff19}005550123", Some("+19005550123 high_risk: premium rate")),
            (&plain, "sales", None),
            (&plain, "*67", None),
            (&plain, "*6714155550100", None),
            (&open, "+881651234567", None),
            (&open, "+19005550123", None),
            (&few, "+14155550100", None),
            (&few, "+442079460018", None),
            (&few, "+447700900123", Some("+447700900123 not in allow_prefixes")),
            (&few, "100", Some("100 not in allow_prefixes")),
            (&few, "+19005550123", Some("+19005550123 high_risk: premium rate")),
            (&both, "+442079460018", Some("+442079460018 deny +4420*")),
            (&both, "+19005550123", Some("+19005550123 deny +1900*")),
            (&both, "911", None),
            (&nothing, "911", None),
            (&nothing, "411", Some("411 deny *")),
            (&no_help, "911", Some("911 deny 911")),
            (&no_help, "112", None),
            (&both, "+911", Some("+911 not in allow_prefixes")),
        ] {
            assert_eq!(by(trunk, number).as_deref(), expected, "{number}");
        }
    }

    #[test]
    fn what_stands_behind_prefixes_is_seen() {
        let plain = Trunk::named("t");
        let as_is = Trunk { send_numbers: SendNumbers::AsIs, ..plain.clone() };
        let satellite = Some("+881651234567 high_risk: satellite phones");
        for number in [
            "9011881651234567",
            "1010288011881651234567",
            "91010288011881651234567",
            "10288011881651234567",
            "000881651234567",
            "0000000000881651234567",
            "800881651234567",
            "9881651234567",
            "0011881651234567",
            "00011881651234567",
            "010881651234567",
            "01881651234567",
            "810881651234567",
            "9810881651234567",
            "00414881651234567",
            "01100881651234567",
            "+00881651234567",
            "+011881651234567",
            "\u{ff0b}881651234567",
            "55+881651234567",
            "a1b2c3d4e5f6g7h8i+881651234567",
        ] {
            assert_eq!(by(&plain, number).as_deref(), satellite, "{number}");
            assert_eq!(by(&as_is, number).as_deref(), satellite, "{number}");
        }
        for (number, expected) in [
            ("116719005550123", Some("+19005550123 high_risk: premium rate")),
            ("919005550123", Some("+19005550123 high_risk: premium rate")),
            ("9 1 (900) 555-0123", Some("+19005550123 high_risk: premium rate")),
            ("9919005550123", Some("+19005550123 high_risk: premium rate")),
            ("1-900-555-CALL", Some("+19005552255 high_risk: premium rate")),
            (
                "\u{661}\u{669}\u{660}\u{660}\u{665}\u{665}\u{665}\u{660}\u{661}\u{662}\u{663}",
                Some("+19005550123 high_risk: premium rate"),
            ),
            ("1\u{2011}900\u{a0}555\u{2013}0123", Some("+19005550123 high_risk: premium rate")),
            (
                "+1------------------------------------------------------------9005550123",
                Some("+19005550123 high_risk: premium rate"),
            ),
            ("sales", None),
            ("2001", None),
            ("20012345", None),
            ("5551234", None),
            ("95551234", None),
            ("914155550100", None),
            ("9914155550100", None),
            ("04155550100", None),
            ("1010288", None),
            ("10102881415555", None),
            ("101028814155550100", None),
            ("9011442079460018", None),
            ("550e8400-e29b-41d4-a716-446655440000", None),
            ("reception", None),
            ("1-800-FLOWERS", None),
        ] {
            assert_eq!(by(&plain, number).as_deref(), expected, "{number}");
        }
    }

    #[test]
    fn the_extension_of_a_phone_reaches_no_emergency_service() {
        let numbers = NumberingPlan::default();
        let reaches =
            |trunk: &Trunk, user: &str| trunk.may_reach_emergency(&numbers, &numbers.normalise_caller(user, None));
        let registered = |user: &str| {
            let auth = Credentials { username: user.to_owned(), password: "secret".to_owned(), realm: None };
            Trunk { accept_register: true, require_auth: Some(auth), ..Trunk::named("desk") }
        };
        let carrier = Trunk::named("carrier");
        assert!(reaches(&carrier, "911") && reaches(&carrier, "9911") && !reaches(&carrier, "+14155550911"));
        let desk = registered("9911");
        assert!(!reaches(&desk, "9911") && reaches(&desk, "1911") && reaches(&desk, "911"));
        assert!(reaches(&registered("911"), "911"), "an emergency number is not an extension");
    }

    #[test]
    fn separators_hide_nothing_and_a_name_may_have_them() {
        let plain = Trunk::named("t");
        let few = Trunk { allow_prefixes: vec!["+1".into(), "+4420".into()], ..plain.clone() };
        let named = Trunk { deny: vec![Pattern::parse("100-1").unwrap()], ..plain };
        for (trunk, number, expected) in [
            (&named, "100-1", Some("100-1 deny 100-1")),
            (&named, "1001", None),
            (&few, "+1---4155550100", None),
            (&few, "+4420------------------------------------------------------------79460018", None),
            (
                &few,
                "+447------------------------------------------------------------700900123",
                Some("+447700900123 not in allow_prefixes"),
            ),
            (&few, "9011442079460018", Some("9011442079460018 not in allow_prefixes")),
        ] {
            assert_eq!(by(trunk, number).as_deref(), expected, "{number}");
        }
    }
}
