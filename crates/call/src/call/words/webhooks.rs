//! Places and methods of requests to applications, as documents have them and as the shell has them.

use trunkgate_resources::applications::question::{AppPlace, DocumentRequest};
use trunkgate_route::WebhookMethod;
use trunkgate_twiml::{Location, Method, Request};

/// Returns the place of a document or sound; `None` where it has none of its own.
pub(crate) fn place(location: &Location) -> Option<AppPlace> {
    match location {
        Location::Url(url) => Some(AppPlace::Url(url.clone())),
        Location::File(path) => Some(AppPlace::File(path.clone())),
        Location::Inline => None,
    }
}

/// Returns a place as a program has it.
pub(crate) fn location(place: AppPlace) -> Location {
    match place {
        AppPlace::Url(url) => Location::Url(url),
        AppPlace::File(path) => Location::File(path),
    }
}

/// Returns a program's request with these parameters before its own; `None` for one without a place, which no program makes.
pub(crate) fn request(request: Request, before: impl IntoIterator<Item = (String, String)>) -> Option<DocumentRequest> {
    let own = request.parameters.into_iter().map(|parameter| (parameter.name.into_owned(), parameter.value));
    Some(DocumentRequest {
        place: place(&request.location)?,
        method: method(request.method),
        purpose: request.purpose.name(),
        parameters: before.into_iter().chain(own).collect(),
    })
}

/// Returns a webhook's method as a program's.
pub(crate) const fn method_of(method: WebhookMethod) -> Method {
    match method {
        WebhookMethod::Post => Method::Post,
        WebhookMethod::Get => Method::Get,
    }
}

/// Returns a program's method as a webhook's.
pub(crate) const fn method(method: Method) -> WebhookMethod {
    match method {
        Method::Post => WebhookMethod::Post,
        Method::Get => WebhookMethod::Get,
    }
}
