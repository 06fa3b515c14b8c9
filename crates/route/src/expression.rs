//! Regular expressions for patterns. They match numbers, names and values of a few dozen characters, and a file may
//! contain tens of thousands of them. They are therefore compiled small and fast, without tables for long texts, and
//! `\d` matches 0 to 9 instead of the 700 digits of all scripts.

use std::fmt;
use std::sync::Arc;

use regex_automata::PatternID;
use regex_automata::meta::{BuildError, Config, Regex};
use regex_syntax::ast::{
    Ast, ClassAscii, ClassAsciiKind, ClassBracketed, ClassPerl, ClassPerlKind, ClassSet, ClassSetItem, parse,
};
use regex_syntax::hir::literal::Extractor;
use regex_syntax::hir::translate::Translator;
use regex_syntax::hir::{Hir, Look};

/// Maximum size of a compiled expression, in bytes.
const SIZE_LIMIT: usize = 10 << 20;

/// Compiled regular expression; clones share the compiled form.
#[derive(Clone)]
pub struct Expression(Arc<CompiledExpression>);

struct CompiledExpression {
    text: Box<str>,
    regex: Regex,
    beginnings: Option<Box<[String]>>,
}

impl Expression {
    /// Compiles an expression, which matches anywhere in a text unless it is anchored.
    ///
    /// # Errors
    /// Returns a one-line reason if the syntax is invalid or the compiled expression is larger than 10 MiB.
    pub(crate) fn new(text: &str) -> Result<Expression, String> {
        let mut ast = parse::Parser::new().parse(text).map_err(|error| last_line(&error.to_string()))?;
        ascii_digits(&mut ast);
        let hir = Translator::new().translate(text, &ast).map_err(|error| last_line(&error.to_string()))?;
        // The lazy DFA and the one-pass DFA pay off only on long texts.
        let config = Config::new().hybrid(false).dfa(false).onepass(false).nfa_size_limit(Some(SIZE_LIMIT));
        let regex = Regex::builder().configure(config).build_from_hir(&hir).map_err(|error| build_error(&error))?;
        let beginnings = beginnings(&hir).map(Vec::into_boxed_slice);
        Ok(Expression(Arc::new(CompiledExpression { text: text.into(), regex, beginnings })))
    }

    /// Returns the expression as written in the configuration, without slashes.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Returns whether the expression matches anywhere in a text.
    pub(crate) fn is_match(&self, text: &str) -> bool {
        self.0.regex.is_match(text)
    }

    /// Iterates over the names of the expression's groups.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.regex.group_info().pattern_names(PatternID::ZERO).flatten()
    }

    /// Returns the text of a named group in the first match; `None` if there is no match or no such group.
    pub(crate) fn piece<'a>(&self, text: &'a str, name: &str) -> Option<&'a str> {
        let mut captures = self.0.regex.create_captures();
        self.0.regex.captures(text, &mut captures);
        text.get(captures.get_group_by_name(name)?.range())
    }

    /// Returns the literals with which every matching text begins, or `None` if they are not fixed.
    pub(crate) fn beginnings(&self) -> Option<&[String]> {
        self.0.beginnings.as_deref()
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.0.text).finish()
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

/// Returns the last line of a parser's error, which contains the reason; the lines before it show the position in the
/// expression.
fn last_line(text: &str) -> String {
    let reason = text.lines().last().unwrap_or_default().trim();
    reason.strip_prefix("error: ").unwrap_or(reason).to_owned()
}

fn build_error(error: &BuildError) -> String {
    match error.size_limit() {
        Some(limit) => format!("it needs more than {} MiB: use fewer or smaller repetitions", limit >> 20),
        None => error.to_string(),
    }
}

fn beginnings(hir: &Hir) -> Option<Vec<String>> {
    if !hir.properties().look_set_prefix().contains(Look::Start) {
        return None;
    }
    let mut extractor = Extractor::new();
    // `[12]` yields two prefixes; the ten prefixes of each `\d` would not speed up the lookup.
    extractor.limit_class(4);
    let found = extractor.extract(hir);
    let texts = found.literals()?.iter().map(|literal| String::from_utf8(literal.as_bytes().to_vec()).ok());
    texts.collect::<Option<Vec<String>>>().filter(|all| !all.is_empty() && all.iter().all(|text| !text.is_empty()))
}

/// Restricts `\d` and `\D` to ASCII. The parser bounds the depth of recursion.
fn ascii_digits(ast: &mut Ast) {
    match ast {
        Ast::ClassPerl(class) => {
            if let Some(digit) = ascii_digit(class) {
                let kind = ClassSet::Item(ClassSetItem::Ascii(digit));
                *ast = Ast::class_bracketed(ClassBracketed { span: class.span, negated: false, kind });
            }
        }
        Ast::ClassBracketed(class) => in_set(&mut class.kind),
        Ast::Repetition(repetition) => ascii_digits(&mut repetition.ast),
        Ast::Group(group) => ascii_digits(&mut group.ast),
        Ast::Alternation(alternation) => alternation.asts.iter_mut().for_each(ascii_digits),
        Ast::Concat(concat) => concat.asts.iter_mut().for_each(ascii_digits),
        Ast::Empty(_) | Ast::Flags(_) | Ast::Literal(_) | Ast::Dot(_) | Ast::Assertion(_) | Ast::ClassUnicode(_) => {}
    }
}

fn in_set(set: &mut ClassSet) {
    match set {
        ClassSet::Item(item) => in_item(item),
        ClassSet::BinaryOp(operation) => {
            in_set(&mut operation.lhs);
            in_set(&mut operation.rhs);
        }
    }
}

fn in_item(item: &mut ClassSetItem) {
    match item {
        ClassSetItem::Perl(class) => {
            if let Some(digit) = ascii_digit(class) {
                *item = ClassSetItem::Ascii(digit);
            }
        }
        ClassSetItem::Bracketed(class) => in_set(&mut class.kind),
        ClassSetItem::Union(union) => union.items.iter_mut().for_each(in_item),
        ClassSetItem::Empty(_)
        | ClassSetItem::Literal(_)
        | ClassSetItem::Range(_)
        | ClassSetItem::Ascii(_)
        | ClassSetItem::Unicode(_) => {}
    }
}

fn ascii_digit(class: &ClassPerl) -> Option<ClassAscii> {
    let is_digit = class.kind == ClassPerlKind::Digit;
    is_digit.then_some(ClassAscii { span: class.span, kind: ClassAsciiKind::Digit, negated: class.negated })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_that_can_be_dialled() {
        for (text, matches, not) in [
            (r"^\d+$", "0123456789", "٣"),
            (r"^[\d*#]+$", "*98#", "٣"),
            (r"^(?:a|(?<x>\d){2})$", "42", "٣٣"),
            (r"^\D$", "٣", "3"),
            (r"^[^\d]$", "٣", "3"),
            (r"^[\d--[5]]$", "4", "5"),
            (r"^\w$", "ü", " "),
        ] {
            let expression = Expression::new(text).unwrap();
            assert!(expression.is_match(matches) && !expression.is_match(not), "{text}");
            assert_eq!(expression.to_string(), text);
        }
    }

    #[test]
    fn what_is_wrong_is_one_line() {
        for (text, part) in [
            ("(", "unclosed group"),
            ("a{2,1}", "invalid repetition count range"),
            (r"\p{Nonsense}", "Unicode property not found"),
            (r"(?:\w{1000}){100}", "more than 10 MiB"),
            ("(?=x)", "look-around"),
            (&format!("{}{}", "(".repeat(300), ")".repeat(300)), "nest"),
        ] {
            let error = Expression::new(text).unwrap_err();
            assert!(error.contains(part) && !error.contains('\n'), "{text}: {error}");
        }
    }

    #[test]
    fn a_piece_is_that_of_the_first_match() {
        let expression = Expression::new(r"(?<area>\d{3})-(?<rest>\d+)|(?<name>x)").unwrap();
        assert_eq!(expression.names().collect::<Vec<_>>(), ["area", "rest", "name"]);
        assert_eq!(expression.piece("415-555 212-777", "area"), Some("415"));
        assert_eq!(expression.piece("415-555", "name"), None);
        assert_eq!(expression.piece("415-555", "none"), None);
        assert_eq!(expression.piece("", "area"), None);
    }
}
