//! Typed access to the attributes of an element. A name that is not in the table of crates/twiml/src/compat causes a
//! warning; an invalid value is replaced by the default with Twilio's warning code.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use trunkgate_detection::ThresholdParameter;

use super::DocumentWarnings;
use crate::compat::{ElementSupport, FeatureSupport};
use crate::limits::SECONDS;
use crate::problem::code;
use crate::xml::XmlElement;

/// HTTP method of a request that a document defines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HttpMethod {
    /// GET with the parameters in the query.
    Get,
    /// POST with the parameters as a form.
    #[default]
    Post,
}

/// Attributes of one element while it is read.
pub(super) struct ElementFields<'a> {
    pub(super) element: &'a XmlElement,
    entry: &'static ElementSupport,
    pub(super) warnings: &'a mut DocumentWarnings,
}

impl<'a> ElementFields<'a> {
    /// Opens an element for reading, and warns of unknown or unsupported attributes.
    pub(super) fn open(
        entry: &'static ElementSupport,
        element: &'a XmlElement,
        warnings: &'a mut DocumentWarnings,
    ) -> Self {
        for attribute in element.attributes.iter().filter(|attribute| !is_namespace(&attribute.name)) {
            let shown: String = attribute.name.chars().take(40).collect();
            let message = match entry.attribute(&attribute.name) {
                None => format!("unknown attribute {shown:?} of <{}> is skipped", element.name),
                Some(FeatureSupport::NotSupported(_)) if turns_off(&attribute.value) => continue,
                Some(FeatureSupport::NotSupported(text)) => {
                    format!("attribute {shown:?} of <{}> is skipped: {text}", element.name)
                }
                Some(FeatureSupport::Supported | FeatureSupport::Differs(_)) => continue,
            };
            warnings.add(code::SCHEMA, element.position, message);
        }
        ElementFields { element, entry, warnings }
    }

    /// Returns the path of the element, used to look up its children.
    pub(super) fn path(&self) -> &'static str {
        self.entry.path
    }

    /// Returns the value of an attribute as written; `None` if the attribute is absent. The name must be in the
    /// table.
    pub(super) fn raw(&self, name: &'static str) -> Option<&'a str> {
        debug_assert!(self.entry.attribute(name).is_some(), "{}@{name} is not in the table", self.entry.path);
        self.element.attribute(name)
    }

    /// Returns the reason why an attribute is not supported, if it is present with a value that has an effect.
    pub(super) fn refusal(&self, name: &'static str) -> Option<&'static str> {
        let value = self.raw(name).filter(|value| !turns_off(value))?;
        match self.entry.attribute(name) {
            Some(FeatureSupport::NotSupported(text)) if !value.trim().is_empty() => Some(text),
            Some(_) | None => None,
        }
    }

    /// Returns the value of an attribute without surrounding white space; `None` if it is empty.
    pub(super) fn text(&self, name: &'static str) -> Option<String> {
        self.raw(name).map(str::trim).filter(|value| !value.is_empty()).map(str::to_owned)
    }

    /// Returns a whole number, reduced to `most`; `None` if it is absent or invalid.
    pub(super) fn number(&mut self, name: &'static str, code: u16, most: u32) -> Option<u32> {
        let value = self.raw(name)?.trim();
        if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
            self.invalid(name, code, "is not a whole number; the default is used");
            return None;
        }
        let number = value.parse().unwrap_or(u32::MAX);
        if number > most {
            self.invalid(name, code, &format!("is cut to {most}"));
        }
        Some(number.min(most))
    }

    /// Returns a detection threshold, brought into its range; `None` if it is absent or invalid.
    pub(super) fn threshold(&mut self, name: &'static str, threshold: &ThresholdParameter) -> Option<u32> {
        let (least, most) = (*threshold.range.start(), *threshold.range.end());
        let given = self.number(name, code::SCHEMA, most)?;
        if given < least {
            self.invalid(name, code::SCHEMA, &format!("is raised to {least}"));
        }
        Some(given.max(least))
    }

    /// Returns a duration in whole seconds, reduced to `most`, or `default`.
    pub(super) fn seconds(&mut self, name: &'static str, code: u16, default: u32, most: u32) -> Duration {
        let seconds = self.number(name, code, most.min(SECONDS)).unwrap_or(default);
        Duration::from_secs(u64::from(seconds))
    }

    /// Returns a duration in whole seconds, from one to `most`, or `default`.
    pub(super) fn seconds_from_one(&mut self, name: &'static str, code: u16, default: u32, most: u32) -> Duration {
        let time = self.seconds(name, code, default, most);
        if time.is_zero() {
            self.invalid(name, code, "is raised to 1");
        }
        time.max(Duration::from_secs(1))
    }

    /// Returns a boolean attribute, or false if it is absent or invalid.
    pub(super) fn flag(&mut self, name: &'static str, code: u16) -> bool {
        self.flag_or(name, code, false)
    }

    /// Returns a boolean attribute, or `default` if it is absent or invalid.
    pub(super) fn flag_or(&mut self, name: &'static str, code: u16, default: bool) -> bool {
        self.choice(name, code, &[("true", true), ("false", false)], default)
    }

    /// Returns an HTTP method, or POST if it is absent or invalid.
    pub(super) fn method(&mut self, name: &'static str, code: u16) -> HttpMethod {
        self.choice(name, code, &[("GET", HttpMethod::Get), ("POST", HttpMethod::Post)], HttpMethod::Post)
    }

    /// Returns the listed value that an attribute names, ignoring case, or `default`.
    pub(super) fn choice<T: Copy>(&mut self, name: &'static str, code: u16, list: &[(&str, T)], default: T) -> T {
        let Some(value) = self.raw(name).map(str::trim).filter(|value| !value.is_empty()) else { return default };
        match list.iter().find(|(known, _)| known.eq_ignore_ascii_case(value)) {
            Some((_, chosen)) => *chosen,
            None => {
                let known: Vec<&str> = list.iter().map(|(known, _)| *known).collect();
                self.invalid(name, code, &format!("is not one of {}; the default is used", known.join(", ")));
                default
            }
        }
    }

    /// Warns of an invalid attribute value.
    pub(super) fn invalid(&mut self, name: &'static str, code: u16, what: &str) {
        let value: String = self.raw(name).unwrap_or_default().chars().take(40).collect();
        let message = format!("{name}={value:?} of <{}> {what}", self.element.name);
        self.warnings.add(code, self.element.position, message);
    }
}

/// Returns whether an attribute belongs to XML itself, not to TwiML.
pub(super) fn is_namespace(name: &str) -> bool {
    name == "xmlns" || name.starts_with("xmlns:") || name.starts_with("xml:") || name.starts_with("xsi:")
}

/// Returns whether a value turns its feature off; if so, an unsupported attribute can be ignored.
fn turns_off(value: &str) -> bool {
    matches!(value.trim(), "" | "false" | "do-not-record")
}
