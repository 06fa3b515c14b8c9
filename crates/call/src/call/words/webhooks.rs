//! Conversion of webhook locations and methods between TwiML documents and the HTTP client.

use trunkgate_resources::applications::question::{AppPlace, DocumentRequest};
use trunkgate_route::WebhookMethod;
use trunkgate_twiml::{Location, Method, Request};

/// Returns the location of a document or sound; `None` for an inline document.
pub(crate) fn place(location: &Location) -> Option<AppPlace> {
    match location {
        Location::Url(url) => Some(AppPlace::Url(url.clone())),
        Location::File(path) => Some(AppPlace::File(path.clone())),
        Location::Inline => None,
    }
}

/// Converts a location for a TwiML program.
pub(crate) fn location(place: AppPlace) -> Location {
    match place {
        AppPlace::Url(url) => Location::Url(url),
        AppPlace::File(path) => Location::File(path),
    }
}

/// Converts a TwiML program's request, with the parameters `before` in front; `None` for a request without a location,
/// which programs never make.
pub(crate) fn request(request: Request, before: impl IntoIterator<Item = (String, String)>) -> Option<DocumentRequest> {
    let own = request.parameters.into_iter().map(|parameter| (parameter.name.into_owned(), parameter.value));
    Some(DocumentRequest {
        place: place(&request.location)?,
        method: method(request.method),
        purpose: request.purpose.name(),
        parameters: before.into_iter().chain(own).collect(),
    })
}

/// Converts a webhook's method for a TwiML program.
pub(crate) const fn method_of(method: WebhookMethod) -> Method {
    match method {
        WebhookMethod::Post => Method::Post,
        WebhookMethod::Get => Method::Get,
    }
}

/// Converts a TwiML program's method for a webhook.
pub(crate) const fn method(method: Method) -> WebhookMethod {
    match method {
        Method::Post => WebhookMethod::Post,
        Method::Get => WebhookMethod::Get,
    }
}
