//! Numbers: what is a possible number becomes E.164, all else stays as received (the contract's rule 3).

/// A called or calling party after normalisation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Number {
    /// `+14155551234`, or the text as received where it is not a possible number.
    pub text: String,
    /// Whether `text` is E.164.
    pub is_e164: bool,
    /// As received (escapes undone).
    pub received: String,
}

/// Why a called party cannot be used at all: answered 484.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incomplete;

/// The numbering of one country.
#[derive(Debug, Clone)]
pub struct Numbers {
    country: String,
}

impl Numbers {
    /// Numbers without a country code are read as of `country` (ISO 3166 alpha-2). `None` for an unknown one.
    pub fn new(country: &str) -> Option<Numbers> {
        let _ = Numbers { country: country.into() };
        unimplemented!()
    }
    /// Reads a user part (escapes undone), with the `phone-context` that stood with it.
    ///
    /// # Errors
    /// [`Incomplete`] for an empty one, or `+` with anything but digits and the separators `-.()` and space.
    pub fn normalise(&self, user: &str, phone_context: Option<&str>) -> Result<Number, Incomplete> {
        let _ = (user, phone_context, &self.country);
        unimplemented!()
    }
    /// The same for a calling party, which is never refused for its form.
    pub fn normalise_caller(&self, user: &str, phone_context: Option<&str>) -> Number {
        let _ = (user, phone_context);
        unimplemented!()
    }
    /// A number in the form that a trunk wants.
    pub fn format(&self, number: &Number, form: crate::trunk::SendNumbers) -> String {
        let _ = (number, form);
        unimplemented!()
    }
}
