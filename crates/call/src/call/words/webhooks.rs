//! Conversion of webhook locations and methods between TwiML documents and the HTTP client.

use trunkgate_resources::applications::question::{AppPlace, DocumentRequest};
use trunkgate_route::WebhookMethod;
use trunkgate_twiml::{DocumentLocation, FetchRequest, HttpMethod};

/// Returns the location of a document or sound; `None` for an inline document.
pub(crate) fn place(location: &DocumentLocation) -> Option<AppPlace> {
    match location {
        DocumentLocation::Url(url) => Some(AppPlace::Url(url.clone())),
        DocumentLocation::File(path) => Some(AppPlace::File(path.clone())),
        DocumentLocation::Inline => None,
    }
}

/// Converts a location for a TwiML program.
pub(crate) fn location(place: AppPlace) -> DocumentLocation {
    match place {
        AppPlace::Url(url) => DocumentLocation::Url(url),
        AppPlace::File(path) => DocumentLocation::File(path),
    }
}

/// Converts a TwiML program's request, with the parameters `before` in front; `None` for a request without a location,
/// which programs never make.
pub(crate) fn request(
    request: FetchRequest,
    before: impl IntoIterator<Item = (String, String)>,
) -> Option<DocumentRequest> {
    let own = request.parameters.into_iter().map(|parameter| (parameter.name.into_owned(), parameter.value));
    Some(DocumentRequest {
        place: place(&request.location)?,
        method: method(request.method),
        purpose: request.purpose.name(),
        parameters: before.into_iter().chain(own).collect(),
    })
}

/// Converts a webhook's method for a TwiML program.
pub(crate) const fn method_of(method: WebhookMethod) -> HttpMethod {
    match method {
        WebhookMethod::Post => HttpMethod::Post,
        WebhookMethod::Get => HttpMethod::Get,
    }
}

/// Converts a TwiML program's method for a webhook.
pub(crate) const fn method(method: HttpMethod) -> WebhookMethod {
    match method {
        HttpMethod::Post => WebhookMethod::Post,
        HttpMethod::Get => WebhookMethod::Get,
    }
}
