//! Area codes of the United States and Canada (+1) with their states and provinces.
//!
//! The data come from the public list of the North American Numbering Plan Administrator (nationalnanpa.com, "NPA
//! Database") of 26 November 2025: all geographic codes of a state, the District of Columbia, or a Canadian province
//! or territory, in service or assigned. A new overlay is one more entry. Puerto Rico, Guam, American Samoa, the
//! Northern Marianas and the U.S. Virgin Islands are countries of ISO 3166, which the numbering plans identify.
//! Non-geographic codes (toll-free, premium rate, personal, data) have no entry.

/// Number of digits after `+1`.
const NATIONAL_DIGITS: usize = 10;
/// Placeholder for the state of a code shared by several provinces.
const SHARED: &str = "--";
/// State fields of Canadian codes.
const CANADIAN: [&str; 9] = ["AB", "BC", "MB", "NB", "NL", "ON", "QC", "SK", SHARED];

/// Area codes in ascending order, each followed by the two letters of its state or province.
///
/// 782 and 902 are shared by Nova Scotia and Prince Edward Island, 867 by the three territories.
static AREA_CODES: &[[u8; 5]] = &[
    *b"201NJ", *b"202DC", *b"203CT", *b"204MB", *b"205AL", *b"206WA", *b"207ME", *b"208ID", *b"209CA", *b"210TX",
    *b"212NY", *b"213CA", *b"214TX", *b"215PA", *b"216OH", *b"217IL", *b"218MN", *b"219IN", *b"220OH", *b"223PA",
    *b"224IL", *b"225LA", *b"226ON", *b"227MD", *b"228MS", *b"229GA", *b"231MI", *b"234OH", *b"235MO", *b"236BC",
    *b"239FL", *b"240MD", *b"248MI", *b"249ON", *b"250BC", *b"251AL", *b"252NC", *b"253WA", *b"254TX", *b"256AL",
    *b"257BC", *b"260IN", *b"262WI", *b"263QC", *b"267PA", *b"269MI", *b"270KY", *b"272PA", *b"273QC", *b"274WI",
    *b"276VA", *b"279CA", *b"281TX", *b"283OH", *b"289ON", *b"301MD", *b"302DE", *b"303CO", *b"304WV", *b"305FL",
    *b"306SK", *b"307WY", *b"308NE", *b"309IL", *b"310CA", *b"312IL", *b"313MI", *b"314MO", *b"315NY", *b"316KS",
    *b"317IN", *b"318LA", *b"319IA", *b"320MN", *b"321FL", *b"323CA", *b"324FL", *b"325TX", *b"326OH", *b"327AR",
    *b"329NY", *b"330OH", *b"331IL", *b"332NY", *b"334AL", *b"336NC", *b"337LA", *b"339MA", *b"341CA", *b"343ON",
    *b"346TX", *b"347NY", *b"350CA", *b"351MA", *b"352FL", *b"353WI", *b"354QC", *b"357CA", *b"360WA", *b"361TX",
    *b"363NY", *b"364KY", *b"365ON", *b"367QC", *b"368AB", *b"369CA", *b"380OH", *b"382ON", *b"385UT", *b"386FL",
    *b"401RI", *b"402NE", *b"403AB", *b"404GA", *b"405OK", *b"406MT", *b"407FL", *b"408CA", *b"409TX", *b"410MD",
    *b"412PA", *b"413MA", *b"414WI", *b"415CA", *b"416ON", *b"417MO", *b"418QC", *b"419OH", *b"423TN", *b"424CA",
    *b"425WA", *b"428NB", *b"430TX", *b"431MB", *b"432TX", *b"434VA", *b"435UT", *b"436OH", *b"437ON", *b"438QC",
    *b"440OH", *b"442CA", *b"443MD", *b"445PA", *b"447IL", *b"448FL", *b"450QC", *b"457LA", *b"458OR", *b"463IN",
    *b"464IL", *b"465NY", *b"468QC", *b"469TX", *b"470GA", *b"471MS", *b"472NC", *b"474SK", *b"475CT", *b"478GA",
    *b"479AR", *b"480AZ", *b"483AL", *b"484PA", *b"501AR", *b"502KY", *b"503OR", *b"504LA", *b"505NM", *b"506NB",
    *b"507MN", *b"508MA", *b"509WA", *b"510CA", *b"512TX", *b"513OH", *b"514QC", *b"515IA", *b"516NY", *b"517MI",
    *b"518NY", *b"519ON", *b"520AZ", *b"530CA", *b"531NE", *b"534WI", *b"539OK", *b"540VA", *b"541OR", *b"548ON",
    *b"551NJ", *b"557MO", *b"559CA", *b"561FL", *b"562CA", *b"563IA", *b"564WA", *b"565GA", *b"567OH", *b"570PA",
    *b"571VA", *b"572OK", *b"573MO", *b"574IN", *b"575NM", *b"579QC", *b"580OK", *b"581QC", *b"582PA", *b"584MB",
    *b"585NY", *b"586MI", *b"587AB", *b"601MS", *b"602AZ", *b"603NH", *b"604BC", *b"605SD", *b"606KY", *b"607NY",
    *b"608WI", *b"609NJ", *b"610PA", *b"612MN", *b"613ON", *b"614OH", *b"615TN", *b"616MI", *b"617MA", *b"618IL",
    *b"619CA", *b"620KS", *b"621TX", *b"623AZ", *b"624NY", *b"626CA", *b"628CA", *b"629TN", *b"630IL", *b"631NY",
    *b"636MO", *b"639SK", *b"640NJ", *b"641IA", *b"645FL", *b"646NY", *b"647ON", *b"650CA", *b"651MN", *b"656FL",
    *b"657CA", *b"659AL", *b"660MO", *b"661CA", *b"662MS", *b"667MD", *b"669CA", *b"672BC", *b"678GA", *b"679MI",
    *b"680NY", *b"681WV", *b"682TX", *b"683ON", *b"686VA", *b"689FL", *b"701ND", *b"702NV", *b"703VA", *b"704NC",
    *b"705ON", *b"706GA", *b"707CA", *b"708IL", *b"709NL", *b"712IA", *b"713TX", *b"714CA", *b"715WI", *b"716NY",
    *b"717PA", *b"718NY", *b"719CO", *b"720CO", *b"724PA", *b"725NV", *b"726TX", *b"727FL", *b"728FL", *b"729TN",
    *b"730IL", *b"731TN", *b"732NJ", *b"734MI", *b"737TX", *b"738CA", *b"740OH", *b"742ON", *b"743NC", *b"747CA",
    *b"748CO", *b"753ON", *b"754FL", *b"757VA", *b"760CA", *b"761KY", *b"762GA", *b"763MN", *b"765IN", *b"769MS",
    *b"770GA", *b"771DC", *b"772FL", *b"773IL", *b"774MA", *b"775NV", *b"778BC", *b"779IL", *b"780AB", *b"781MA",
    *b"782--", *b"785KS", *b"786FL", *b"801UT", *b"802VT", *b"803SC", *b"804VA", *b"805CA", *b"806TX", *b"807ON",
    *b"808HI", *b"810MI", *b"812IN", *b"813FL", *b"814PA", *b"815IL", *b"816MO", *b"817TX", *b"818CA", *b"819QC",
    *b"820CA", *b"821SC", *b"825AB", *b"826VA", *b"828NC", *b"830TX", *b"831CA", *b"832TX", *b"835PA", *b"837CA",
    *b"838NY", *b"839SC", *b"840CA", *b"843SC", *b"845NY", *b"847IL", *b"848NJ", *b"850FL", *b"854SC", *b"856NJ",
    *b"857MA", *b"858CA", *b"859KY", *b"860CT", *b"861IL", *b"862NJ", *b"863FL", *b"864SC", *b"865TN", *b"867--",
    *b"870AR", *b"872IL", *b"873QC", *b"878PA", *b"879NL", *b"901TN", *b"902--", *b"903TX", *b"904FL", *b"905ON",
    *b"906MI", *b"907AK", *b"908NJ", *b"909CA", *b"910NC", *b"912GA", *b"913KS", *b"914NY", *b"915TX", *b"916CA",
    *b"917NY", *b"918OK", *b"919NC", *b"920WI", *b"924MN", *b"925CA", *b"928AZ", *b"929NY", *b"930IN", *b"931TN",
    *b"934NY", *b"936TX", *b"937OH", *b"938AL", *b"940TX", *b"941FL", *b"942ON", *b"943GA", *b"945TX", *b"947MI",
    *b"948VA", *b"949CA", *b"951CA", *b"952MN", *b"954FL", *b"956TX", *b"959CT", *b"970CO", *b"971OR", *b"972TX",
    *b"973NJ", *b"975MO", *b"978MA", *b"979TX", *b"980NC", *b"983CO", *b"984NC", *b"985LA", *b"986ID", *b"989MI",
];

/// Country, and state or province, to which an area code belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AreaCodeRegion {
    /// `US` or `CA` (ISO 3166 alpha-2).
    pub(super) country: &'static str,
    /// State or province (two letters); `None` if several provinces share the code.
    pub(super) state: Option<&'static str>,
}

/// Returns the region of an E.164 number, or `None` if its area code is not in the table.
pub(super) fn place_of(e164: &str) -> Option<AreaCodeRegion> {
    let digits = e164.strip_prefix("+1")?.as_bytes();
    if digits.len() != NATIONAL_DIGITS || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let code = digits.first_chunk::<3>()?;
    let found = AREA_CODES.binary_search_by(|&[first, second, third, ..]| [first, second, third].cmp(code)).ok()?;
    let state = std::str::from_utf8(AREA_CODES.get(found)?.last_chunk::<2>()?).ok()?;
    let country = if CANADIAN.contains(&state) { "CA" } else { "US" };
    Some(AreaCodeRegion { country, state: Some(state).filter(|state| *state != SHARED) })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// All states and the District of Columbia.
    const STATES: &str = "AK AL AR AZ CA CO CT DC DE FL GA HI IA ID IL IN KS KY LA MA MD ME MI MN MO MS MT NC ND NE NH \
                          NJ NM NV NY OH OK OR PA RI SC SD TN TX UT VA VT WA WI WV WY";

    fn entries() -> impl Iterator<Item = (&'static str, &'static str)> {
        AREA_CODES.iter().map(|entry| std::str::from_utf8(entry).unwrap().split_at(3))
    }

    #[test]
    fn the_table_is_in_order_and_has_every_state_and_province() {
        assert!(entries().map(|(code, _)| code).is_sorted_by(|one, next| one < next), "in order, each code once");
        for (code, state) in entries() {
            let digits = code.as_bytes();
            assert!((b'2'..=b'9').contains(&digits[0]) && digits.iter().all(u8::is_ascii_digit), "{code}");
            assert!(digits[1] != b'9' && digits[1..] != *b"11", "{code}{state} cannot be assigned");
        }
        let found: BTreeSet<&str> = entries().map(|(_, state)| state).collect();
        let states: BTreeSet<&str> = STATES.split_whitespace().collect();
        assert_eq!(states.len(), 51);
        let expected: BTreeSet<&str> = states.into_iter().chain(CANADIAN).collect();
        assert_eq!(found, expected);
        let shared: Vec<&str> = entries().filter(|(_, state)| *state == SHARED).map(|(code, _)| code).collect();
        assert_eq!(shared, ["782", "867", "902"]);
    }

    #[test]
    fn codes_that_belong_to_no_place_have_no_entry() {
        let codes: BTreeSet<&str> = entries().map(|(code, _)| code).collect();
        let toll_free = ["800", "833", "844", "855", "866", "877", "888"];
        let of_services = ["500", "521", "533", "544", "566", "577", "588", "600", "622", "700", "710", "900"];
        let of_other_countries = ["340", "670", "671", "684", "787", "809", "876", "939"];
        for other in toll_free.iter().chain(&of_services).chain(&of_other_countries) {
            assert!(!codes.contains(*other), "{other}");
        }
    }

    #[test]
    fn places_are_found_by_the_area_code() {
        let place = |country, state| Some(AreaCodeRegion { country, state });
        for (number, expected) in [
            ("+12015550123", place("US", Some("NJ"))),
            ("+14155550100", place("US", Some("CA"))),
            ("+12025550143", place("US", Some("DC"))),
            ("+19075550123", place("US", Some("AK"))),
            ("+19895550123", place("US", Some("MI"))),
            ("+16215550123", place("US", Some("TX"))),
            ("+19425550123", place("CA", Some("ON"))),
            ("+12575550123", place("CA", Some("BC"))),
            ("+18795550123", place("CA", Some("NL"))),
            ("+19025550123", place("CA", None)),
            ("+18675550123", place("CA", None)),
            ("+18005550123", None),
            ("+18765550123", None),
            ("+17875550123", None),
            ("+19995550123", None),
            ("+1415555010", None),
            ("+141555501000", None),
            ("+1415555010x", None),
            ("14155550100", None),
            ("+442071838750", None),
            ("+1", None),
            ("", None),
        ] {
            assert_eq!(place_of(number), expected, "{number}");
        }
    }
}
