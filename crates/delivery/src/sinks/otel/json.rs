//! Spans in OTLP JSON (opentelemetry-proto, "JSON Protobuf Encoding"): ids in hex, 64-bit numbers as text, enums as
//! numbers, names in camel case. Hand-written structs avoid the dependencies of the OpenTelemetry crates (prost, tonic
//! types, SDK).

use serde::{Serialize, Serializer};

/// `SPAN_KIND_SERVER`: request received from a remote party.
pub(super) const SERVER: u8 = 2;
/// `SPAN_KIND_CLIENT`: request sent to a remote party.
pub(super) const CLIENT: u8 = 3;
/// Status code of a failed span (`STATUS_CODE_ERROR`).
const ERROR: u8 = 2;

/// OTLP span in the JSON encoding.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OtlpSpan {
    pub(super) trace_id: String,
    pub(super) span_id: String,
    /// Id of the parent span; empty for a root span.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) parent_span_id: String,
    /// Trace flags of W3C Trace Context; always `sampled`.
    pub(super) flags: u32,
    pub(super) name: String,
    pub(super) kind: u8,
    #[serde(serialize_with = "as_text")]
    pub(super) start_time_unix_nano: u64,
    #[serde(serialize_with = "as_text")]
    pub(super) end_time_unix_nano: u64,
    pub(super) attributes: Vec<OtlpAttribute>,
    pub(super) events: Vec<OtlpEvent>,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) dropped_events_count: u32,
    pub(super) status: OtlpStatus,
}

/// Event within an OTLP span.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OtlpEvent {
    #[serde(serialize_with = "as_text")]
    pub(super) time_unix_nano: u64,
    pub(super) name: String,
    pub(super) attributes: Vec<OtlpAttribute>,
}

/// Status of an OTLP span; empty for a span without error.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct OtlpStatus {
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
    #[serde(skip_serializing_if = "is_none")]
    code: u8,
}

impl OtlpStatus {
    /// Returns an error status with a message.
    pub(super) fn error(message: impl Into<String>) -> OtlpStatus {
        OtlpStatus { message: message.into(), code: ERROR }
    }
}

/// Attribute of a span, event or resource.
#[derive(Debug, Clone, Serialize)]
pub(super) struct OtlpAttribute {
    pub(super) key: &'static str,
    pub(super) value: OtlpValue,
}

/// Value of an OTLP attribute.
#[derive(Debug, Clone, Serialize)]
pub(super) enum OtlpValue {
    /// Text.
    #[serde(rename = "stringValue")]
    Text(String),
    /// `true` or `false`.
    #[serde(rename = "boolValue")]
    Bool(bool),
    /// Integer value.
    #[serde(rename = "intValue", serialize_with = "as_text")]
    Int(u64),
    /// Finite number, because JSON has no others.
    #[serde(rename = "doubleValue")]
    Double(f64),
    /// List of values.
    #[serde(rename = "arrayValue")]
    Array {
        /// Values in order.
        values: Vec<OtlpValue>,
    },
}

/// Builder of attributes that omits unknown values.
#[derive(Debug, Default)]
pub(super) struct AttributeBuilder(pub(super) Vec<OtlpAttribute>);

impl AttributeBuilder {
    fn with(mut self, key: &'static str, value: OtlpValue) -> AttributeBuilder {
        self.0.push(OtlpAttribute { key, value });
        self
    }

    /// Adds a text unless it is empty.
    pub(super) fn text(self, key: &'static str, text: impl Into<String>) -> AttributeBuilder {
        let text = text.into();
        if text.is_empty() { self } else { self.with(key, OtlpValue::Text(text)) }
    }

    /// Adds a list of texts unless it is empty.
    pub(super) fn texts(self, key: &'static str, texts: &[&str]) -> AttributeBuilder {
        let values: Vec<OtlpValue> = texts.iter().map(|text| OtlpValue::Text((*text).to_owned())).collect();
        if values.is_empty() { self } else { self.with(key, OtlpValue::Array { values }) }
    }

    /// Adds an integer, if known.
    pub(super) fn number(self, key: &'static str, number: impl Into<Option<u64>>) -> AttributeBuilder {
        match number.into() {
            Some(number) => self.with(key, OtlpValue::Int(number)),
            None => self,
        }
    }

    /// Adds a finite number, if known.
    pub(super) fn measure(self, key: &'static str, number: impl Into<Option<f64>>) -> AttributeBuilder {
        match number.into().filter(|number| number.is_finite()) {
            Some(number) => self.with(key, OtlpValue::Double(number)),
            None => self,
        }
    }

    /// Adds `true` if the condition holds, nothing otherwise.
    pub(super) fn flag(self, key: &'static str, holds: bool) -> AttributeBuilder {
        if holds { self.with(key, OtlpValue::Bool(true)) } else { self }
    }
}

/// Returns the body of an OTLP request with already serialised spans.
pub(super) fn request(resource: &[OtlpAttribute], spans: &[Vec<u8>]) -> Vec<u8> {
    let resource = serde_json::json!({ "attributes": resource });
    let scope = serde_json::json!({ "name": "trunkgate", "version": env!("CARGO_PKG_VERSION") });
    let head = format!(r#"{{"resourceSpans":[{{"resource":{resource},"scopeSpans":[{{"scope":{scope},"spans":["#);
    let mut out = head.into_bytes();
    for (at, span) in spans.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(span);
    }
    out.extend_from_slice(b"]}]}]}");
    out
}

#[allow(clippy::trivially_copy_pass_by_ref)] // signature required by serde
fn as_text<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_none(code: &u8) -> bool {
    *code == 0
}
