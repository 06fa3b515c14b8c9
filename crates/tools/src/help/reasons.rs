//! Explains reasons of calls and legs, for `help` and docs/reference/reasons.md. The table is in
//! `trunkgate_story::reason`.

use trunkgate_call::ReasonSlug;

use trunkgate_system::text::capital;

/// Explains a reason slug such as `no_route`.
pub(super) fn explain(slug: &str) -> Option<String> {
    let slug = slug.to_lowercase();
    let reason = ReasonSlug::ALL.into_iter().find(|reason| reason.as_str() == slug)?;
    let fix = reason.fix().map(|fix| format!("\nFix: {}.\n", capital(fix))).unwrap_or_default();
    let (sentence, cause, outcome) = (reason.sentence(), reason.cause(), outcome(reason));
    // A request with wrong credentials never becomes a call.
    if reason == ReasonSlug::WrongCredentials {
        return Some(format!("{slug}: {sentence}\n\nCause: {cause}\n{fix}\nAppears in: trunkgate status\n"));
    }
    Some(format!(
        "{slug}: {sentence}\n\nCause: {cause}\n{fix}\nOutcome before the answer: {outcome}. Q.850 cause: {}.\nCalls with this \
         reason: trunkgate calls --reason {slug}\n",
        reason.q850(),
    ))
}

/// Returns the outcome of a call that ended with this reason before its answer.
fn outcome(reason: ReasonSlug) -> &'static str {
    if reason == ReasonSlug::TargetRejected { "depends on its SIP status" } else { reason.outcome() }
}

/// Returns the body of docs/reference/reasons.md: a table of all reasons.
pub(super) fn markdown() -> String {
    let mut page =
        "| slug | meaning | first thing to look at | Q.850 | outcome |\n| --- | --- | --- | --- | --- |\n".to_owned();
    for reason in ReasonSlug::ALL {
        let (slug, cause, fix) = (reason.as_str(), reason.cause(), reason.fix().unwrap_or_default());
        page.push_str(&format!("| `{slug}` | {cause} | {fix} | {} | {} |\n", reason.q850(), outcome(reason)));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_reasons_contains_what_help_prints() {
        let page = include_str!("../../../../docs/reference/reasons.md");
        assert!(
            page.contains(&markdown()),
            "put `cargo run -- help reasons --markdown` into docs/reference/reasons.md"
        );
    }

    #[test]
    fn every_reason_is_explained_in_sentences() {
        for reason in ReasonSlug::ALL {
            let text = explain(&reason.as_str().to_uppercase()).unwrap();
            assert!(text.starts_with(reason.as_str()) && text.contains("\n\nCause: "), "{text}");
            let cause = reason.cause();
            assert!(cause.starts_with(|c: char| c.is_uppercase() || c == '`'), "{cause}");
            assert!(cause.ends_with('.') && !cause.contains("  "), "{cause}");
            assert!(reason.fix().is_none_or(|fix| !fix.ends_with('.') && fix.len() > 8), "{reason:?}");
        }
        assert_eq!(explain("no_such_reason"), None);
    }
}
