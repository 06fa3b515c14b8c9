//! Pages of a list, as on Twilio: a page begins after the last entry of the previous one, even if entries were added
//! meanwhile.

use serde_json::{Map, Value, json};

use super::error::Error;
use super::parameters::Parameters;

/// Default number of entries on a page.
const SIZE: usize = 50;
/// Maximum number of entries on a page.
const MOST: usize = 1000;
/// Maximum page number.
const LAST: usize = 1_000_000;
/// Maximum length of a page token, in characters.
const TOKEN_CHARS: usize = 128;

/// Requested page of a list.
#[derive(Debug)]
pub(super) struct PageRequest {
    /// Path of the list, with `.json`.
    path: String,
    /// Query of the request without the paging parameters.
    filters: String,
    number: usize,
    pub(super) size: usize,
    /// Key of the last entry on the previous page; `None` for the first page.
    pub(super) behind: Option<String>,
}

impl PageRequest {
    /// Parses the paging parameters; `path` is the path of the list without `.json`.
    ///
    /// # Errors
    /// Returns an error if a paging parameter is invalid.
    pub(super) fn take(path: &str, query: &str, parameters: &mut Parameters) -> Result<PageRequest, Error> {
        let size = parameters.take_number("PageSize", 1..=MOST)?.unwrap_or(SIZE);
        let number = parameters.take_number("Page", 0..=LAST)?.unwrap_or(0);
        let behind = parameters.take("PageToken");
        let behind = match behind.as_deref().map(|token| token.strip_prefix("PA").filter(|key| is_key(key))) {
            Some(None) => return Err(Error::bad_request("PageToken: not issued by this API")),
            Some(Some(key)) => Some(key.to_owned()),
            None if number > 0 => return Err(Error::bad_request("Page: follow next_page_uri, which has a PageToken")),
            None => None,
        };
        let mut filters = form_urlencoded::Serializer::new(String::new());
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            if !matches!(&*key, "Page" | "PageSize" | "PageToken") {
                filters.append_pair(&key, &value);
            }
        }
        Ok(PageRequest { path: format!("{path}.json"), filters: filters.finish(), number, size, behind })
    }

    /// Returns the entries for this page and one more, taken from a complete list after the last entry of the previous
    /// page.
    pub(super) fn behind_key<T>(&self, all: Vec<T>, key: impl Fn(&T) -> &str) -> Vec<T> {
        let from = match &self.behind {
            Some(behind) => all.iter().position(|entry| key(entry) == behind).map_or(all.len(), |at| at + 1),
            None => 0,
        };
        all.into_iter().skip(from).take(self.size + 1).collect()
    }

    /// Returns the page as JSON with its entries under `name`. An entry beyond the page's size means that a next page
    /// exists. `key` returns the key of an entry.
    pub(super) fn json<T>(
        &self,
        name: &str,
        mut entries: Vec<T>,
        key: impl Fn(&T) -> String,
        show: impl Fn(&T) -> Value,
    ) -> Value {
        let has_more = entries.len() > self.size;
        entries.truncate(self.size);
        let next = entries.last().filter(|_| has_more).map(|last| self.uri(self.number + 1, Some(&key(last))));
        let start = self.number * self.size;
        let mut page = Map::new();
        page.insert("first_page_uri".into(), self.uri(0, None).into());
        page.insert("end".into(), (start + entries.len()).saturating_sub(1).max(start).into());
        page.insert("next_page_uri".into(), next.map_or(Value::Null, Value::String));
        // New entries are added at the start, so the previous page has no stable link.
        page.insert("previous_page_uri".into(), Value::Null);
        page.insert("page".into(), self.number.into());
        page.insert("page_size".into(), self.size.into());
        page.insert("start".into(), start.into());
        page.insert("uri".into(), self.uri(self.number, self.behind.as_deref()).into());
        page.insert(name.into(), json!(entries.iter().map(show).collect::<Vec<_>>()));
        Value::Object(page)
    }

    fn uri(&self, number: usize, behind: Option<&str>) -> String {
        let separator = if self.filters.is_empty() { "" } else { "&" };
        let PageRequest { path, filters, size, .. } = self;
        let token = behind.map(|key| format!("&PageToken=PA{key}")).unwrap_or_default();
        format!("{path}?{filters}{separator}PageSize={size}&Page={number}{token}")
    }
}

/// Returns whether a text may be the key of an entry. Keys appear in URLs, so they must not need escapes.
fn is_key(text: &str) -> bool {
    text.len() <= TOKEN_CHARS && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn page(query: &str) -> Result<PageRequest, Error> {
        let request = Request::builder().uri(format!("/list.json?{query}")).body(()).unwrap();
        let mut parameters = Parameters::read(&request.into_parts().0, b"", true).unwrap();
        PageRequest::take("/list", query, &mut parameters)
    }

    #[test]
    fn pages_lead_to_the_next_one_until_there_is_none() {
        let first = page("To=%2B1415&PageSize=2").unwrap();
        let json = first.json("calls", vec!["a", "b", "c"], |key| (*key).to_owned(), |key| json!({ "sid": key }));
        assert_eq!(json["calls"], json!([{"sid": "a"}, {"sid": "b"}]));
        assert_eq!(json["next_page_uri"], "/list.json?To=%2B1415&PageSize=2&Page=1&PageToken=PAb");
        assert_eq!((&json["start"], &json["end"], &json["page"]), (&json!(0), &json!(1), &json!(0)));
        let last = page("To=%2B1415&PageSize=2&Page=1&PageToken=PAb").unwrap();
        assert_eq!(last.behind.as_deref(), Some("b"));
        let json = last.json("calls", vec!["c"], |key| (*key).to_owned(), |key| json!({ "sid": key }));
        assert_eq!((&json["next_page_uri"], &json["start"], &json["end"]), (&Value::Null, &json!(2), &json!(2)));
        assert_eq!(json["first_page_uri"], "/list.json?To=%2B1415&PageSize=2&Page=0");
    }

    #[test]
    fn what_is_no_page_is_refused() {
        let overflowing = "Page=18446744073709551615&PageToken=PA9";
        for bad in ["PageSize=0", "PageSize=1001", "PageSize=x", "Page=1", "PageToken=x", overflowing]
            .into_iter()
            .chain(["Page=1000001&PageToken=PA9", "Page=1&PageToken=PA9%26Status%3Dx", "Page=1&PageToken=PA%0d%0a"])
        {
            assert_eq!(page(bad).unwrap_err().code, 20_001, "{bad}");
        }
    }
}
