//! Requests of the Lookup API with their parameters.

use super::requests::ParameterSupport::{self, Differs, Ignored, Only, Refused};
use super::requests::{ApiOperation, Endpoint};

const COUNTRY: ParameterSupport = Differs("by default the edge's country; an unknown one is refused with 20001");
const OF_CARRIERS: ParameterSupport = Refused("data of carriers, which the edge does not have");
const OF_PAID_FIELDS: ParameterSupport = Ignored("only paid `Fields` use it");

/// Lookup of a number, version 1: `GET /v1/PhoneNumbers/{number}`.
pub static LOOK_UP_V1: ApiOperation = ApiOperation {
    method: "GET",
    path: "/v1/PhoneNumbers/{number}",
    endpoint: Endpoint::LookUpV1,
    parameters: &[("CountryCode", COUNTRY), ("Type", OF_CARRIERS), ("AddOns", OF_CARRIERS)],
};

/// Lookup of a number, version 2: `GET /v2/PhoneNumbers/{number}`.
pub static LOOK_UP_V2: ApiOperation = ApiOperation {
    method: "GET",
    path: "/v2/PhoneNumbers/{number}",
    endpoint: Endpoint::LookUpV2,
    parameters: &[
        ("CountryCode", COUNTRY),
        ("Fields", Only(&["validation"])),
        ("FirstName", OF_PAID_FIELDS),
        ("LastName", OF_PAID_FIELDS),
        ("AddressLine1", OF_PAID_FIELDS),
        ("AddressLine2", OF_PAID_FIELDS),
        ("City", OF_PAID_FIELDS),
        ("State", OF_PAID_FIELDS),
        ("PostalCode", OF_PAID_FIELDS),
        ("AddressCountryCode", OF_PAID_FIELDS),
        ("NationalId", OF_PAID_FIELDS),
        ("DateOfBirth", OF_PAID_FIELDS),
        ("LastVerifiedDate", OF_PAID_FIELDS),
        ("VerificationSid", OF_PAID_FIELDS),
        ("PartnerSubId", OF_PAID_FIELDS),
    ],
};
