//! `cargo xtask numbers`: compiles libphonenumber's metadata into the tables of `crates/route/src/number/plans`, whose
//! modules describe their bytes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use regex_automata::dfa::dense::DFA;
use regex_automata::dfa::{Automaton as _, dense};
use regex_automata::util::primitives::StateID;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};
use regex_syntax::hir::{Class, Hir, HirKind, Look};
use rlibphonenumber::PHONE_NUMBER_UTIL;
use rlibphonenumber::interfaces::AsOriginal as _;

/// Folder of the tables.
const FOLDER: &str = "../crates/route/src/number/plans";
/// Maximum digits of a national number.
const LONGEST: usize = 17;
/// Largest country calling code.
const LARGEST_CODE: u16 = 999;
/// Bytes of a country in its table.
const COUNTRY_BYTES: usize = 30;

// Marks of a number.
const GENERAL: u16 = 1;
const VALID: u16 = 2;
const PREMIUM: u16 = 4;
const LEADING: u16 = 8;

// Operations of a prefix program.
const DIGIT: u8 = 1;
const SPLIT: u8 = 2;
const JUMP: u8 = 3;
const SAVE: u8 = 4;
const MATCH: u8 = 5;
const END: u8 = 6;

/// Writes the tables.
pub(crate) fn run() -> anyhow::Result<bool> {
    for (name, bytes) in &compile()? {
        std::fs::write(folder().join(name), bytes).with_context(|| format!("{name} cannot be written"))?;
        println!("{name}: {} bytes", bytes.len());
    }
    Ok(true)
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(FOLDER)
}

/// Reads one type of number of a plan, whose Rust type the library does not name.
macro_rules! kind {
    ($desc:expr) => {
        NumberKind::new($desc.national_number_pattern().pattern_base.as_deref(), &$desc.original)?
    };
}

/// Returns each table with its file name.
fn compile() -> anyhow::Result<[(&'static str, Vec<u8>); 4]> {
    let library = PHONE_NUMBER_UTIL.as_original();
    let mut tables = Tables::new();
    for code in 1..=LARGEST_CODE {
        let Some(regions) = library.get_regions_for_country_calling_code(i32::from(code)) else { continue };
        let first = u16::try_from(tables.countries.len() / COUNTRY_BYTES)?;
        let count = u16::try_from(regions.len())?;
        push_halves(&mut tables.codes, [code, first, count]);
        for region in regions {
            let plan = library.get_metadata_for_region_or_calling_code(i32::from(code), region);
            let plan = plan.with_context(|| format!("+{code} has no metadata"))?;
            let (general, fixed) = (kind!(plan.general_desc), kind!(plan.fixed_line));
            let premium = kind!(plan.premium_rate);
            let mut others = vec![
                kind!(plan.toll_free),
                kind!(plan.shared_cost),
                kind!(plan.voip),
                kind!(plan.personal_number),
                kind!(plan.pager),
                kind!(plan.uan),
                kind!(plan.voicemail),
                kind!(plan.fixed_line),
            ];
            // If both have one pattern, there are no other mobile numbers.
            if !plan.original.same_mobile_and_fixed_line_pattern() {
                others.push(kind!(plan.mobile));
            }
            let leading = inner(plan.leading_digits().pattern_base.as_deref())?;
            let leading = leading.map(|leading| format!("(?:{leading})[0-9]*"));
            let mut country = Country::default();
            country.add(general.pattern.as_deref(), general.lengths(), GENERAL)?;
            country.add(premium.pattern.as_deref(), premium.lengths(), VALID | PREMIUM)?;
            for other in &others {
                country.add(other.pattern.as_deref(), other.lengths(), VALID)?;
            }
            country.add(leading.as_deref(), None, LEADING)?;
            let start = tables.add_states(&mut country)?;
            let international = inner(plan.international_prefix().pattern_base.as_deref())?;
            let national = inner(plan.national_prefix_for_parsing().pattern_base.as_deref())?;
            let rule = plan.original.national_prefix_transform_rule();
            let programs = [tables.add_program(international)?, tables.add_program(national)?];
            let rule_at = tables.add_bytes(rule.as_bytes())?;
            let fixed_possible = if fixed.has_lengths { fixed.possible } else { general.possible };
            let id = if plan.original.id == "001" { "00" } else { plan.original.id.as_str() };
            ensure!(id.len() == 2, "{id} is no country");
            tables.countries.extend(id.as_bytes());
            push_halves(&mut tables.countries, [code, start]);
            for lengths in [general.possible, general.local, fixed_possible, fixed.local] {
                tables.countries.extend(lengths.to_le_bytes());
            }
            push_halves(&mut tables.countries, programs);
            push_halves(&mut tables.countries, [rule_at, u16::try_from(rule.len())?]);
        }
    }
    Ok([
        ("states.bin", tables.states),
        ("countries.bin", tables.countries),
        ("codes.bin", tables.codes),
        ("programs.bin", tables.programs),
    ])
}

fn push_halves<const N: usize>(bytes: &mut Vec<u8>, halves: [u16; N]) {
    bytes.extend(halves.iter().flat_map(|half| half.to_le_bytes()));
}

/// Returns the expression within the anchors and the group that the library adds.
fn inner(pattern: Option<&str>) -> anyhow::Result<Option<&str>> {
    let Some(pattern) = pattern else { return Ok(None) };
    let inner = pattern.strip_prefix("^(?:").and_then(|rest| rest.strip_suffix(")$"));
    Ok(Some(inner.with_context(|| format!("{pattern} has other anchors"))?))
}

/// Type of number in a plan.
struct NumberKind {
    pattern: Option<String>,
    /// Possible lengths, as a bit for each.
    possible: u32,
    /// Lengths possible only within an area, as a bit for each.
    local: u32,
    /// Whether the type has lengths of its own.
    has_lengths: bool,
}

impl NumberKind {
    fn new(pattern: Option<&str>, desc: &rlibphonenumber::PhoneNumberDesc) -> anyhow::Result<NumberKind> {
        let mask = |lengths: &[i32]| {
            // -1 means that no number of the type exists.
            let add = |mask: u32, length: &i32| u32::try_from(*length).map_or(0, |length| mask | 1 << length);
            lengths.iter().fold(0, add)
        };
        Ok(NumberKind {
            pattern: inner(pattern)?.map(str::to_owned),
            possible: mask(&desc.possible_length),
            local: mask(&desc.possible_length_local_only),
            has_lengths: !desc.possible_length.is_empty(),
        })
    }

    /// Returns the possible lengths if the type has its own, as a bit for each.
    fn lengths(&self) -> Option<u32> {
        self.has_lengths.then_some(self.possible)
    }
}

/// Automaton of one type of number.
struct KindAutomaton {
    automaton: DFA<Vec<u32>>,
    /// Possible lengths, as a bit for each; `None` if each is.
    lengths: Option<u32>,
    /// Marks of a number of this type.
    marks: u16,
}

impl KindAutomaton {
    fn start(&self) -> anyhow::Result<StateID> {
        Ok(self.automaton.start_state_forward(&Input::new("").anchored(Anchored::Yes))?)
    }

    fn matches(&self, state: StateID) -> bool {
        self.automaton.is_match_state(self.automaton.next_eoi_state(state))
    }

    fn has_length(&self, length: usize) -> bool {
        self.lengths.is_none_or(|lengths| lengths >> length & 1 == 1)
    }
}

/// Automata of a country, which are run together; the general form of its numbers comes first.
#[derive(Default)]
struct Country {
    kinds: Vec<KindAutomaton>,
    /// Known states of the tables by the states of the automata and the number of digits before.
    built: HashMap<(Vec<StateID>, usize), u16>,
}

impl Country {
    fn add(&mut self, pattern: Option<&str>, lengths: Option<u32>, marks: u16) -> anyhow::Result<()> {
        let Some(pattern) = pattern else { return Ok(()) };
        let syntax = syntax::Config::new().unicode(false).utf8(false);
        let automaton = dense::Builder::new().syntax(syntax).build(&format!("^(?:{pattern})$"))?;
        self.kinds.push(KindAutomaton { automaton, lengths, marks });
        Ok(())
    }

    /// Returns the marks of a number that ends in these states.
    fn marks(&self, states: &[StateID], length: usize) -> u16 {
        let mut marks = 0;
        for (kind, state) in self.kinds.iter().zip(states) {
            // The general form without its lengths is a mark of its own.
            if kind.matches(*state) && (kind.marks == GENERAL || kind.has_length(length)) {
                marks |= kind.marks;
            }
        }
        let general = self.kinds.first().filter(|kind| kind.marks == GENERAL && kind.has_length(length));
        if marks & GENERAL == 0 || general.is_none() {
            marks &= GENERAL | LEADING;
        }
        marks
    }
}

/// Tables under construction.
struct Tables {
    states: Vec<u8>,
    countries: Vec<u8>,
    codes: Vec<u8>,
    programs: Vec<u8>,
    /// Known states by transitions and marks: equal ones of all countries are one.
    known: HashMap<([u16; 10], u16), u16>,
    /// Known texts and programs by their bytes.
    known_bytes: HashMap<Vec<u8>, u16>,
}

impl Tables {
    fn new() -> Tables {
        let (countries, codes) = (Vec::new(), Vec::new());
        // State 0 rejects, and offset 0 means that there is no program.
        let (states, programs) = (vec![0; 22], vec![0]);
        let known = HashMap::from([(([0; 10], 0), 0)]);
        Tables { states, countries, codes, programs, known, known_bytes: HashMap::new() }
    }

    /// Adds the states of a country; returns the first.
    fn add_states(&mut self, country: &mut Country) -> anyhow::Result<u16> {
        let start: anyhow::Result<Vec<StateID>> = country.kinds.iter().map(KindAutomaton::start).collect();
        self.add_state(country, start?, 0)
    }

    fn add_state(&mut self, country: &mut Country, states: Vec<StateID>, length: usize) -> anyhow::Result<u16> {
        if length > LONGEST {
            let marks = country.marks(&states, length);
            ensure!(marks & GENERAL == 0, "a number of {length} digits has the general form of its plan");
            return Ok(0);
        }
        let key = (states, length);
        if let Some(known) = country.built.get(&key) {
            return Ok(*known);
        }
        let mut next = [0; 10];
        for (digit, next) in (b'0'..=b'9').zip(&mut next) {
            let step = |(kind, state): (&KindAutomaton, &StateID)| kind.automaton.next_state(*state, digit);
            let states = country.kinds.iter().zip(&key.0).map(step).collect();
            *next = self.add_state(country, states, length + 1)?;
        }
        let marks = country.marks(&key.0, length);
        let new = u16::try_from(self.known.len());
        let id = match self.known.get(&(next, marks)) {
            Some(known) => *known,
            None => {
                let new = new.context("the plans have more than 65,535 states")?;
                self.known.insert((next, marks), new);
                push_halves(&mut self.states, next);
                push_halves(&mut self.states, [marks]);
                new
            }
        };
        country.built.insert(key, id);
        Ok(id)
    }

    /// Adds the program of a prefix; returns its offset, or 0 without one.
    fn add_program(&mut self, pattern: Option<&str>) -> anyhow::Result<u16> {
        let Some(pattern) = pattern.filter(|pattern| !pattern.is_empty()) else { return Ok(0) };
        let mut parser = regex_syntax::ParserBuilder::new().unicode(false).utf8(false).build();
        let mut program = Vec::new();
        write_program(&mut program, &parser.parse(pattern)?)?;
        program.push(MATCH);
        self.add_bytes(&program)
    }

    fn add_bytes(&mut self, bytes: &[u8]) -> anyhow::Result<u16> {
        if let Some(known) = self.known_bytes.get(bytes) {
            return Ok(*known);
        }
        let at = u16::try_from(self.programs.len()).context("the programs have more than 65,535 bytes")?;
        self.programs.extend(bytes);
        self.known_bytes.insert(bytes.to_vec(), at);
        Ok(at)
    }
}

/// Appends the operations of an expression.
fn write_program(program: &mut Vec<u8>, hir: &Hir) -> anyhow::Result<()> {
    match hir.kind() {
        HirKind::Empty => {}
        HirKind::Literal(literal) => {
            for byte in &literal.0 {
                ensure!(byte.is_ascii_digit(), "a prefix has the character {byte}");
                push_digits(program, 1 << (byte - b'0'));
            }
        }
        HirKind::Class(class) => push_digits(program, digits_of(class)?),
        HirKind::Capture(capture) => {
            let slot = u8::try_from(capture.index)? * 2 - 2;
            ensure!(slot <= 2, "a prefix has more than two groups");
            program.extend([SAVE, slot]);
            write_program(program, &capture.sub)?;
            program.extend([SAVE, slot + 1]);
        }
        HirKind::Concat(parts) => parts.iter().try_for_each(|part| write_program(program, part))?,
        HirKind::Alternation(parts) => {
            let mut jumps = Vec::new();
            for (at, part) in parts.iter().enumerate() {
                let split = (at + 1 < parts.len()).then(|| push_branch(program, SPLIT));
                write_program(program, part)?;
                if let Some(split) = split {
                    jumps.push(push_branch(program, JUMP));
                    set_branch(program, split)?;
                }
            }
            jumps.into_iter().try_for_each(|jump| set_branch(program, jump))?;
        }
        HirKind::Repetition(repetition) => {
            ensure!(repetition.greedy, "a prefix has a reluctant repetition");
            for _ in 0..repetition.min {
                write_program(program, &repetition.sub)?;
            }
            let most = repetition.max.context("a prefix has an unlimited repetition")?;
            let mut splits = Vec::new();
            for _ in repetition.min..most {
                splits.push(push_branch(program, SPLIT));
                write_program(program, &repetition.sub)?;
            }
            splits.into_iter().try_for_each(|split| set_branch(program, split))?;
        }
        HirKind::Look(Look::End) => program.push(END),
        HirKind::Look(look) => bail!("a prefix has the assertion {look:?}"),
    }
    Ok(())
}

fn push_digits(program: &mut Vec<u8>, set: u16) {
    program.push(DIGIT);
    program.extend(set.to_le_bytes());
}

/// Appends an operation that branches to an offset not known yet; returns the place of that offset.
fn push_branch(program: &mut Vec<u8>, operation: u8) -> usize {
    program.extend([operation, 0, 0]);
    program.len() - 2
}

/// Lets a branch lead to the end of the program.
fn set_branch(program: &mut [u8], at: usize) -> anyhow::Result<()> {
    let to = u16::try_from(program.len())?.to_le_bytes();
    program.get_mut(at..at + 2).context("a branch outside of its program")?.copy_from_slice(&to);
    Ok(())
}

/// Returns the digits of a class, as bits.
fn digits_of(class: &Class) -> anyhow::Result<u16> {
    let Class::Bytes(class) = class else { bail!("a prefix has a class of characters") };
    let has = |digit: u8| class.iter().any(|range| (range.start()..=range.end()).contains(&digit));
    Ok((b'0'..=b'9').filter(|digit| has(*digit)).fold(0, |set, digit| set | 1 << (digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_those_of_the_library() {
        for (name, bytes) in compile().unwrap() {
            let written = std::fs::read(folder().join(name)).unwrap();
            assert!(written == bytes, "{name} is not that of the library: cargo xtask numbers");
        }
    }
}
