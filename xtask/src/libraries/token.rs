//! Tokens of Python and JavaScript: words, strings and single characters, as far as Twilio's generated classes need
//! them.

use anyhow::{Context as _, bail, ensure};

/// Language of a source file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    Python,
    JavaScript,
}

/// Token of a source file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'s> {
    /// Name, keyword or number.
    Word(&'s str),
    /// Contents of a string, with the escapes unchanged.
    Text(&'s str),
    /// Any other character.
    Sign(char),
}

impl Token<'_> {
    const fn opens(self) -> bool {
        matches!(self, Token::Sign('(' | '[' | '{'))
    }

    const fn closes(self) -> bool {
        matches!(self, Token::Sign(')' | ']' | '}'))
    }
}

/// Positions of the open brackets around a token, outermost first.
#[derive(Debug, Default)]
pub(super) struct Brackets(Vec<usize>);

impl Brackets {
    /// Updates the open brackets for a token at this position.
    pub(super) fn pass(&mut self, at: usize, token: Token<'_>) {
        if token.opens() {
            self.0.push(at);
        } else if token.closes() {
            self.0.pop();
        }
    }

    /// Returns the tokens inside the innermost open brackets.
    pub(super) fn content<'t, 's>(&self, tokens: &'t [Token<'s>]) -> anyhow::Result<&'t [Token<'s>]> {
        let from = self.0.last().context("a request outside of brackets")?;
        bracketed(tokens.get(*from..).unwrap_or_default()).map(|(content, _)| content)
    }
}

impl Language {
    /// Returns the text after a comment; `None` if no comment begins here.
    fn behind_comment(self, text: &str) -> anyhow::Result<Option<&str>> {
        let sign = match self {
            Language::Python => "#",
            Language::JavaScript => "//",
        };
        if text.starts_with(sign) {
            return Ok(Some(text.split_once('\n').map_or("", |(_, behind)| behind)));
        }
        match text.strip_prefix("/*").filter(|_| self == Language::JavaScript) {
            Some(comment) => {
                let (_, behind) = comment.split_once("*/").context("a comment without an end")?;
                Ok(Some(behind))
            }
            None => Ok(None),
        }
    }

    /// Returns the quotation mark of a string; `None` if no string begins here.
    fn quotation_mark(self, text: &str) -> Option<&'static str> {
        let marks: &[&str] = match self {
            Language::Python => &["\"\"\"", "'''", "\"", "'"],
            Language::JavaScript => &["`", "\"", "'"],
        };
        marks.iter().find(|mark| text.starts_with(**mark)).copied()
    }
}

/// Returns the tokens of a source file.
///
/// # Errors
/// Returns an error if a string or comment has no end.
pub(super) fn tokenize(source: &str, language: Language) -> anyhow::Result<Vec<Token<'_>>> {
    let mut tokens = Vec::new();
    let mut rest = source.trim_start();
    while let Some(first) = rest.chars().next() {
        let behind = if let Some(behind) = language.behind_comment(rest)? {
            behind
        } else if let Some(mark) = language.quotation_mark(rest) {
            let (text, behind) = quoted(rest, mark)?;
            tokens.push(Token::Text(text));
            behind
        } else if is_part_of_word(first) {
            let (word, behind) = rest.split_at(rest.find(|sign: char| !is_part_of_word(sign)).unwrap_or(rest.len()));
            tokens.push(Token::Word(word));
            behind
        } else {
            tokens.push(Token::Sign(first));
            rest.get(first.len_utf8()..).unwrap_or_default()
        };
        rest = behind.trim_start();
    }
    Ok(tokens)
}

fn is_part_of_word(sign: char) -> bool {
    sign.is_alphanumeric() || matches!(sign, '_' | '$')
}

/// Returns the contents of the string with which a text begins, and the text after the string.
fn quoted<'s>(text: &'s str, mark: &str) -> anyhow::Result<(&'s str, &'s str)> {
    let text = text.strip_prefix(mark).unwrap_or(text);
    let is_of_one_line = matches!(mark, "\"" | "'");
    let mut is_escaped = false;
    for (at, sign) in text.char_indices() {
        if is_escaped {
            is_escaped = false;
            continue;
        }
        let (content, behind) = text.split_at(at);
        if let Some(behind) = behind.strip_prefix(mark) {
            return Ok((content, behind));
        }
        if sign == '\n' && is_of_one_line {
            break;
        }
        is_escaped = sign == '\\';
    }
    bail!("a string without an end: {:?}", text.lines().next().unwrap_or_default())
}

/// Returns the tokens inside the bracket with which `tokens` begin, and those after the bracket.
///
/// # Errors
/// Returns an error if there is no bracket, or if it is not closed.
pub(super) fn bracketed<'t, 's>(tokens: &'t [Token<'s>]) -> anyhow::Result<(&'t [Token<'s>], &'t [Token<'s>])> {
    ensure!(tokens.first().is_some_and(|token| token.opens()), "no bracket opens: {:?}", beginning(tokens));
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        if token.opens() {
            depth += 1;
        } else if token.closes() {
            depth = depth.checked_sub(1).context("a bracket closes that is not open")?;
        }
        if depth == 0 {
            let (content, behind) = tokens.split_at(at);
            return Ok((content.get(1..).unwrap_or_default(), behind.get(1..).unwrap_or_default()));
        }
    }
    bail!("a bracket is not closed: {:?}", beginning(tokens))
}

/// Returns the first tokens, for an error message.
pub(super) fn beginning<'t, 's>(tokens: &'t [Token<'s>]) -> &'t [Token<'s>] {
    tokens.get(..8).unwrap_or(tokens)
}

/// Returns the parts between commas outside of brackets; the part after the last comma can be empty.
pub(super) fn split_by_commas<'t, 's>(tokens: &'t [Token<'s>]) -> Vec<&'t [Token<'s>]> {
    let mut depth = 0_usize;
    let parts = tokens.split(|token| {
        if token.opens() {
            depth += 1;
        } else if token.closes() {
            depth = depth.saturating_sub(1);
        }
        depth == 0 && *token == Token::Sign(',')
    });
    parts.filter(|part| !part.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::Token::{Sign, Text, Word};
    use super::*;

    #[test]
    fn words_strings_and_signs_are_read_and_comments_left_out() {
        let python = "a_1 = 'b\\'c'  # \"d\n'''e \" f''' \"\"\"g\n'h\"\"\".i";
        let expected = [Word("a_1"), Sign('='), Text("b\\'c"), Text("e \" f"), Text("g\n'h"), Sign('.'), Word("i")];
        assert_eq!(tokenize(python, Language::Python).unwrap(), expected);
        let script = "/* ' */ a[\"b\"] // `\n= `c${d}\ne`;";
        let expected = [Word("a"), Sign('['), Text("b"), Sign(']'), Sign('='), Text("c${d}\ne"), Sign(';')];
        assert_eq!(tokenize(script, Language::JavaScript).unwrap(), expected);
        for endless in ["'a\nb'", "\"a", "'''a", "\"a\\\""] {
            assert!(tokenize(endless, Language::Python).is_err(), "{endless}");
        }
        assert!(tokenize("/* a", Language::JavaScript).is_err());
    }

    #[test]
    fn brackets_and_commas_cut_tokens() {
        let tokens = tokenize("f(a, [b, c], {d: (e, f)},) g", Language::JavaScript).unwrap();
        let (content, behind) = bracketed(tokens.get(1..).unwrap()).unwrap();
        assert_eq!(behind, [Word("g")]);
        let parts: Vec<usize> = split_by_commas(content).iter().map(|part| part.len()).collect();
        assert_eq!(parts, [1, 5, 9]);
        assert!(bracketed(tokens.get(1..5).unwrap()).is_err(), "not closed");
        assert!(bracketed(&tokens).is_err(), "not opened");
        let mut brackets = Brackets::default();
        for (at, token) in tokens.iter().enumerate().take(6) {
            brackets.pass(at, *token);
        }
        assert_eq!(brackets.content(&tokens).unwrap(), [Word("b"), Sign(','), Word("c")]);
    }
}
